//! From a tar stream to a tree.

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, Read},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use crate::oci::{
    Error, Owners,
    layer::{
        path::{InsidePath, Named},
        place::{DirectoryLook, Found, Place, beneath},
        records::{self, Kind, Moment, Record},
    },
    limits::{Budget, XATTR_BYTES_MAX},
};

/// How a directory looks that no layer lists.
const UNLISTED: DirectoryLook = DirectoryLook { mode: 0o755, uid: 0, gid: 0 };

/// The time of what nothing says the time of.
const EPOCH: Moment = Moment { seconds: 0, nanos: 0 };

/// What one layer brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Entries that were made.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Device files left out: a sandbox has its own, and none of an image's choosing.
    pub devices_left_out: u64,
    /// Extended attributes left out because they mean something to the host's kernel.
    pub attributes_left_out: u64,
}

/// Unpacks the uncompressed stream of one layer into the empty directory `tree`. `below` are the trees of lower layers, topmost first;
/// a directory that the layer does not list but has entries in looks as it does there.
pub(crate) fn unpack(
    stream: &mut dyn Read,
    tree: &Path,
    below: &[PathBuf],
    owners: Owners,
    budget: &mut Budget,
) -> Result<Unpacked, Error> {
    let mut layer = Layer {
        place: Place::new(tree, owners)?,
        below,
        owners,
        times: BTreeMap::new(),
        gone: HashSet::new(),
        done: Unpacked::default(),
    };
    layer.place.finish_directory(&InsidePath::default(), &root_record())?;
    let mut archive = tar::Archive::new(stream);
    records::each(&mut archive, |record, content| layer.entry(record, content, budget))?;
    // What follows the end mark counts for the digest.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(Error::stream("read a layer"))?;
    // The deepest first: a time set on a directory lasts only while nothing in it changes.
    for (path, mtime) in layer.times.iter().rev() {
        layer.place.set_directory_time(path, *mtime)?;
    }
    Ok(layer.done)
}

fn root_record() -> Record {
    let DirectoryLook { mode, uid, gid } = UNLISTED;
    let mtime = EPOCH;
    Record {
        name: vec![],
        kind: Kind::Directory,
        target: vec![],
        mode,
        uid,
        gid,
        size: 0,
        mtime,
        xattrs: BTreeMap::new(),
    }
}

struct Layer<'a> {
    place: Place,
    below: &'a [PathBuf],
    owners: Owners,
    times: BTreeMap<InsidePath, Moment>,
    /// Paths of lower layers that this layer says are gone.
    gone: HashSet<InsidePath>,
    done: Unpacked,
}

