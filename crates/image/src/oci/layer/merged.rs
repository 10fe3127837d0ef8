//! What a stack of layers shows, read from their trees without mounting them.
//!
//! A directory of the stack is a list of places, the topmost first: its trees and where it lies in each, which differs where it was renamed as a whole.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fgetxattr, openat, readlinkat, statat},
    io::Errno,
};

use crate::oci::{
    Owners,
    layer::place::{beneath, is_whiteout},
};

/// Links that are followed on the way to one path, as the kernel's limit.
const LINKS_MAX: usize = 40;
/// Longest note of overlayfs about where a directory was, in bytes.
const REDIRECT_BYTES_MAX: usize = 4096;

/// A stack of layers.
pub(crate) struct Merged {
    /// Topmost first.
    trees: Vec<OwnedFd>,
    owners: Owners,
}

/// A directory of the stack.
#[derive(Clone, Debug)]
pub(crate) struct MergedDir {
    /// Which tree, and where in it; the topmost first, never empty.
    places: Vec<(usize, PathBuf)>,
}

/// What lies at a name.
#[derive(Debug)]
pub(crate) enum Lies {
    Directory(MergedDir),
    /// Anything else, in the directory of this descriptor.
    Other {
        parent: OwnedFd,
        stat: Stat,
    },
}

/// Where a path leads, links followed.
#[derive(Debug)]
pub(crate) struct Led {
    /// The path without links, below the root.
    pub path: PathBuf,
    /// What is there, if anything. A link that leads nowhere is nothing.
    pub lies: Option<Lies>,
}

impl Merged {
    /// Opens the trees of a stack, topmost first.
    pub(crate) fn open(trees: &[PathBuf], owners: Owners) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |tree: &PathBuf| Ok(openat(CWD, tree, flags, Mode::empty())?);
        Ok(Self { trees: trees.iter().map(open).collect::<io::Result<_>>()?, owners })
    }

    pub(crate) fn root(&self) -> MergedDir {
        MergedDir { places: (0..self.trees.len()).map(|tree| (tree, PathBuf::new())).collect() }
    }

    fn open_place(&self, (tree, path): &(usize, PathBuf)) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let tree = self.trees.get(*tree).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(beneath(tree, path, OFlags::RDONLY | OFlags::DIRECTORY)?)
    }

    /// How a directory looks: as its topmost place does.
    pub(crate) fn stat(&self, directory: &MergedDir) -> io::Result<Stat> {
        let first = directory.places.first().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(rustix::fs::fstat(self.open_place(first)?)?)
    }

    /// What lies at one name of a directory; no link is followed.
    pub(crate) fn lookup(&self, directory: &MergedDir, name: &OsStr) -> io::Result<Option<Lies>> {
        let mut places: Vec<(usize, PathBuf)> = Vec::new();
        // Where layers further down have what is looked for, if a layer above has renamed it.
        let mut elsewhere: Option<PathBuf> = None;
        for (tree, path) in &directory.places {
            let at = elsewhere.clone().unwrap_or_else(|| path.join(name));
            let parent = at.parent().unwrap_or(Path::new("")).to_owned();
            let Some(last) = at.file_name() else { break };
            let parent = match self.open_place(&(*tree, parent)) {
                Ok(parent) => parent,
                Err(error)
                    if matches!(
                        error.raw_os_error().map(Errno::from_raw_os_error),
                        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let stat = match statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            if is_whiteout(&stat) {
                break;
            }
            if !FileType::from_raw_mode(stat.st_mode).is_dir() {
                if places.is_empty() {
                    return Ok(Some(Lies::Other { parent, stat }));
                }
                break;
            }
            let opened = self.open_place(&(*tree, at.clone()))?;
            places.push((*tree, at.clone()));
            if note(&opened, self.owners.opaque()).is_some_and(|value| value == b"y") {
                break;
            }
            if let Some(redirect) = note(&opened, self.owners.redirect()) {
                elsewhere = Some(redirected(&at, &redirect));
            }
        }
        Ok((!places.is_empty()).then_some(Lies::Directory(MergedDir { places })))
    }

    /// Names in a directory, sorted.
    pub(crate) fn names(&self, directory: &MergedDir) -> io::Result<BTreeSet<OsString>> {
        let mut names = BTreeSet::new();
        for place in &directory.places {
            for entry in Dir::read_from(self.open_place(place)?)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    names.insert(OsStr::from_bytes(name).to_owned());
                }
            }
        }
        let mut shown = BTreeSet::new();
        for name in names {
            if self.lookup(directory, &name)?.is_some() {
                shown.insert(name);
            }
        }
        Ok(shown)
    }

    /// Follows an absolute or relative path from the root, through links, never out of the root.
    pub(crate) fn follow(&self, path: &Path) -> io::Result<Led> {
        let mut left: Vec<OsString> = names_of(path).into_iter().rev().collect();
        let mut way: Vec<(OsString, Option<MergedDir>)> = Vec::new();
        let mut links = 0;
        let mut lies = Some(Lies::Directory(self.root()));
        while let Some(name) = left.pop() {
            if name == ".." {
                way.pop();
                lies = Some(Lies::Directory(self.directory(&way)));
                continue;
            }
            let here = match way.last() {
                None => Some(self.root()),
                Some((_, directory)) => directory.clone(),
            };
            let found = match &here {
                Some(directory) => self.lookup(directory, &name)?,
                None => None,
            };
            if let Some(Lies::Other { parent, stat }) = &found
                && FileType::from_raw_mode(stat.st_mode).is_symlink()
            {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP.into());
                }
                let target = readlinkat(parent, name.as_os_str(), Vec::new())?;
                let target = PathBuf::from(OsStr::from_bytes(target.as_bytes()));
                if target.is_absolute() {
                    way.clear();
                }
                left.extend(names_of(&target).into_iter().rev());
                lies = Some(Lies::Directory(self.directory(&way)));
                continue;
            }
            let directory = match &found {
                Some(Lies::Directory(directory)) => Some(directory.clone()),
                Some(Lies::Other { .. }) if !left.is_empty() => return Err(Errno::NOTDIR.into()),
                Some(Lies::Other { .. }) | None => None,
            };
            way.push((name, directory));
            lies = found;
        }
        Ok(Led { path: way.into_iter().map(|(name, _)| name).collect(), lies })
    }

    fn directory(&self, way: &[(OsString, Option<MergedDir>)]) -> MergedDir {
        way.last().and_then(|(_, directory)| directory.clone()).unwrap_or_else(|| self.root())
    }
}

impl Lies {
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self, Self::Directory(_))
    }
}

fn names_of(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

/// A note of overlayfs on a directory.
fn note(directory: &OwnedFd, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; REDIRECT_BYTES_MAX];
    let length = fgetxattr(directory, name, &mut value).ok()?;
    value.truncate(length);
    Some(value)
}

/// Where lower layers have a directory that was renamed: an absolute path from the root, or another name beside it.
fn redirected(at: &Path, redirect: &[u8]) -> PathBuf {
    let redirect = Path::new(OsStr::from_bytes(redirect));
    if redirect.is_absolute() { names_of(redirect).into_iter().collect() } else { at.with_file_name(redirect) }
}
