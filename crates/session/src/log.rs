//! A session's log: one SQLite file, one row an event.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use hangar_protocol::{Event, Kinds, Seq, SessionId, SessionState, state::LogFault};
use hangar_store::{Database, Schema, StoreError, Writers, open_for_reading, rusqlite};
use tokio::sync::OnceCell;

/// The schema of `log.db`.
pub(crate) const SCHEMA: Schema =
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

impl LogError {
    /// Whether the log itself is not whole any more; otherwise it could not be read or written now, and may be later.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Store(StoreError::Damaged(_)) | Self::Json(_) | Self::Fault(_) => true,
            Self::Store(
                StoreError::DiskFull
                | StoreError::ReadOnly
                | StoreError::File(_)
                | StoreError::Sqlite(_)
                | StoreError::Newer { .. }
                | StoreError::Older { .. }
                | StoreError::Closed,
            ) => false,
        }
    }
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
    Fault(#[from] LogFault),
}

/// The writing end. Only a session's driver has one.
#[derive(Debug)]
pub(crate) struct SessionLog {
    writers: Writers,
    path: PathBuf,
    /// Opened when it is first needed: nobody waits for it who begins a session.
    database: OnceCell<Database>,
}

impl SessionLog {
    /// The log in a session's folder, which there is.
    pub(crate) fn new(writers: &Writers, folder: &Path) -> Self {
        Self { writers: writers.clone(), path: folder.join(FILE), database: OnceCell::new() }
    }

    /// Begins the log of a session with its first events. They have been fsynced when this answers `Ok`, and with them the names of the log and of
    /// its folder.
    pub(crate) async fn begin(writers: &Writers, folder: &Path, events: Vec<StoredEvent>) -> Result<Self, LogError> {
        let log = Self::new(writers, folder);
        let path = log.path.clone();
        let make = move || SCHEMA.create(&path, |connection| insert(connection, &events));
        tokio::task::spawn_blocking(make).await.map_err(|_| StoreError::Closed)??;
        Ok(log)
    }

    /// Opens the file now rather than at the first append.
    pub(crate) async fn open(&self) -> Result<(), LogError> {
        self.database().await.map(drop)
    }

    async fn database(&self) -> Result<&Database, LogError> {
        Ok(self.database.get_or_try_init(|| Database::open(&self.writers, &self.path, SCHEMA)).await?)
    }

    /// Writes events, all or none. They have been fsynced when this answers `Ok`.
    pub(crate) async fn append(&self, events: Vec<StoredEvent>) -> Result<(), LogError> {
        Ok(self.database().await?.write(move |connection| insert(connection, &events)).await?)
    }

    /// Gives the file's descriptors back.
    pub(crate) async fn close(self) {
        let Some(database) = self.database.into_inner() else { return };
        if let Err(error) = database.close().await {
            tracing::warn!(%error, "a log was not closed in order");
        }
    }
}

fn insert(connection: &rusqlite::Connection, events: &[StoredEvent]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("INSERT INTO event (seq, json) VALUES (?1, ?2)")?;
    for event in events {
        statement.execute((as_i64(event.seq), &*event.json))?;
    }
    Ok(())
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
        let read = move || match (side, kinds) {
            (Side::After(after), None) => whole_page(&path, after, limit),
            (Side::After(_) | Side::Before(_), _) => chosen_page(&path, side, limit, kinds),
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Closed)?
    }

    /// The events after a position and the log's last position, as [`read_page`] has them.
    pub(crate) async fn parsed_page(&self, after: Seq, limit: u32) -> Result<(Vec<Event>, Seq), LogError> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read_page(&path, after, limit));
        let (rows, head) = read.await.map_err(|_| StoreError::Closed)??;
        let events = rows.iter().map(|row| serde_json::from_str(&row.json)).collect::<Result<_, _>>()?;
        Ok((events, head))
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
                fold_in(&mut state, &event)?;
                take(&event);
            }
            Ok(state.ok_or(LogFault::NoBeginning)?)
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

/// A page onwards of every kind. What stands before damage is read.
fn whole_page(path: &Path, after: Seq, limit: u32) -> Result<LogPage, LogError> {
    let (events, head) = read_page(path, after, limit)?;
    let looked_at = events.last().map_or(after.min(head), |last| last.seq);
    Ok(LogPage { events, looked_at, head })
}

/// A page of some kinds, or backwards.
fn chosen_page(path: &Path, side: Side, limit: u32, kinds: Option<Kinds>) -> Result<LogPage, LogError> {
    let connection = open_for_reading(path)?;
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

/// At most `limit` events of the log at `path` after `after`, and the log's last position. Where the log is damaged, it is the events before that; only a
/// page that would begin with the damage is an error. So what can be read is read, and nobody takes the damage for the end. Blocks.
pub(crate) fn read_page(path: &Path, after: Seq, limit: u32) -> Result<(Vec<StoredEvent>, Seq), LogError> {
    let connection = open_for_reading(path)?;
    let mut statement = connection
        .prepare("SELECT seq, json FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2")
        .map_err(StoreError::from)?;
    let mut rows = statement.query((as_i64(after), limit)).map_err(StoreError::from)?;
    let mut events = Vec::new();
    let damage = loop {
        match rows.next() {
            Ok(Some(row)) => match read_row(row) {
                Ok(event) => events.push(event),
                Err(error) => break Some(error),
            },
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    match (events.last(), damage) {
        (Some(last), Some(_)) => {
            let head = last.seq.next();
            Ok((events, head))
        }
        (None, Some(error)) => Err(StoreError::from(error).into()),
        (_, None) => {
            let head: i64 = connection
                .query_row("SELECT coalesce(max(seq), 0) FROM event", [], |row| row.get(0))
                .map_err(StoreError::from)?;
            Ok((events, Seq(head.unsigned_abs())))
        }
    }
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent { seq: Seq(row.get::<_, i64>(0)?.unsigned_abs()), json: row.get::<_, String>(1)?.into() })
}

/// Takes a log's next event into the state before it, `None` before the first.
pub(crate) fn fold_in(state: &mut Option<SessionState>, event: &Event) -> Result<(), LogError> {
    match state {
        Some(state) => Ok(state.apply_next(event)?),
        None => {
            *state = Some(SessionState::begin(event).ok_or(LogFault::NoBeginning)?);
            Ok(())
        }
    }
}

/// The sessions below `sessions_dir` that have a log, sorted. Blocks.
///
/// # Errors
/// When the folder cannot be read.
pub fn sessions_in(sessions_dir: &Path) -> std::io::Result<Vec<SessionId>> {
    let mut sessions = Vec::new();
    for entry in std::fs::read_dir(sessions_dir)? {
        let entry = entry?;
        // What else is there lies beside the sessions.
        let Ok(id) = entry.file_name().to_string_lossy().parse::<SessionId>() else { continue };
        if entry.path().join(FILE).exists() {
            sessions.push(id);
        }
    }
    sessions.sort();
    Ok(sessions)
}

fn as_i64(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

/// Whether a log has begun. Blocks.
pub(crate) fn has_events(path: &Path) -> Result<bool, rusqlite::Error> {
    let connection = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.query_row("SELECT EXISTS (SELECT 1 FROM event)", [], |row| row.get(0))
}

/// Removes the folder of a session that never began. Fails where anything else is in it. Blocks.
pub(crate) fn remove_unbegun(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(folder.join(FILE).with_extension("part")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::fs::remove_dir(folder)
}
