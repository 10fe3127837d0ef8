//! What can go wrong with a database.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rustix::fs::{Mode, OFlags, open};

/// Why a database could not be opened, read or written. Nothing of a failed write is kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk has no room. What was asked was not written; everything acknowledged before is safe.
    #[error("the disk is full")]
    DiskFull,
    /// The file was written by a newer hangar.
    #[error("{} has schema version {found}, this hangar knows versions up to {known}: run the newer hangar", path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// The file is as an older hangar wrote it.
    #[error("{} has schema version {found}, not yet {known}: the next start of the server brings it there", path.display())]
    Older {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// The disk was mounted, or by the system remounted, for reading only. What was asked was not written.
    #[error("the disk can only be read")]
    ReadOnly,
    /// The file is not a whole database any more.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// The file could not be written or read.
    #[error("file: {0}")]
    File(String),
    /// SQLite refused.
    #[error("database: {0}")]
    Sqlite(String),
    /// The writer threads have ended (the program shuts down).
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// What SQLite said of a connection's database, as [`StoreError::on_disk_of`] has it.
    pub(crate) fn of(connection: &Connection, error: rusqlite::Error) -> Self {
        Self::from(error).on_disk_of(Path::new(connection.path().unwrap_or_default()))
    }

    /// Of a disk that can only be read SQLite says no more than that input or output failed, so the disk of the database at `path` is asked. Blocks.
    pub(crate) fn on_disk_of(self, path: &Path) -> Self {
        match (self, path.parent()) {
            (Self::Sqlite(_), Some(folder)) if is_read_only(folder) => Self::ReadOnly,
            (error, _) => error,
        }
    }
}

/// Whether a folder is on a disk that can only be read. A file without a name tells, whatever made it so: a file system that shut itself for writing
/// need not say so in its flags.
fn is_read_only(folder: &Path) -> bool {
    let probe = open(folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    probe.is_err_and(|error| error == rustix::io::Errno::ROFS)
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull,
            std::io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::File(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::DiskFull,
            Some(rusqlite::ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            Some(_) | None => Self::Sqlite(error.to_string()),
        }
    }
}
