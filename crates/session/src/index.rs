//! The list of sessions, and what can be searched and counted over all of them: a projection of their logs in one database, so that
//! none of this needs a log opened.
//!
//! The logs are the truth; everything here can be made again from them (`rebuild.rs`). Each session has the position up to which its log was taken
//! in. A step is written only from exactly there, in one transaction, so nothing is ever counted twice or left out, whoever
//! writes: a session's [`Lister`], the start of a server, `hangar rebuild` beside it.

mod catch_up;
mod check;
mod lister;
mod project;
mod rebuild;
mod schema;
mod search;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests;

pub use check::{AtRest, Compared, check};
pub use rebuild::{Damaged, Rebuilt, rebuild};

use std::{path::Path, sync::Arc};

use hangar_protocol::{Event, Seq, SessionId, api::SessionSummary};
use hangar_store::{
    Database, StoreError, Writers,
    rusqlite::{self, Connection, OptionalExtension as _},
};

pub(crate) use catch_up::{CatchUpError, catch_up};
pub(crate) use lister::{Listed, Lister, Lists};
#[cfg(test)]
pub(crate) use schema::SCHEMA;
pub(crate) use schema::inherited;
pub(crate) use search::Wanted;

use crate::{list_tail::ListTail, working::Inherited};

/// The file's name in the folder of sessions.
pub(crate) const FILE: &str = "index.db";
/// Events taken in by one write.
const STEP_EVENTS_MAX: u32 = 1_000;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    database: Database,
    /// What followers of the list are told.
    tail: Arc<ListTail>,
}

/// The next events of a session, and what lists show of it after them.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// From where they go on.
    pub(crate) from: From,
    /// In order, without a gap.
    pub(crate) events: Vec<Event>,
    /// After the last of them.
    pub(crate) summary: SessionSummary,
}

/// From where a step goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// After this event, which was the last that was taken in; [`Seq::START`] for a session that is not listed.
    After(Seq),
    /// From the beginning: whatever is there of the session is thrown away.
    Scratch,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// It was taken in.
    Taken,
    /// It does not go on from where the session stands in the list, which is after this event.
    Elsewhere(Seq),
}

impl Index {
    /// Opens the list, and gives what an older one knew that is kept elsewhere now: it must be kept there before [`Index::open`] is called.
    pub(crate) async fn inherited(folder: &Path) -> Result<Inherited, StoreError> {
        let path = folder.join(FILE);
        tokio::task::spawn_blocking(move || inherited(&path)).await.map_err(|_| StoreError::Closed)?
    }

    /// Opens the list, or begins one. One that is damaged is put aside: it can be made again.
    pub(crate) async fn open(writers: &Writers, folder: &Path) -> Result<Self, StoreError> {
        match Self::open_there(writers, folder).await {
            Err(StoreError::Damaged(why)) => {
                tracing::error!(why, "the list of sessions is damaged; it is made again from the logs");
                put_aside(folder)?;
                Self::open_there(writers, folder).await
            }
            opened => opened,
        }
    }

    /// Opens the list, or begins one; a damaged one is an error.
    async fn open_there(writers: &Writers, folder: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            database: Database::open_projection(writers, &folder.join(FILE), schema::SCHEMA).await?,
            tail: Arc::default(),
        })
    }

    /// Takes in the next events of a session. A power cut may undo it until [`Index::harden`] answers.
    pub(crate) async fn step(&self, step: Step) -> Result<Stepped, StoreError> {
        let json = serde_json::to_string(&step.summary).map_err(|error| StoreError::Sqlite(error.to_string()))?;
        let shown = step.summary.clone();
        let stepped = self.database.write(move |connection| take_step(connection, &step, &json)).await?;
        if stepped == Stepped::Taken {
            self.tail.changed(&shown);
        }
        Ok(stepped)
    }

    /// The changes of the list.
    pub(crate) fn tail(&self) -> &ListTail {
        &self.tail
    }

    /// Up to which event a session was taken in; [`Seq::START`] where it is not listed.
    pub(crate) async fn position(&self, session: &SessionId) -> Result<Seq, StoreError> {
        let session = session.clone();
        self.database.read(move |connection| position(connection, session.as_str())).await
    }

    /// Makes the search anew from what is searched.
    async fn fit_search(&self) -> Result<(), StoreError> {
        let sql = "INSERT INTO words (words) VALUES ('rebuild')";
        self.database.write(move |connection| connection.execute(sql, [])).await.map(drop)
    }

    /// Takes a session out of the list.
    pub(crate) async fn forget(&self, session: &SessionId) -> Result<(), StoreError> {
        let gone = session.clone();
        self.database.write(move |connection| project::forget(connection, gone.as_str())).await?;
        self.tail.removed(session);
        Ok(())
    }

    /// What was taken in before this is on disk when it answers.
    pub(crate) async fn harden(&self) -> Result<(), StoreError> {
        self.database.harden().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.database.close().await
    }

    /// The database, for questions that have a file of their own.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// The ids of the sessions that have an open turn as far as the list knows.
    pub(crate) async fn running(&self) -> Result<Vec<SessionId>, StoreError> {
        self.ids("SELECT id FROM session WHERE status = 'running'").await
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
        let read = move |connection: &Connection| {
            connection.prepare_cached(sql)?.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
        };
        let rows = self.database.read(read).await?;
        Ok(rows.into_iter().filter_map(|id| SessionId::try_from(id).ok()).collect())
    }
}

fn position(connection: &Connection, session: &str) -> rusqlite::Result<Seq> {
    let mut statement = connection.prepare_cached("SELECT seq FROM session WHERE id = ?1")?;
    let seq: Option<i64> = statement.query_row([session], |row| row.get(0)).optional()?;
    Ok(Seq(seq.unwrap_or_default().unsigned_abs()))
}

/// Inside the caller's transaction.
fn take_step(connection: &Connection, step: &Step, json: &str) -> rusqlite::Result<Stepped> {
    let session = step.summary.id.as_str();
    let at = position(connection, session)?;
    let begin = match step.from {
        From::Scratch => Seq::START,
        From::After(seq) => seq,
    };
    let goes_on = (begin.0 + 1..).zip(&step.events).all(|(seq, event)| event.seq == Seq(seq));
    if !goes_on || (step.from != From::Scratch && at != begin) {
        return Ok(Stepped::Elsewhere(at));
    }
    if step.from == From::Scratch {
        project::forget(connection, session)?;
    }
    for event in &step.events {
        project::take_in(connection, session, event)?;
    }
    let end = begin.0 + step.events.len() as u64;
    project::summarize(connection, i64::try_from(end).unwrap_or(i64::MAX), &step.summary, json)?;
    Ok(Stepped::Taken)
}

/// Moves the list in `sessions_dir` away that cannot be used, with what SQLite keeps beside it. One that was put aside before is replaced. Only while
/// nobody has it open.
///
/// # Errors
/// When it cannot be moved.
pub fn put_aside(sessions_dir: &Path) -> Result<(), StoreError> {
    let path = sessions_dir.join(FILE);
    for suffix in ["", "-wal", "-shm"] {
        let mut from = path.as_os_str().to_owned();
        from.push(suffix);
        let mut to = path.with_extension("damaged").into_os_string();
        to.push(suffix);
        match std::fs::rename(from, to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
