//! Reading, writing and listing files.
//!
//! The guest has the rights of the sandbox's user and sees the sandbox's mounts only. A symbolic link therefore leads
//! wherever it would lead a command, and never to the host.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use hangar_protocol::guest::{
    Failure, FailureKind, FileKind, HEADER_BYTES_MAX, Listed, PATHS_MAX, PAYLOAD_BYTES_MAX, Reply, Stat, WORKSPACE,
};

use crate::guard::{Guard, stands};

/// Files that are being written carry this prefix until they are complete; watches leave them out.
pub(crate) const UNFINISHED_PREFIX: &str = ".hangar-unfinished-";
/// Permission bits of a new file.
const NEW_FILE_MODE: u32 = 0o644;
/// Names in one answer may take so many bytes, so that its header stays within its limit.
pub(crate) const NAMES_BYTES_MAX: usize = HEADER_BYTES_MAX / 4;

/// Distinguishes files written at the same time.
static UNFINISHED: AtomicU32 = AtomicU32::new(0);

/// The path a request means.
pub(crate) fn resolve(path: &str) -> PathBuf {
    Path::new(WORKSPACE).join(path)
}

/// A failure that names what was being done.
pub(crate) fn failure(path: &str, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => FailureKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => FailureKind::Denied,
        io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => FailureKind::WrongKind,
        io::ErrorKind::FileTooLarge => FailureKind::TooLarge,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureKind::DiskFull,
        io::ErrorKind::InvalidInput => FailureKind::Invalid,
        // No process or thread left to start something with.
        io::ErrorKind::WouldBlock => FailureKind::Busy,
        _ => FailureKind::System,
    };
    Failure { kind, message: format!("{path}: {error}") }
}

/// Part of a file, and its size.
pub(crate) fn read(path: &str, offset: u64, limit: u64) -> Result<(Reply, Vec<u8>), Failure> {
    let wrap = |error: io::Error| failure(path, &error);
    // Without NONBLOCK, opening a named pipe would hold the thread until somebody writes.
    let flags = if stands(Guard::RegularFiles) { libc::O_NONBLOCK } else { 0 };
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(resolve(path)).map_err(wrap)?;
    let meta = file.metadata().map_err(wrap)?;
    if meta.is_dir() {
        return Err(wrap(io::ErrorKind::IsADirectory.into()));
    }
    if !meta.is_file() && stands(Guard::RegularFiles) {
        return Err(Failure { kind: FailureKind::WrongKind, message: format!("{path}: not a regular file") });
    }
    let limit = if stands(Guard::RegularFiles) { limit.min(PAYLOAD_BYTES_MAX as u64) } else { limit };
    file.seek(SeekFrom::Start(offset)).map_err(wrap)?;
    let mut bytes = Vec::new();
    (&file).take(limit).read_to_end(&mut bytes).map_err(wrap)?;
    // Files of /proc have no size; one more byte tells whether there is more.
    let truncated = file.read(&mut [0u8]).map_err(wrap)? > 0;
    let size = meta.size().max(offset + bytes.len() as u64);
    Ok((Reply::File { size, truncated }, bytes))
}

/// Replaces a file: readers see the old or the new content, never a part.
pub(crate) fn write(path: &str, mode: Option<u32>, content: &[u8]) -> Result<Reply, Failure> {
    let wrap = |error: io::Error| failure(path, &error);
    let asked = resolve(path);
    // A link stays a link: what it points to is replaced.
    let target = fs::canonicalize(&asked).unwrap_or(asked);
    let (Some(directory), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(wrap(io::ErrorKind::InvalidInput.into()));
    };
    fs::create_dir_all(directory).map_err(wrap)?;
    let before = fs::metadata(&target).ok();
    if before.as_ref().is_some_and(|meta| !meta.is_file()) {
        return Err(Failure { kind: FailureKind::WrongKind, message: format!("{path}: not a regular file") });
    }
    let mode = mode.or(before.as_ref().map(|meta| meta.mode() & 0o777)).unwrap_or(NEW_FILE_MODE);
    let number = UNFINISHED.fetch_add(1, Ordering::Relaxed);
    // The name is cut, because the prefix must not push a long one over the limit of the file system.
    let name: String = name.to_string_lossy().chars().take(40).collect();
    let unfinished = directory.join(format!("{UNFINISHED_PREFIX}{number}-{name}"));
    let done = finish(&unfinished, &target, mode, content);
    if done.is_err() {
        // What is left of it helps nobody; that it cannot be removed either is not the news.
        let _ = fs::remove_file(&unfinished);
    }
    done.map_err(wrap)?;
    Ok(Reply::Written { created: before.is_none() })
}

fn finish(unfinished: &Path, target: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(unfinished)?;
    file.write_all(content)?;
    file.set_permissions(fs::Permissions::from_mode(mode & 0o777))?;
    fs::rename(unfinished, target)
}

/// Facts about a path itself, links not followed.
pub(crate) fn stat(path: &str) -> Result<Reply, Failure> {
    let resolved = resolve(path);
    let meta = fs::symlink_metadata(&resolved).map_err(|error| failure(path, &error))?;
    let target = fs::read_link(&resolved).ok().map(|target| target.to_string_lossy().into_owned());
    Ok(Reply::Stat(Stat {
        kind: kind(meta.file_type()),
        size: meta.size(),
        mode: meta.mode() & 0o7777,
        modified_ms: meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000,
        target,
    }))
}

fn kind(file: fs::FileType) -> FileKind {
    if file.is_file() {
        FileKind::File
    } else if file.is_dir() {
        FileKind::Directory
    } else if file.is_symlink() {
        FileKind::Symlink
    } else {
        FileKind::Other
    }
}

/// Entries of a directory by name.
pub(crate) fn list(path: &str, limit: u32) -> Result<Reply, Failure> {
    let wrap = |error: io::Error| failure(path, &error);
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut truncated = false;
    for entry in fs::read_dir(resolve(path)).map_err(wrap)? {
        let entry = entry.map_err(wrap)?;
        let full = entries.len() >= limit.min(PATHS_MAX) as usize || bytes > NAMES_BYTES_MAX;
        if full && stands(Guard::ListingLimit) {
            truncated = true;
            break;
        }
        // An entry may vanish between the two calls.
        let Ok(meta) = entry.metadata() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        bytes += name.len();
        entries.push(Listed { name, kind: kind(meta.file_type()), size: meta.size() });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Reply::Listing { entries, truncated })
}
