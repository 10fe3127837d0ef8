//! What the server must remember that no log says: which sessions have a task, how far the forge's changes were told, and whose log was
//! found damaged.
//!
//! A file of its own, beside the list: the list may be thrown away and made again, this may not. A session is marked before anything is
//! accepted for it, and the mark is taken away once the list has on disk what its log says. So after a crash the marked
//! sessions, and no others, are those that must be put right and whose entry in the list may be behind.

use std::{collections::HashMap, path::Path};

use hangar_protocol::SessionId;
use hangar_store::{Database, Schema, StoreError, Writers, open_for_reading, rusqlite};

pub(crate) const SCHEMA: Schema = Schema {
    migrations: &["CREATE TABLE awake (session TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
        CREATE TABLE forge_cursor (one INTEGER PRIMARY KEY CHECK (one = 1), cursor INTEGER NOT NULL) STRICT;
        CREATE TABLE damaged (session TEXT PRIMARY KEY, reason TEXT NOT NULL) STRICT, WITHOUT ROWID;"],
};

/// The file's name in the folder of sessions.
pub(crate) const FILE: &str = "working.db";
/// How far the forge's changes have been told, 0 for not at all.
const FORGE_CURSOR: &str = "SELECT coalesce(max(cursor), 0) FROM forge_cursor";
/// Remembers it.
const SET_FORGE_CURSOR: &str = "INSERT OR REPLACE INTO forge_cursor (one, cursor) VALUES (1, ?1)";
const MARK: &str = "INSERT OR IGNORE INTO awake (session) VALUES (?1)";

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Working {
    database: Database,
}

/// What a list of hangar 0.1 held of this, before there was a file for it.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    /// The sessions that had a task.
    pub(crate) awake: Vec<String>,
    /// How far the forge's changes had been told.
    pub(crate) forge_cursor: i64,
}

impl Working {
    pub(crate) async fn open(writers: &Writers, folder: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Database::open(writers, &folder.join(FILE), SCHEMA).await? })
    }

    /// Takes over what an older list knew. To do so twice changes nothing.
    pub(crate) async fn inherit(&self, inherited: Inherited) -> Result<(), StoreError> {
        let write = move |connection: &rusqlite::Connection| {
            for session in &inherited.awake {
                connection.execute(MARK, [session])?;
            }
            let known: i64 = connection.query_row(FORGE_CURSOR, [], |row| row.get(0))?;
            connection.execute(SET_FORGE_CURSOR, [known.max(inherited.forge_cursor)])
        };
        self.database.write(write).await.map(drop)
    }

    /// Marks a session that gets a task. On disk when this answers.
    pub(crate) async fn mark(&self, session: &SessionId) -> Result<(), StoreError> {
        let session = session.clone();
        self.database.write(move |connection| connection.execute(MARK, [session.as_str()])).await.map(drop)
    }

    /// Takes the mark away.
    pub(crate) async fn unmark(&self, session: &SessionId) -> Result<(), StoreError> {
        let session = session.clone();
        let write = move |connection: &rusqlite::Connection| {
            connection.execute("DELETE FROM awake WHERE session = ?1", [session.as_str()])
        };
        self.database.write(write).await.map(drop)
    }

    /// Remembers that a session's log was found damaged, and how.
    pub(crate) async fn note_damage(&self, session: &SessionId, reason: String) -> Result<(), StoreError> {
        let session = session.clone();
        let write = move |connection: &rusqlite::Connection| {
            let sql = "INSERT OR REPLACE INTO damaged (session, reason) VALUES (?1, ?2)";
            connection.execute(sql, [session.as_str(), reason.as_str()])
        };
        self.database.write(write).await.map(drop)
    }

    /// A session's log was read to its end: whatever was wrong with it is mended. Costs no write where nothing was.
    pub(crate) async fn note_whole(&self, session: &SessionId) -> Result<(), StoreError> {
        let session = session.clone();
        let write = move |connection: &rusqlite::Connection| {
            connection.execute("DELETE FROM damaged WHERE session = ?1", [session.as_str()])
        };
        self.database.write(write).await.map(drop)
    }

    /// The sessions whose logs were found damaged, with how.
    pub(crate) async fn damaged(&self) -> Result<HashMap<String, String>, StoreError> {
        let read = |connection: &rusqlite::Connection| {
            let mut statement = connection.prepare_cached("SELECT session, reason FROM damaged")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        self.database.read(read).await
    }

    /// The marked sessions.
    pub(crate) async fn marked(&self) -> Result<Vec<SessionId>, StoreError> {
        let read = |connection: &rusqlite::Connection| {
            let mut statement = connection.prepare("SELECT session FROM awake ORDER BY session")?;
            statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
        };
        let rows = self.database.read(read).await?;
        Ok(rows.into_iter().filter_map(|id| SessionId::try_from(id).ok()).collect())
    }

    /// How far the forge's changes have been told to sessions.
    pub(crate) async fn forge_cursor(&self) -> Result<i64, StoreError> {
        self.database.read(|connection| connection.query_row(FORGE_CURSOR, [], |row| row.get(0))).await
    }

    /// Remembers how far they have been told.
    pub(crate) async fn set_forge_cursor(&self, cursor: i64) -> Result<(), StoreError> {
        self.database.write(move |connection| connection.execute(SET_FORGE_CURSOR, [cursor])).await.map(drop)
    }
}

/// How far the forge's changes have been told, read from the file at `path`, which may be in use. Blocks.
pub(crate) fn forge_cursor_in(path: &Path) -> Result<i64, StoreError> {
    Ok(open_for_reading(path)?.query_row(FORGE_CURSOR, [], |row| row.get(0))?)
}

/// Makes the file that a backup holds: nobody at work, and the forge's changes told as far as `forge_cursor`. Blocks.
pub(crate) fn write_for_backup(to: &Path, forge_cursor: i64) -> Result<(), StoreError> {
    SCHEMA.create(to, |connection| connection.execute(SET_FORGE_CURSOR, [forge_cursor]).map(drop))
}
