//! What can go wrong with a database.

use std::path::PathBuf;

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
    /// SQLite refused.
    #[error("database: {0}")]
    Sqlite(String),
    /// The writer threads have ended (the program shuts down).
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::DiskFull,
            Some(_) | None => Self::Sqlite(error.to_string()),
        }
    }
}
