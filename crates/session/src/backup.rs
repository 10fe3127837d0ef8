//! What of the sessions belongs in a backup that is taken while they work.
//!
//! A session is its log and the blobs that the log names. Each log is copied at a moment of its own: sessions know nothing of each other. Blobs go
//! after the log, as they are on disk before the event that names them. What a sandbox wrote stays behind (`docs/backup.md`).
//!
//! The list of sessions stays behind: it is made from the logs at the first start, and the sessions that have something to put right are found on
//! the way, so that a turn which is open in a copied log goes on after the restore. How far the forge's changes were told is remembered
//! from **before** the logs: what was told meanwhile is told again, and a session that knows it ignores it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use hangar_protocol::SessionId;
use hangar_store::{StoreError, copy_database, rusqlite};

use crate::{blobs, index, log, working};

/// A backup of the sessions that has begun.
#[derive(Debug)]
pub struct SessionsBackup {
    folder: PathBuf,
    sessions: Vec<SessionId>,
    forge_cursor: i64,
}

impl SessionsBackup {
    /// Looks which sessions there are below `sessions_dir`. Blocks.
    ///
    /// # Errors
    /// When the folder or `working.db` cannot be read.
    pub fn begin(sessions_dir: &Path) -> Result<Self, SessionsBackupError> {
        let working = sessions_dir.join(working::FILE);
        let forge_cursor = if working.exists() {
            working::forge_cursor_in(&working)?
        } else {
            // No server of this version has run here yet.
            index::inherited(&sessions_dir.join(index::FILE))?.forge_cursor
        };
        let mut sessions = Vec::new();
        for entry in fs::read_dir(sessions_dir)? {
            // The list lies beside the sessions.
            sessions.extend(entry?.file_name().to_string_lossy().parse::<SessionId>());
        }
        sessions.sort();
        Ok(Self { folder: sessions_dir.to_owned(), sessions, forge_cursor })
    }

    /// Leaves these sessions out: somebody knows that their logs are damaged.
    ///
    /// # Errors
    /// The session that there is not.
    pub fn leave_out(&mut self, without: &[SessionId]) -> Result<(), SessionId> {
        if let Some(unknown) = without.iter().find(|session| !self.sessions.contains(session)) {
            return Err(unknown.clone());
        }
        self.sessions.retain(|session| !without.contains(session));
        Ok(())
    }

    /// The sessions, sorted.
    #[must_use]
    pub fn sessions(&self) -> &[SessionId] {
        &self.sessions
    }

    /// Copies a session's log into the new file `to`. `false`, and no file: the session was only being made, and nobody had been told of it. Blocks.
    ///
    /// # Errors
    /// When the log is damaged or the copy cannot be written.
    pub fn copy_log(&self, session: &SessionId, to: &Path) -> Result<bool, SessionsBackupError> {
        let from = self.folder.join(session.as_str()).join(log::FILE);
        if !from.exists() {
            return Ok(false);
        }
        copy_database(&from, to)?;
        let begun = log::has_events(to)?;
        if !begun {
            fs::remove_file(to)?;
        }
        Ok(begun)
    }

    /// The session's blobs, to be copied after its log. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn blobs(&self, session: &SessionId) -> Result<Vec<PathBuf>, SessionsBackupError> {
        Ok(blobs::all(&self.folder.join(session.as_str()))?)
    }

    /// Writes what belongs to the sessions and is in no log into the new file `to`. Blocks.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_working(&self, to: &Path) -> Result<(), SessionsBackupError> {
        Ok(working::write_for_backup(to, self.forge_cursor)?)
    }
}

/// Where a log lies in the folder of sessions.
#[must_use]
pub fn log_of(session: &SessionId) -> PathBuf {
    Path::new(session.as_str()).join(log::FILE)
}

/// Where in the folder of sessions lies what the server remembers beside their logs.
pub const SESSIONS_WORKING: &str = working::FILE;

/// Why sessions cannot be backed up.
#[derive(Debug, thiserror::Error)]
pub enum SessionsBackupError {
    /// A folder.
    #[error(transparent)]
    Folder(#[from] io::Error),
    /// A database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for SessionsBackupError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
