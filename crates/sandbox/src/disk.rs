//! How much disk a session's files take.
//!
//! This is the one place where the host walks directories which a sandbox fills. It opens nothing but directories, one name at a time
//! and never through a link, and reads sizes only.

use std::{
    collections::HashSet,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};

/// Deepest directory that is counted. A deeper tree counts as too large, because it could hide anything.
const DEPTH_MAX: usize = 256;
/// A file costs at least its entry, however empty it is.
const FILE_BYTES_MIN: u64 = 256;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub bytes: u64,
    pub files: u64,
    /// Something could not be looked at, so there may be more.
    pub uncounted: bool,
}

/// Adds up a tree. Blocks.
pub(crate) fn usage(roots: &[&Path]) -> Usage {
    let mut usage = Usage::default();
    let mut linked = HashSet::new();
    for root in roots {
        match openat(CWD, *root, directory_flags(), Mode::empty()) {
            Ok(directory) => add(directory, 0, &mut usage, &mut linked),
            Err(rustix::io::Errno::NOENT) => {}
            Err(_) => usage.uncounted = true,
        }
    }
    usage
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn add(directory: OwnedFd, depth: usize, usage: &mut Usage, linked: &mut HashSet<u64>) {
    if depth > DEPTH_MAX {
        usage.uncounted = true;
        return;
    }
    let Ok(entries) = Dir::read_from(&directory) else {
        usage.uncounted = true;
        return;
    };
    for entry in entries {
        let Ok(entry) = entry else {
            usage.uncounted = true;
            return;
        };
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        // It may be gone since it was listed.
        let Ok(stat) = statat(directory.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        usage.files += 1;
        // A file with several names is counted once.
        if stat.st_nlink < 2 || FileType::from_raw_mode(stat.st_mode).is_dir() || linked.insert(stat.st_ino) {
            usage.bytes += (stat.st_blocks.unsigned_abs() * 512).max(FILE_BYTES_MIN);
        }
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            match openat(directory.as_fd(), name, directory_flags(), Mode::empty()) {
                Ok(below) => add(below, depth + 1, usage, linked),
                Err(rustix::io::Errno::NOENT) => {}
                Err(_) => usage.uncounted = true,
            }
        }
    }
}

/// What a file system has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Free {
    pub bytes: u64,
    /// On file systems that make inodes as they go, this does not change.
    pub files: u64,
}

/// What the file system that holds `path` has left. Cheap.
pub(crate) fn free(path: &Path) -> io::Result<Free> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(Free { bytes: stat.f_bavail * stat.f_frsize, files: stat.f_ffree })
}