impl Layer<'_> {
    fn entry(&mut self, record: &Record, content: &mut dyn Read, budget: &mut Budget) -> Result<(), Error> {
        budget.take(if record.kind == Kind::File { record.size } else { 0 })?;
        let named = Named::parse(&record.name).map_err(|reason| record.refused(reason))?;
        let path = match named {
            Named::Path(path) => path,
            Named::Whiteout(path) => return self.whiteout(path),
            Named::Opaque(directory) => return self.opaque(&directory),
            Named::Nothing => return Ok(()),
        };
        self.check_attributes(record)?;
        self.date_directories_of(&path);
        let Some((parent, name)) = path.split() else {
            return match record.kind {
                Kind::Directory => self.directory_looks(&path, record),
                Kind::File | Kind::Symlink | Kind::HardLink | Kind::Fifo | Kind::Device => {
                    Err(record.refused("would replace the root by something that is no directory"))
                }
            };
        };
        if record.kind == Kind::Device {
            self.done.devices_left_out += 1;
            return Ok(());
        }
        let target = match record.kind {
            Kind::HardLink => Some(
                InsidePath::parse(&record.target)
                    .map_err(|_| record.refused("is a hard link that leads out of its layer"))?,
            ),
            Kind::File | Kind::Directory | Kind::Symlink | Kind::Fifo | Kind::Device => None,
        };
        if target.as_ref() == Some(&path) {
            return Err(record.refused("is a hard link to itself"));
        }
        let below = Below { trees: self.below, place: &self.place, owners: self.owners };
        let looks = below.looks(&parent);
        let found = self.place.found(&parent, &name, &|path| looks.get(path).copied().unwrap_or(UNLISTED))?;
        match (found, record.kind) {
            (Found::Nothing, _) => {}
            (Found::Directory, Kind::Directory) => return self.directory_looks(&path, record),
            (Found::Directory, _) => {
                self.place.remove(&parent, &name)?;
                self.place.forget();
                self.place.found(&parent, &name, &|_| UNLISTED)?;
            }
            (Found::Whiteout | Found::Other, _) => self.place.remove(&parent, &name)?,
        }
        match (record.kind, target) {
            (Kind::Directory, _) => {
                self.place.make_directory(&parent, &name)?;
                self.directory_looks(&path, record)?;
                if self.gone.contains(&path) {
                    self.place.make_opaque(&path)?;
                }
            }
            (Kind::File, _) => {
                self.place.make_file(&parent, &name, record, content)?;
                self.done.bytes += record.size;
            }
            (Kind::Symlink, _) => {
                if record.target.is_empty() || record.target.contains(&0) {
                    return Err(record.refused("is a link to nothing"));
                }
                self.place.make_symlink(&parent, &name, record)?;
            }
            (Kind::HardLink, Some(target)) => self.place.make_hard_link(&parent, &name, &target, record)?,
            (Kind::Fifo, _) => self.place.make_fifo(&parent, &name, record)?,
            (Kind::Device | Kind::HardLink, _) => {}
        }
        self.done.entries += 1;
        Ok(())
    }

    /// Directories that nothing says the time of get one that does not depend on now, so that the same layer is always the same tree.
    fn date_directories_of(&mut self, path: &InsidePath) {
        let mut inside = path.clone();
        while let Some((parent, _)) = inside.split() {
            if parent.is_root() || self.times.contains_key(&parent) {
                return;
            }
            self.times.insert(parent.clone(), EPOCH);
            inside = parent;
        }
    }

    fn directory_looks(&mut self, path: &InsidePath, record: &Record) -> Result<(), Error> {
        self.place.finish_directory(path, record)?;
        self.times.insert(path.clone(), record.mtime);
        Ok(())
    }

    fn check_attributes(&mut self, record: &Record) -> Result<(), Error> {
        let bytes: usize = record.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > XATTR_BYTES_MAX {
            return Err(record.refused("has too many or too long extended attributes"));
        }
        let left_out = record.xattrs.iter().filter(|(name, value)| self.owners.xattr(name, value).is_none()).count();
        self.done.attributes_left_out += left_out as u64;
        Ok(())
    }

    /// Something of lower layers is gone. What this layer itself has there stays, but shows nothing from below.
    fn whiteout(&mut self, path: InsidePath) -> Result<(), Error> {
        self.date_directories_of(&path);
        let Some((parent, name)) = path.split() else { return Ok(()) };
        let below = Below { trees: self.below, place: &self.place, owners: self.owners };
        let looks = below.looks(&parent);
        match self.place.found(&parent, &name, &|path| looks.get(path).copied().unwrap_or(UNLISTED))? {
            Found::Nothing => self.place.make_whiteout(&parent, &name)?,
            Found::Directory => self.place.make_opaque(&path)?,
            Found::Whiteout | Found::Other => {}
        }
        self.gone.insert(path);
        self.done.entries += 1;
        Ok(())
    }

    fn opaque(&mut self, directory: &InsidePath) -> Result<(), Error> {
        self.date_directories_of(directory);
        self.times.entry(directory.clone()).or_insert(EPOCH);
        let Some((parent, name)) = directory.split() else { return Ok(()) };
        let below = Below { trees: self.below, place: &self.place, owners: self.owners };
        let looks = below.looks(directory);
        let look = |path: &Path| looks.get(path).copied().unwrap_or(UNLISTED);
        match self.place.found(&parent, &name, &look)? {
            Found::Directory => {}
            Found::Nothing => {
                // Makes the directory itself on the way.
                self.place.found(directory, name.as_os_str(), &look)?;
            }
            Found::Whiteout => {
                self.place.remove(&parent, &name)?;
                self.place.found(directory, name.as_os_str(), &look)?;
            }
            // Where it is no directory, the next step says so.
            Found::Other => {}
        }
        self.place.make_opaque(directory)
    }
}

/// The layers underneath.
struct Below<'a> {
    trees: &'a [PathBuf],
    place: &'a Place,
    owners: Owners,
}

impl Below<'_> {
    /// How the directory at `path`, and those it lies in, look in lower layers. Those that are nowhere are left out.
    fn looks(&self, path: &InsidePath) -> BTreeMap<PathBuf, DirectoryLook> {
        let mut looks = BTreeMap::new();
        if self.trees.is_empty() || self.place.has(path) {
            return looks;
        }
        let mut so_far = PathBuf::new();
        for name in path.as_path() {
            so_far.push(name);
            match self.look(&so_far) {
                Some(look) => looks.insert(so_far.clone(), look),
                None => break,
            };
        }
        looks
    }

    fn look(&self, path: &Path) -> Option<DirectoryLook> {
        for tree in self.trees {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let root = openat(CWD, tree, flags, Mode::empty()).ok()?;
            let Ok(found) = beneath(&root, path, OFlags::PATH) else { continue };
            let stat = fstat(&found).ok()?;
            // Anything else hides what lies further down.
            let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
            return is_directory.then(|| DirectoryLook {
                mode: stat.st_mode & 0o7777,
                uid: self.owners.inside(stat.st_uid),
                gid: self.owners.inside(stat.st_gid),
            });
        }
        None
    }
}
