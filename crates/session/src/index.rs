//! The list of sessions: a projection of their logs in one database, so that a list needs no log opened.
//!
//! The logs are the truth. What only this file knows is which sessions had a task when the server was last alive (`awake`): those
//! are put right at the next start.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::Arc,
};

use hangar_protocol::{SessionId, SessionRole, SessionState, UserId, Visibility, api::SessionSummary};
use hangar_store::{Database, Schema, StoreError, Writers, rusqlite};
use tokio::{sync::watch, task::JoinHandle};

use crate::list_tail::ListTail;

const SCHEMA: Schema = Schema {
    migrations: &["CREATE TABLE session (
            id TEXT PRIMARY KEY,
            summary TEXT NOT NULL,
            updated_ms INTEGER NOT NULL,
            awake INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX session_by_time ON session (updated_ms DESC);
        CREATE INDEX session_awake ON session (id) WHERE awake = 1;
        CREATE TABLE forge_cursor (one INTEGER PRIMARY KEY CHECK (one = 1), cursor INTEGER NOT NULL) STRICT;"],
};

/// The file's name in the folder of sessions.
pub(crate) const FILE: &str = "index.db";
/// How far the forge's changes have been told, 0 for not at all.
const FORGE_CURSOR: &str = "SELECT coalesce(max(cursor), 0) FROM forge_cursor";
/// Remembers it.
const SET_FORGE_CURSOR: &str = "INSERT OR REPLACE INTO forge_cursor (one, cursor) VALUES (1, ?1)";
/// How far the time of the last event may lag behind in the list.
const LIST_EVERY_MS: u64 = 5_000;

/// Whether a session has a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wakefulness {
    /// It has one, and must be put right if the server dies.
    Awake,
    /// Its log says all there is.
    Asleep,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    database: Database,
    /// What followers of the list are told.
    tail: Arc<ListTail>,
}

impl Index {
    pub(crate) async fn open(writers: &Writers, folder: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Database::open(writers, &folder.join(FILE), SCHEMA).await?, tail: Arc::default() })
    }

    /// Writes what lists show of a session.
    pub(crate) async fn record(&self, summary: SessionSummary, wakefulness: Wakefulness) -> Result<(), StoreError> {
        let json = serde_json::to_string(&summary).map_err(|error| StoreError::Sqlite(error.to_string()))?;
        let shown = summary.clone();
        let write = move |connection: &rusqlite::Connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO session (id, summary, updated_ms, awake) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (id) DO UPDATE SET summary = ?2, updated_ms = ?3, awake = ?4",
            )?;
            let updated_ms = i64::try_from(summary.updated_ms).unwrap_or(i64::MAX);
            statement.execute((summary.id.as_str(), json, updated_ms, wakefulness == Wakefulness::Awake))
        };
        self.database.write(write).await?;
        self.tail.changed(&shown);
        Ok(())
    }

    /// The changes of the list.
    pub(crate) fn tail(&self) -> &ListTail {
        &self.tail
    }

    /// Takes a session off the list. It is gone already.
    pub(crate) async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        let removed = id.clone();
        let write = move |connection: &rusqlite::Connection| {
            connection.execute("DELETE FROM session WHERE id = ?1", [removed.as_str()])
        };
        self.database.write(write).await?;
        self.tail.removed(id);
        Ok(())
    }

    /// The open database, for `list.rs`.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// The ids of the sessions that had a task when the server was last alive.
    pub(crate) async fn awake(&self) -> Result<Vec<SessionId>, StoreError> {
        self.ids("SELECT id FROM session WHERE awake = 1").await
    }

    /// The ids of all sessions in the list.
    pub(crate) async fn known(&self) -> Result<Vec<SessionId>, StoreError> {
        self.ids("SELECT id FROM session").await
    }

    /// The ids of the sessions in which something happened since `ms`.
    pub(crate) async fn updated_since(&self, ms: u64) -> Result<Vec<SessionId>, StoreError> {
        let since_ms = i64::try_from(ms).unwrap_or(i64::MAX);
        let read = move |connection: &rusqlite::Connection| {
            let mut statement = connection.prepare_cached("SELECT id FROM session WHERE updated_ms >= ?1")?;
            statement.query_map([since_ms], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
        };
        let rows = self.database.read(read).await?;
        Ok(rows.into_iter().filter_map(|id| SessionId::try_from(id).ok()).collect())
    }

    async fn ids(&self, sql: &'static str) -> Result<Vec<SessionId>, StoreError> {
        let read = move |connection: &rusqlite::Connection| {
            connection.prepare_cached(sql)?.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
        };
        let rows = self.database.read(read).await?;
        Ok(rows.into_iter().filter_map(|id| SessionId::try_from(id).ok()).collect())
    }

    /// How far the forge's changes have been told to sessions.
    pub(crate) async fn forge_cursor(&self) -> Result<i64, StoreError> {
        let read = |connection: &rusqlite::Connection| connection.query_row(FORGE_CURSOR, [], |row| row.get(0));
        self.database.read(read).await
    }

    /// Remembers how far they have been told.
    pub(crate) async fn set_forge_cursor(&self, cursor: i64) -> Result<(), StoreError> {
        let write = move |connection: &rusqlite::Connection| connection.execute(SET_FORGE_CURSOR, [cursor]);
        self.database.write(write).await.map(drop)
    }
}

