//! `hangar.db`: its tables, and how its failures are told.

use std::path::Path;

use hangar_protocol::{Refusal, RefusalCode};
use hangar_store::{
    Schema, StoreError, Writers,
    rusqlite::{self, Connection},
};

/// Times are milliseconds since 1970; hashes are SHA-256.
const SCHEMA: Schema = Schema {
    migrations: &["
CREATE TABLE users (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  login TEXT NOT NULL UNIQUE COLLATE NOCASE,
  name TEXT NOT NULL,
  email TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('owner', 'member')),
  created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE sign_in_codes (
  hash BLOB PRIMARY KEY,
  user_id INTEGER NOT NULL REFERENCES users(id),
  expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE cookies (
  hash BLOB PRIMARY KEY,
  user_id INTEGER NOT NULL REFERENCES users(id),
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  hash BLOB NOT NULL UNIQUE,
  user_id INTEGER NOT NULL REFERENCES users(id),
  label TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  used_ms INTEGER
) STRICT;
CREATE INDEX tokens_of_user ON tokens(user_id);
"],
};

/// Why a closure gave up: SQLite failed, or the closure refused.
#[derive(Debug)]
pub(super) enum Failed {
    /// SQLite's error.
    Sqlite(rusqlite::Error),
    /// An answer for the person who asked. Closures refuse before they write: what they wrote before would stay.
    Refused(Refusal),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The open database.
#[derive(Clone, Debug)]
pub(super) struct Database(hangar_store::Database);

impl Database {
    pub(super) async fn open(writers: &Writers, file: &Path) -> Result<Self, Refusal> {
        let opened = hangar_store::Database::open(writers, file, SCHEMA).await;
        opened.map(Self).map_err(|error| unusable(file, &error))
    }

    /// Runs a closure in a transaction; when this answers `Ok` it is committed and synced.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failed> + Send + 'static,
    {
        self.0.write(move |db| sorted(work(db))).await.unwrap_or_else(|error| Err(failed(&error)))
    }

    /// Runs a closure that only reads.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failed> + Send + 'static,
    {
        self.0.read(move |db| sorted(work(db))).await.unwrap_or_else(|error| Err(failed(&error)))
    }
}

fn sorted<T>(outcome: Result<T, Failed>) -> rusqlite::Result<Result<T, Refusal>> {
    match outcome {
        Ok(answer) => Ok(Ok(answer)),
        Err(Failed::Refused(refusal)) => Ok(Err(refusal)),
        Err(Failed::Sqlite(error)) => Err(error),
    }
}

fn unusable(file: &Path, error: &StoreError) -> Refusal {
    match error {
        StoreError::Newer { .. } => {
            Refusal::new(RefusalCode::Conflict, format!("{error}."), "Or restore a backup from before the upgrade.")
        }
        StoreError::DiskFull | StoreError::Sqlite(_) | StoreError::Closed => Refusal::new(
            RefusalCode::Unavailable,
            format!("{} cannot be used: {error}.", file.display()),
            "Look whether the disk is full or the directory is not writable for this user.",
        ),
    }
}

/// What is told when SQLite failed at work. The cause is logged here; it is not for the person who asked.
fn failed(error: &StoreError) -> Refusal {
    tracing::error!(%error, "hangar.db failed");
    match error {
        StoreError::DiskFull => Refusal::new(
            RefusalCode::Unavailable,
            "The server's disk is full.",
            "Ask who runs the server to free some space, then try again.",
        ),
        StoreError::Closed => {
            Refusal::new(RefusalCode::Unavailable, "The server is shutting down.", "Try again in a moment.")
        }
        StoreError::Newer { .. } | StoreError::Sqlite(_) => {
            Refusal::new(RefusalCode::Internal, "The server's database failed.", "Its log has the cause.")
        }
    }
}
