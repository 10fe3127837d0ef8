//! Copies of trees: with everything that belongs to a layer, sharing blocks where the file system can.

use std::{
    collections::HashMap,
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, SeekFrom, Stat, Timespec, Timestamps, Uid, chmodat, chownat, copy_file_range,
    ftruncate, ioctl_ficlone, linkat, mkdirat, mknodat, readlinkat, seek, symlinkat, utimensat,
};

use super::{
    adopt::split,
    beneath,
    content::{self, Fate, Thing},
    error::LayerError,
    owners::Owners,
    store::LayerStore,
    walk::walk,
};

/// Bytes copied by one call.
const STRETCH_BYTES: usize = 16 * 1024 * 1024;

/// Copies a session's changes to `to`. Nothing may write to them meanwhile.
pub(crate) fn copy_changes(from: &Path, to: &Path) -> Result<(), LayerError> {
    copy_tree(from, to, Owners::detect())
}

/// Whether the overlay's marks of hidden and renamed directories come along.
#[derive(Clone, Copy, Debug)]
pub(super) enum Marks {
    /// They do: the copy stands in the same place of the stack.
    Copied(Owners),
    /// They do not: whoever copies sets those that fit.
    Left(Owners),
}

impl Marks {
    fn owners(self) -> Owners {
        match self {
            Self::Copied(owners) | Self::Left(owners) => owners,
        }
    }
}

impl LayerStore {
    /// Copies the tree at `from` to `to`, which must not exist, in the store's way: owners, modes, times, links, holes, attributes and the overlay's marks come along;
    /// device files and sockets do not. Blocks are shared where the file system can (xfs, btrfs). Nothing may write to `from` meanwhile. Blocks.
    ///
    /// # Errors
    /// When something cannot be read or written. What was copied so far stays.
    pub fn copy(&self, from: &Path, to: &Path) -> Result<(), LayerError> {
        copy_tree(from, to, self.owners())
    }
}

/// Copies the tree at `from` to `to`, which is made and must not exist. Device files and sockets are left out; the overlay's marks of hidden and renamed directories come along.
fn copy_tree(from: &Path, to: &Path, owners: Owners) -> Result<(), LayerError> {
    let marks = Marks::Copied(owners);
    let source = beneath::root(from).map_err(LayerError::at("open", from))?;
    mkdirat(CWD, to, Mode::from_raw_mode(0o700)).map_err(LayerError::at("make", to))?;
    let target = beneath::root(to).map_err(LayerError::at("open", to))?;
    let mut parents = Parents::new(&target);
    let mut links: HashMap<u64, PathBuf> = HashMap::new();
    let mut directories = Vec::new();
    walk(&source, &mut |seen| {
        if seen.is_root() {
            directories.push((PathBuf::new(), seen.stat));
            return Ok(());
        }
        let (parent, _) = split(seen.path);
        match seen.thing {
            Thing::Socket | Thing::Device => Ok(()),
            Thing::Directory => {
                let at = parents.open(parent)?;
                mkdirat(at, seen.name, Mode::from_raw_mode(0o700)).map_err(LayerError::at("make", seen.path))?;
                copy_attributes(seen.parent, seen.name, at, seen.name, marks, seen.path)?;
                directories.push((seen.path.to_owned(), seen.stat));
                Ok(())
            }
            Thing::File | Thing::Symlink | Thing::Pipe | Thing::Whiteout => {
                let shared = content::names(&seen.stat) > 1 && seen.thing != Thing::Whiteout;
                if shared && let Some(first) = links.get(&seen.stat.st_ino) {
                    return link(&target, first, parents.open(parent)?, seen.name);
                }
                let at = parents.open(parent)?;
                copy_thing(seen.parent, seen.name, &seen.stat, at, seen.name, marks, seen.path)?;
                if shared {
                    links.insert(seen.stat.st_ino, seen.path.to_owned());
                }
                Ok(())
            }
        }
    })?;
    copy_attributes(&source, c".", &target, c".", marks, Path::new(""))?;
    // Last, the deepest first: filling a directory changes its time, and its mode may forbid it.
    for (path, stat) in directories.iter().rev() {
        finish_directory(&target, path, stat)?;
    }
    Ok(())
}

/// Gives a directory its owner, mode and times.
pub(super) fn finish_directory(root: &OwnedFd, path: &Path, stat: &Stat) -> Result<(), LayerError> {
    let (parent, name) = split(path);
    let parent = open_parent(root, parent)?;
    let name = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(name))
        .map_err(|error| LayerError::io("name a directory")(io::Error::other(error)))?;
    copy_rights(&parent, &name, stat, path)?;
    set_times(&parent, &name, stat, path)
}

fn open_parent(root: &OwnedFd, path: &Path) -> Result<OwnedFd, LayerError> {
    let opened =
        if path.as_os_str().is_empty() { beneath::directory(root, c".") } else { beneath::directory(root, path) };
    opened.map_err(LayerError::at("open", path))
}

/// Gives a file that has been copied another name.
pub(super) fn link(root: &OwnedFd, first: &Path, at: impl AsFd, name: &CStr) -> Result<(), LayerError> {
    let (directory, first_name) = split(first);
    let directory = open_parent(root, directory)?;
    linkat(directory, first_name, at, name, AtFlags::empty()).map_err(LayerError::at("link", first))
}

