//! The directory a layer is unpacked into. Every name is resolved beneath it and through no link, by the kernel.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
        chownat, fchmod, fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, openat2, statat, symlinkat,
        unlinkat, utimensat,
    },
    io::Errno,
};

use crate::oci::{
    Error,
    layer::{
        Owners,
        path::InsidePath,
        records::{Kind, Moment, Record},
    },
    limits::DEPTH_MAX,
};

/// Copied at once, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// What lies at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Directory,
    Whiteout,
    Other,
}

/// Who owns a directory, and what it allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirectoryLook {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// A directory that is being filled.
pub(crate) struct Place {
    root: OwnedFd,
    owners: Owners,
    /// The directory used last: most entries share theirs with the one before.
    last: Option<(InsidePath, OwnedFd)>,
    chunk: Vec<u8>,
}

fn failed(path: &InsidePath) -> impl FnOnce(Errno) -> Error {
    let what = format!("unpack `{}`", path.as_path().display());
    move |errno| Error::Stream { what, source: errno.into() }
}

impl Place {
    pub(crate) fn new(directory: &Path, owners: Owners) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(CWD, directory, flags, Mode::empty()).map_err(Error::host(directory))?;
        Ok(Self { root, owners, last: None, chunk: vec![0; CHUNK_BYTES] })
    }

    /// Opens a directory of the layer that is there.
    fn open(&self, path: &InsidePath) -> Result<OwnedFd, Errno> {
        let path = if path.is_root() { Path::new(".") } else { path.as_path() };
        beneath(&self.root, path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens the directory an entry goes into, making what the archive did not list. `unlisted` says how such a directory looks.
    fn parent(&mut self, path: &InsidePath, unlisted: &dyn Fn(&Path) -> DirectoryLook) -> Result<&OwnedFd, Error> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let opened = match self.open(path) {
                Err(Errno::NOENT) => self.make_missing(path, unlisted)?,
                other => other.map_err(|errno| parent_refusal(path, errno))?,
            };
            self.last = Some((path.clone(), opened));
        }
        match &self.last {
            Some((_, opened)) => Ok(opened),
            None => Err(failed(path)(Errno::NOENT)),
        }
    }

    fn make_missing(&self, path: &InsidePath, unlisted: &dyn Fn(&Path) -> DirectoryLook) -> Result<OwnedFd, Error> {
        let mut directory = self.open(&InsidePath::default()).map_err(failed(path))?;
        let mut so_far = PathBuf::new();
        for name in path.as_path() {
            so_far.push(name);
            match mkdirat(&directory, name, Mode::from_raw_mode(0o700)) {
                Ok(()) => {
                    let made = beneath(&directory, Path::new(name), OFlags::RDONLY | OFlags::DIRECTORY)
                        .map_err(failed(path))?;
                    let look = unlisted(&so_far);
                    self.look(&made, look).map_err(failed(path))?;
                    directory = made;
                }
                Err(Errno::EXIST) => {
                    directory = beneath(&directory, Path::new(name), OFlags::RDONLY | OFlags::DIRECTORY)
                        .map_err(|errno| parent_refusal(path, errno))?;
                }
                Err(errno) => return Err(failed(path)(errno)),
            }
        }
        Ok(directory)
    }

    fn look(&self, directory: &OwnedFd, look: DirectoryLook) -> Result<(), Errno> {
        if let Some((uid, gid)) = self.owners.on_disk(look.uid, look.gid) {
            fchown(directory, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        fchmod(directory, Mode::from_raw_mode(self.owners.directory_mode(look.mode)))
    }

    /// What lies at `name` of `parent`. Makes the parent where it is missing.
    pub(crate) fn found(
        &mut self,
        parent: &InsidePath,
        name: &OsStr,
        unlisted: &dyn Fn(&Path) -> DirectoryLook,
    ) -> Result<Found, Error> {
        let directory = self.parent(parent, unlisted)?;
        match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(Found::Nothing),
            Err(errno) => Err(failed(parent)(errno)),
            Ok(stat) if is_whiteout(&stat) => Ok(Found::Whiteout),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => Ok(Found::Directory),
            Ok(_) => Ok(Found::Other),
        }
    }

    /// The directory opened last, which [`Place::found`] was asked about.
    fn at(&self, path: &InsidePath) -> Result<&OwnedFd, Error> {
        match &self.last {
            Some((_, opened)) => Ok(opened),
            None => Err(failed(path)(Errno::NOENT)),
        }
    }

    /// Takes away what lies at `name`, with all below.
    pub(crate) fn remove(&mut self, parent: &InsidePath, name: &OsStr) -> Result<(), Error> {
        remove_below(self.at(parent)?, name, 0).map_err(failed(parent))
    }

    pub(crate) fn make_directory(&mut self, parent: &InsidePath, name: &OsStr) -> Result<(), Error> {
        mkdirat(self.at(parent)?, name, Mode::from_raw_mode(0o700)).map_err(failed(parent))
    }

    pub(crate) fn make_whiteout(&mut self, parent: &InsidePath, name: &OsStr) -> Result<(), Error> {
        mknodat(self.at(parent)?, name, FileType::CharacterDevice, Mode::empty(), 0).map_err(failed(parent))
    }

    /// Sets what a record says about a directory that is there, but its time, which later entries would change.
    pub(crate) fn finish_directory(&self, path: &InsidePath, record: &Record) -> Result<(), Error> {
        let directory = self.open(path).map_err(failed(path))?;
        self.finish(&directory, record).map_err(failed(path))
    }

    pub(crate) fn make_opaque(&self, path: &InsidePath) -> Result<(), Error> {
        let directory = self.open(path).map_err(|errno| parent_refusal(path, errno))?;
        fsetxattr(&directory, self.owners.opaque(), b"y", XattrFlags::empty()).map_err(failed(path))
    }

    /// Whether the layer has this directory already.
    pub(crate) fn has(&self, path: &InsidePath) -> bool {
        self.last.as_ref().is_some_and(|(last, _)| last == path) || self.open(path).is_ok()
    }

    /// Writes a file and its content.
    pub(crate) fn make_file(
        &mut self,
        parent: &InsidePath,
        name: &OsStr,
        record: &Record,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(self.at(parent)?, name, flags, Mode::from_raw_mode(0o600)).map_err(failed(parent))?;
        let mut file = File::from(file);
        let mut left = record.size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            let chunk = self.chunk.get_mut(..most).unwrap_or_default();
            let count = content.read(chunk).map_err(Error::stream("read a layer"))?;
            if count == 0 {
                return Err(record.refused("ends before its content does"));
            }
            io::Write::write_all(&mut file, chunk.get(..count).unwrap_or_default())
                .map_err(Error::stream("unpack a layer"))?;
            left -= count as u64;
        }
        let file = OwnedFd::from(file);
        self.finish(&file, record).map_err(failed(parent))?;
        let time = timespec(record.mtime);
        futimens(&file, &Timestamps { last_access: time, last_modification: time }).map_err(failed(parent))
    }

    pub(crate) fn make_symlink(&mut self, parent: &InsidePath, name: &OsStr, record: &Record) -> Result<(), Error> {
        let directory = self.at(parent)?;
        symlinkat(record.target.as_slice(), directory, name).map_err(failed(parent))?;
        self.finish_at(directory, name, record).map_err(failed(parent))
    }

    pub(crate) fn make_fifo(&mut self, parent: &InsidePath, name: &OsStr, record: &Record) -> Result<(), Error> {
        let directory = self.at(parent)?;
        let made = mknodat(directory, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0);
        made.map_err(failed(parent))?;
        // Just made by us in a directory nobody else has: the name is still this pipe.
        rustix::fs::chmodat(directory, name, Mode::from_raw_mode(record.mode & 0o777), AtFlags::empty())
            .map_err(failed(parent))?;
        self.finish_at(directory, name, record).map_err(failed(parent))
    }

    /// Gives a file of this layer one more name.
    pub(crate) fn make_hard_link(
        &mut self,
        parent: &InsidePath,
        name: &OsStr,
        target: &InsidePath,
        record: &Record,
    ) -> Result<(), Error> {
        let missing = || record.refused("is a hard link to something that is no file of its layer");
        let (target_parent, target_name) = target.split().ok_or_else(missing)?;
        let from = self.open(&target_parent).map_err(|_| missing())?;
        let stat = statat(&from, &target_name, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| missing())?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Symlink | FileType::Fifo => {}
            FileType::Directory
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Socket
            | FileType::Unknown => return Err(missing()),
        }
        linkat(&from, &target_name, self.at(parent)?, name, AtFlags::empty()).map_err(failed(parent))
    }

    /// Sets the times of a directory, after all that is in it.
    pub(crate) fn set_directory_time(&self, path: &InsidePath, mtime: Moment) -> Result<(), Error> {
        match self.open(path) {
            Ok(directory) => {
                let time = timespec(mtime);
                futimens(&directory, &Timestamps { last_access: time, last_modification: time }).map_err(failed(path))
            }
            // It was replaced by a later entry.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(errno) => Err(failed(path)(errno)),
        }
    }

    /// Forgets the directory used last, when it may be another now.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    /// Owner, mode and attributes of a file or directory.
    fn finish(&self, file: &OwnedFd, record: &Record) -> Result<(), Errno> {
        // Changing the owner clears bits of the mode and the capabilities, so it comes first.
        if let Some((uid, gid)) = self.owners.on_disk(record.uid, record.gid) {
            fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        for (name, value) in &record.xattrs {
            if let Some(value) = self.owners.xattr(name, value) {
                fsetxattr(file, name.as_str(), &value, XattrFlags::empty())?;
            }
        }
        let mode = match record.kind {
            Kind::Directory => self.owners.directory_mode(record.mode),
            Kind::File | Kind::Symlink | Kind::HardLink | Kind::Fifo | Kind::Device => {
                self.owners.file_mode(record.mode)
            }
        };
        fchmod(file, Mode::from_raw_mode(mode))
    }

    /// Owner and time of what cannot be opened.
    fn finish_at(&self, directory: &OwnedFd, name: &OsStr, record: &Record) -> Result<(), Errno> {
        if let Some((uid, gid)) = self.owners.on_disk(record.uid, record.gid) {
            chownat(directory, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        let time = timespec(record.mtime);
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)
    }
}

fn parent_refusal(path: &InsidePath, errno: Errno) -> Error {
    match errno {
        Errno::LOOP | Errno::NOTDIR => crate::oci::layer::records::refused(
            path.as_path().as_os_str().as_encoded_bytes(),
            "is no directory in its layer, yet has entries",
        ),
        other => failed(path)(other),
    }
}

/// Opens what is below a directory, through no link of any kind.
pub(crate) fn beneath(directory: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    openat2(directory, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Overlayfs marks what is gone by a character device 0:0.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}

fn timespec(moment: Moment) -> Timespec {
    Timespec { tv_sec: moment.seconds, tv_nsec: moment.nanos }
}

fn remove_below(parent: &OwnedFd, name: &OsStr, depth: usize) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        other => return other,
    }
    if depth > DEPTH_MAX {
        return Err(Errno::LOOP);
    }
    let directory = beneath(parent, Path::new(name), OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut names: Vec<OsString> = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(OsStr::from_bytes(name.to_bytes()).to_owned());
        }
    }
    for name in names {
        remove_below(&directory, &name, depth + 1)?;
    }
    drop(directory);
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}