/// How far the forge's changes have been told, read from the list at `path`, which may be in use. Blocks.
pub(crate) fn forge_cursor_in(path: &Path) -> Result<i64, rusqlite::Error> {
    // Read-write without create, as for every reader of a WAL file.
    let connection = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.query_row(FORGE_CURSOR, [], |row| row.get(0))
}

/// Makes the copy of a list at `path` one of the sessions in `kept`, as `backup.rs` says: those with events since `since_ms` count as awake,
/// and the forge's changes are told from `forge_cursor` on. Blocks.
pub(crate) fn put_right(
    path: &Path,
    kept: &HashSet<SessionId>,
    forge_cursor: i64,
    since_ms: u64,
) -> Result<(), rusqlite::Error> {
    let mut connection = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let transaction = connection.transaction()?;
    let listed: Vec<String> =
        transaction.prepare("SELECT id FROM session")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in listed.iter().filter(|id| id.parse::<SessionId>().is_ok_and(|id| !kept.contains(&id))) {
        transaction.execute("DELETE FROM session WHERE id = ?1", [id])?;
    }
    let since_ms = i64::try_from(since_ms).unwrap_or(i64::MAX);
    transaction.execute("UPDATE session SET awake = 1 WHERE updated_ms >= ?1", [since_ms])?;
    transaction.execute(SET_FORGE_CURSOR, [forge_cursor])?;
    transaction.commit()
}

/// Keeps one session's entry in the list up to date beside its task, which never waits for it. What comes while an entry is being
/// written replaces what waits: the list shows the newest.
pub(crate) struct Lister {
    latest: watch::Sender<SessionSummary>,
    writing: JoinHandle<()>,
    sorted: Sorted,
}

/// What decides in which lists a session is, and in whose.
#[derive(Debug, PartialEq, Eq)]
struct Sorted {
    visibility: Visibility,
    members: BTreeMap<UserId, SessionRole>,
    archived: bool,
    deleted: Option<u64>,
}

impl Sorted {
    fn of(state: &SessionState) -> Self {
        Self {
            visibility: state.visibility,
            members: state.members.clone(),
            archived: state.archived_ms.is_some(),
            deleted: state.deleted.as_ref().map(|deletion| deletion.purge_ms),
        }
    }
}

impl Lister {
    /// Begins with what is listed already.
    pub(crate) fn start(index: Index, state: &SessionState) -> Self {
        let (listed, sorted) = (SessionSummary::of(state), Sorted::of(state));
        let (latest, mut changed) = watch::channel(listed);
        let writing = tokio::spawn(async move {
            while changed.changed().await.is_ok() {
                let summary = changed.borrow_and_update().clone();
                if let Err(error) = index.record(summary, Wakefulness::Awake).await {
                    tracing::warn!(%error, "the list of sessions is behind");
                }
            }
        });
        Self { latest, writing, sorted }
    }

    /// Lists this soon, if it differs from what is listed in more than its time, or if that time is old.
    pub(crate) fn show(&self, summary: SessionSummary) {
        self.latest.send_if_modified(|listed| {
            let same = SessionSummary { updated_ms: listed.updated_ms, ..summary.clone() } == *listed;
            let soon = summary.updated_ms < listed.updated_ms + LIST_EVERY_MS;
            if same && soon {
                return false;
            }
            *listed = summary;
            true
        });
    }

    /// Whether what decides in which lists a session is has changed since this was asked last: that must be listed before anybody is answered.
    pub(crate) fn sorts_otherwise(&mut self, state: &SessionState) -> bool {
        let sorted = Sorted::of(state);
        let other = sorted != self.sorted;
        self.sorted = sorted;
        other
    }

    /// Waits until everything shown is listed.
    pub(crate) async fn end(self) {
        drop(self.latest);
        if let Err(error) = self.writing.await {
            tracing::error!(%error, "the list of sessions was not kept");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_copied_list_knows_whom_to_wake_and_what_to_tell_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let connection = SCHEMA.open(&path).unwrap();
        // Asleep since long ago, at work since long ago, asleep since a moment ago, and one whose log was not copied.
        let rows = [("aaaaaaaaaaaa", 10, 0), ("bbbbbbbbbbbb", 20, 1), ("cccccccccccc", 30, 0), ("dddddddddddd", 40, 1)];
        for (id, updated_ms, awake) in rows {
            let sql = "INSERT INTO session (id, summary, updated_ms, awake) VALUES (?1, '{}', ?2, ?3)";
            connection.execute(sql, (id, updated_ms, awake)).unwrap();
        }
        connection.execute(SET_FORGE_CURSOR, [9]).unwrap();
        let kept = rows[..3].iter().map(|(id, ..)| id.parse().unwrap()).collect();
        put_right(&path, &kept, 7, 30).unwrap();
        let mut statement = connection.prepare("SELECT id, awake FROM session ORDER BY id").unwrap();
        let found = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))).unwrap();
        let found: Vec<(String, bool)> = found.map(Result::unwrap).collect();
        let expected = [("aaaaaaaaaaaa", false), ("bbbbbbbbbbbb", true), ("cccccccccccc", true)];
        assert_eq!(found, expected.map(|(id, awake)| (id.to_owned(), awake)));
        assert_eq!(forge_cursor_in(&path).unwrap(), 7);
    }
}