/// Copies anything but a directory. `path` is for messages.
pub(super) fn copy_thing(
    from: impl AsFd,
    from_name: &CStr,
    stat: &Stat,
    to: impl AsFd,
    to_name: &CStr,
    marks: Marks,
    path: &Path,
) -> Result<(), LayerError> {
    match Thing::of(stat) {
        Thing::File => {
            let file = beneath::file(&from, from_name).map_err(LayerError::at("copy", path))?;
            let copy = beneath::new_file(&to, to_name).map_err(LayerError::at("copy", path))?;
            copy_content(&file, &copy, stat.st_size.unsigned_abs()).map_err(LayerError::at("copy", path))?;
        }
        Thing::Symlink => {
            let target = readlinkat(&from, from_name, Vec::new()).map_err(LayerError::at("copy", path))?;
            symlinkat(target, &to, to_name).map_err(LayerError::at("copy", path))?;
        }
        Thing::Pipe => mknodat(&to, to_name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .map_err(LayerError::at("copy", path))?,
        Thing::Whiteout => return whiteout(to, to_name, path),
        Thing::Socket | Thing::Device | Thing::Directory => {
            return Err(LayerError::refused(path, "it cannot be copied like a file"));
        }
    }
    copy_rights(&to, to_name, stat, path)?;
    copy_attributes(from, from_name, &to, to_name, marks, path)?;
    set_times(to, to_name, stat, path)
}

/// Makes a mark that hides what lower layers have.
pub(super) fn whiteout(at: impl AsFd, name: &CStr, path: &Path) -> Result<(), LayerError> {
    mknodat(at, name, FileType::CharacterDevice, Mode::empty(), 0).map_err(LayerError::at("mark as deleted", path))
}

/// Owner and mode.
fn copy_rights(at: impl AsFd, name: &CStr, stat: &Stat, path: &Path) -> Result<(), LayerError> {
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(&at, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(LayerError::at("give away", path))?;
    match Thing::of(stat) {
        // Links have no mode of their own.
        Thing::Symlink => Ok(()),
        // It was made by us a moment ago, and is no link.
        _ => chmodat(at, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())
            .map_err(LayerError::at("change the mode of", path)),
    }
}

fn set_times(at: impl AsFd, name: &CStr, stat: &Stat, path: &Path) -> Result<(), LayerError> {
    #[allow(clippy::unnecessary_cast, reason = "not the same type everywhere")]
    let times = Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as i64 },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as i64 },
    };
    utimensat(at, name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(LayerError::at("set the times of", path))
}

/// The attributes that belong to a layer.
pub(super) fn copy_attributes(
    from: impl AsFd,
    from_name: &CStr,
    to: impl AsFd,
    to_name: &CStr,
    marks: Marks,
    path: &Path,
) -> Result<(), LayerError> {
    let failed = || LayerError::at("copy the attributes of", path);
    for name in beneath::attribute_names(&from, from_name).map_err(failed())? {
        match (content::fate(&name, marks.owners()), marks) {
            (Fate::Keep | Fate::KeepIds, _) | (Fate::Opaque | Fate::Redirect, Marks::Copied(_)) => {}
            (Fate::Opaque | Fate::Redirect, Marks::Left(_)) => continue,
            (Fate::Clean | Fate::Ignore, _) => continue,
            (Fate::Refuse(why), _) => return Err(LayerError::refused(path, why)),
        }
        if let Some(value) = beneath::attribute(&from, from_name, &name).map_err(failed())? {
            beneath::set_attribute(&to, to_name, &name, &value).map_err(failed())?;
        }
    }
    Ok(())
}

/// Copies a file's content: by sharing its blocks where that is possible, else stretch by stretch, leaving holes out.
fn copy_content(from: &File, to: &File, size: u64) -> io::Result<()> {
    if ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let mut at = 0;
    while at < size {
        let start = match seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole is left.
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(from, SeekFrom::Hole(start))?;
        copy_stretch(from, to, start, end)?;
        at = end;
    }
    ftruncate(to, size)?;
    Ok(())
}

fn copy_stretch(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let (mut read_at, mut write_at) = (start, start);
    while read_at < end {
        let length = usize::try_from(end - read_at).unwrap_or(STRETCH_BYTES).min(STRETCH_BYTES);
        match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), length) {
            // Cut short since it was measured.
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(rustix::io::Errno::XDEV | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INVAL) => {
                let mut buffer = vec![0; length.min(1024 * 1024)];
                let count = from.read_at(&mut buffer, read_at)?;
                if count == 0 {
                    return Ok(());
                }
                to.write_all_at(&buffer[..count], write_at)?;
                read_at += count as u64;
                write_at = read_at;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The directory that was opened last: things come directory by directory.
struct Parents<'a> {
    root: &'a OwnedFd,
    last: Option<(PathBuf, OwnedFd)>,
}

impl<'a> Parents<'a> {
    fn new(root: &'a OwnedFd) -> Self {
        Self { root, last: None }
    }

    fn open(&mut self, path: &Path) -> Result<BorrowedFd<'_>, LayerError> {
        let last = match self.last.take() {
            Some(last) if last.0 == path => last,
            _ => (path.to_owned(), open_parent(self.root, path)?),
        };
        Ok(self.last.insert(last).1.as_fd())
    }
}
