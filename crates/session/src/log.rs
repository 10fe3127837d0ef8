//! A session's log: one SQLite file, one row an event.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use hangar_protocol::{Event, Kinds, Seq, SessionState};
use hangar_store::{Database, Schema, StoreError, Writers, rusqlite};

/// The schema of `log.db`.
const SCHEMA: Schema =
    Schema { migrations: &["CREATE TABLE event (seq INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT;"] };

/// The file's name inside a session's folder.
pub(crate) const FILE: &str = "log.db";

/// An event as it is stored and sent: serialized once.
#[derive(Clone, Debug)]
pub(crate) struct StoredEvent {
    /// Its position.
    pub(crate) seq: Seq,
    /// Its JSON.
    pub(crate) json: Arc<str>,
}

impl StoredEvent {
    /// Serializes an event.
    pub(crate) fn new(event: &Event) -> Result<Self, LogError> {
        Ok(Self { seq: event.seq, json: serde_json::to_string(event)?.into() })
    }
}

/// Why a log could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// The file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row is not an event.
    #[error("an event cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// The rows are not a log.
    #[error(transparent)]
    Fault(#[from] hangar_protocol::state::LogFault),
}

/// The writing end. Only a session's driver has one.
#[derive(Debug)]
pub(crate) struct SessionLog {
    database: Database,
}

impl SessionLog {
    /// Opens the log in a session's folder, or begins one.
    pub(crate) async fn open(writers: &Writers, folder: &Path) -> Result<Self, LogError> {
        Ok(Self { database: Database::open(writers, &folder.join(FILE), SCHEMA).await? })
    }

    /// Writes events, all or none. They have been fsynced when this answers `Ok`.
    pub(crate) async fn append(&self, events: Vec<StoredEvent>) -> Result<(), LogError> {
        let insert = move |connection: &rusqlite::Connection| {
            let mut statement = connection.prepare_cached("INSERT INTO event (seq, json) VALUES (?1, ?2)")?;
            for event in &events {
                statement.execute((as_i64(event.seq), &*event.json))?;
            }
            Ok(())
        };
        Ok(self.database.write(insert).await?)
    }

    /// Gives the file's descriptors back.
    pub(crate) async fn close(self) {
        if let Err(error) = self.database.close().await {
            tracing::warn!(%error, "a log was not closed in order");
        }
    }
}

/// The reading end. Holds no descriptor: each page opens the file anew (half a millisecond), so that a thousand idle readers cost
/// nothing.
#[derive(Clone, Debug)]
pub(crate) struct LogReader {
    path: PathBuf,
}

impl LogReader {
    /// Reads the log in a session's folder.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join(FILE) }
    }

    /// At most `limit` events on one side of a position.
    pub(crate) async fn page(&self, side: Side, limit: u32, kinds: Option<Kinds>) -> Result<LogPage, LogError> {
        let path = self.path.clone();
        let read = move || -> Result<_, LogError> {
            let connection = open_for_reading(&path)?;
            // The end first: what is appended meanwhile must not count as looked at.
            let head = last_seq(&connection)?;
            let mut events = events_of(&connection, side, limit, kinds)?;
            let full = events.len() >= limit as usize;
            let looked_at = match side {
                Side::After(after) => match events.last() {
                    Some(last) if full => last.seq,
                    Some(last) => head.max(last.seq),
                    None => head,
                }
                .max(after.min(head)),
                Side::Before(_) => {
                    events.reverse();
                    events.first().filter(|_| full).map_or(Seq(1), |first| first.seq)
                }
            };
            Ok(LogPage { events, looked_at, head })
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Closed)?
    }

    /// Every event, handed to `take` in order; the fold over them.
    pub(crate) async fn fold(&self, mut take: impl FnMut(&Event) + Send + 'static) -> Result<SessionState, LogError> {
        let path = self.path.clone();
        let read = move || -> Result<_, LogError> {
            let connection = open_for_reading(&path)?;
            let mut statement = connection.prepare("SELECT json FROM event ORDER BY seq").map_err(StoreError::from)?;
            let mut rows = statement.query([]).map_err(StoreError::from)?;
            let mut state: Option<SessionState> = None;
            while let Some(row) = rows.next().map_err(StoreError::from)? {
                let json: String = row.get(0).map_err(StoreError::from)?;
                let event: Event = serde_json::from_str(&json)?;
                match &mut state {
                    Some(state) => state.apply_next(&event)?,
                    None => state = SessionState::begin(&event),
                }
                take(&event);
            }
            Ok(state.ok_or(hangar_protocol::state::LogFault::NoBeginning)?)
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Closed)?
    }
}

/// On which side of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The first ones after it.
    After(Seq),
    /// The last ones before it.
    Before(Seq),
}

/// A page of a log.
#[derive(Debug)]
pub(crate) struct LogPage {
    /// In order.
    pub(crate) events: Vec<StoredEvent>,
    /// How far was looked: the last position, or going backwards the first.
    pub(crate) looked_at: Seq,
    /// The log's last position.
    pub(crate) head: Seq,
}

fn last_seq(connection: &rusqlite::Connection) -> Result<Seq, LogError> {
    let sql = "SELECT coalesce(max(seq), 0) FROM event";
    let last: i64 = connection.query_row(sql, [], |row| row.get(0)).map_err(StoreError::from)?;
    Ok(Seq(last.unsigned_abs()))
}

/// In the order in which they are looked for.
fn events_of(
    connection: &rusqlite::Connection,
    side: Side,
    limit: u32,
    kinds: Option<Kinds>,
) -> Result<Vec<StoredEvent>, LogError> {
    let (position, compared, order) = match side {
        Side::After(position) => (position, ">", "ASC"),
        Side::Before(position) => (position, "<", "DESC"),
    };
    let of_kind = match kinds {
        Some(_) => "AND json_extract(json, '$.body.type') IN (SELECT value FROM json_each(?3))",
        None => "AND ?3 IS NULL",
    };
    let names = kinds.map(|kinds| serde_json::to_string(&kinds.names())).transpose()?;
    let sql = format!("SELECT seq, json FROM event WHERE seq {compared} ?1 {of_kind} ORDER BY seq {order} LIMIT ?2");
    let mut statement = connection.prepare(&sql).map_err(StoreError::from)?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(StoredEvent { seq: Seq(row.get::<_, i64>(0)?.unsigned_abs()), json: row.get::<_, String>(1)?.into() })
    };
    let rows = statement.query_map((as_i64(position), limit, names), read).map_err(StoreError::from)?;
    Ok(rows.collect::<Result<Vec<_>, _>>().map_err(StoreError::from)?)
}

fn open_for_reading(path: &Path) -> Result<rusqlite::Connection, LogError> {
    // Read-write without create: a reader of a WAL file may have to build its index, but must never make a log.
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags).map_err(StoreError::from)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(StoreError::from)?;
    Ok(connection)
}

fn as_i64(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

/// Whether a log has begun. Blocks.
pub(crate) fn has_events(path: &Path) -> Result<bool, rusqlite::Error> {
    let connection = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.query_row("SELECT EXISTS (SELECT 1 FROM event)", [], |row| row.get(0))
}
