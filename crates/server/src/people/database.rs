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
        StoreError::Damaged(_) => Refusal::new(
            RefusalCode::Unavailable,
            format!("{} cannot be used: {error}.", file.display()),
            "Restore it from a backup: `hangar restore`.",
        ),
        StoreError::DiskFull
        | StoreError::Older { .. }
        | StoreError::ReadOnly
        | StoreError::File(_)
        | StoreError::Sqlite(_)
        | StoreError::Closed => Refusal::new(
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
        StoreError::ReadOnly => Refusal::new(
            RefusalCode::Unavailable,
            "The server's disk can only be read.",
            "Ask who runs the server to look at the disk, then try again.",
        ),
        StoreError::Closed => {
            Refusal::new(RefusalCode::Unavailable, "The server is shutting down.", "Try again in a moment.")
        }
        StoreError::Newer { .. }
        | StoreError::Older { .. }
        | StoreError::Damaged(_)
        | StoreError::File(_)
        | StoreError::Sqlite(_) => {
            Refusal::new(RefusalCode::Internal, "The server's database failed.", "Its log has the cause.")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use hangar_protocol::state::fingerprint;

    use super::*;

    /// The scripts that were released. A line is only ever added: a script that was released is never edited.
    const RELEASED: [&str; 1] = ["ca286de4edf19015"];

    #[test]
    fn files_of_every_released_version_are_opened() {
        let now: Vec<String> = SCHEMA.migrations.iter().map(|script| fingerprint(script)).collect();
        assert_eq!(now, RELEASED, "write a new script instead, and add its fingerprint");
        let folder = tempfile::tempdir().unwrap();
        for (version, sql) in (1..).zip([include_str!("released/hangar-1.sql")]) {
            let path = folder.path().join(format!("hangar-{version}.db"));
            let old = Connection::open(&path).unwrap();
            // What it was written from was not looked at in the order of its references.
            old.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
            old.execute_batch(sql).unwrap();
            drop(old);
            let opened = SCHEMA.open(&path).unwrap();
            let found: (String, String) = opened
                .query_row("SELECT login, label FROM users JOIN tokens ON user_id = users.id", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .unwrap();
            assert_eq!(found, ("ada".to_owned(), "laptop".to_owned()));
            opened.pragma_update(None, "user_version", 99).unwrap();
            drop(opened);
            assert!(matches!(SCHEMA.open(&path), Err(StoreError::Newer { found: 99, .. })));
        }
    }
}
