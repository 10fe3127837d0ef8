//! Proves a list equal to the logs that it was made from.

use std::{collections::BTreeSet, path::Path};

use hangar_protocol::{Event, Seq, SessionId, SessionState, api::SessionSummary};
use hangar_store::{
    StoreError,
    rusqlite::{self, Connection, OpenFlags},
};

use super::{From, STEP_EVENTS_MAX, Step, Stepped, position, project, rebuild::Damaged, schema, take_step};
use crate::log::{self, LogError};

/// Differences that are named; there may be more.
const DIFFERENCES_MAX: usize = 50;
/// How much of a row is shown.
const ROW_CHARS_MAX: usize = 200;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Compared {
    /// How many sessions were compared.
    pub sessions: u64,
    /// Those whose logs are damaged, with how: there is nothing to compare them with.
    pub damaged: Vec<Damaged>,
    /// In words; at most 50 of them.
    pub differences: Vec<String>,
}

/// Whether somebody writes meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtRest {
    /// No server runs: every log is in the list up to its end.
    Yes,
    /// A server runs: the list may be behind, and says up to which event it goes.
    No,
}

/// Compares the list in `sessions_dir` with what the logs there say, each session up to where the list has it. Changes nothing. Blocks.
///
/// # Errors
/// When the folder or the list cannot be read, or the list is of another version.
pub fn check(sessions_dir: &Path, at_rest: AtRest) -> Result<Compared, StoreError> {
    let path = sessions_dir.join(super::FILE);
    // Read-write without create, as for every reader of a WAL file.
    let listed = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::SCHEMA.must_be_current(&listed, &path)?;
    let made = schema::SCHEMA.open_in_memory()?;
    let mut compared = Compared::default();
    // That the words are found which are there; SQLite compares its index of them with the rows.
    if let Err(error) = listed.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)", []) {
        compared.note(format!("the search does not fit what is searched: {error}"));
    }
    let logs = log::sessions_in(sessions_dir)?;
    for id in all_ids(&listed)?.iter().filter(|id| !logs.iter().any(|log| log.as_str() == *id)) {
        compared.note(format!("{id} is listed and has no log"));
    }
    for session in logs {
        let reason = match compare(&listed, &made, sessions_dir, &session, at_rest, &mut compared) {
            Ok(()) => {
                compared.sessions += 1;
                continue;
            }
            Err(LogError::Store(error @ StoreError::Damaged(_))) => error.to_string(),
            Err(LogError::Store(error)) => return Err(error),
            Err(error @ (LogError::Json(_) | LogError::Fault(_))) => error.to_string(),
        };
        compared.damaged.push(Damaged { session, reason });
    }
    Ok(compared)
}

fn compare(
    listed: &Connection,
    made: &Connection,
    sessions_dir: &Path,
    session: &SessionId,
    at_rest: AtRest,
    compared: &mut Compared,
) -> Result<(), LogError> {
    // One moment of the list, whoever writes it.
    let moment = listed.unchecked_transaction().map_err(StoreError::from)?;
    let upto = position(&moment, session.as_str()).map_err(StoreError::from)?;
    let found = rows(&moment, session)?;
    drop(moment);
    let head = project_upto(made, &sessions_dir.join(session.as_str()).join(log::FILE), upto)?;
    let expected = rows(made, session)?;
    project::forget(made, session.as_str()).map_err(StoreError::from)?;
    if upto > head || (at_rest == AtRest::Yes && upto < head) {
        compared.note(format!("{session} is listed up to event {upto}, its log goes to {head}"));
    }
    for row in found.difference(&expected) {
        compared.note(format!("{session}: the list has {row}, the log has not"));
    }
    for row in expected.difference(&found) {
        compared.note(format!("{session}: the log has {row}, the list has not"));
    }
    Ok(())
}

/// Takes a log's events up to `upto` into the list `made`. Gives the log's last event.
fn project_upto(made: &Connection, log: &Path, upto: Seq) -> Result<Seq, LogError> {
    let mut state: Option<SessionState> = None;
    let mut from = From::Scratch;
    let mut cursor = Seq::START;
    loop {
        let (rows, head) = log::read_page(log, cursor, STEP_EVENTS_MAX)?;
        let events = rows.iter().map(|row| serde_json::from_str(&row.json)).collect::<Result<Vec<Event>, _>>()?;
        let Some(last) = events.last().map(|event| event.seq) else { return Ok(head) };
        cursor = last;
        let events: Vec<Event> = events.into_iter().filter(|event| event.seq <= upto).collect();
        let Some(last) = events.last().map(|event| event.seq) else { return Ok(head) };
        for event in &events {
            log::fold_in(&mut state, event)?;
        }
        let Some(state) = &state else { return Ok(head) };
        let step = Step { from, events, summary: SessionSummary::of(state) };
        let json = serde_json::to_string(&step.summary)?;
        match take_step(made, &step, &json).map_err(StoreError::from)? {
            Stepped::Taken => from = From::After(last),
            Stepped::Elsewhere(at) => {
                return Err(hangar_protocol::state::LogFault::Gap { after: at, found: last }.into());
            }
        }
    }
}

fn all_ids(listed: &Connection) -> rusqlite::Result<Vec<String>> {
    listed.prepare("SELECT id FROM session")?.query_map([], |row| row.get(0))?.collect()
}

/// Every row of a session, as text, with its table.
fn rows(connection: &Connection, session: &SessionId) -> Result<BTreeSet<String>, StoreError> {
    let mut found = BTreeSet::new();
    for (table, key, columns) in schema::TABLES {
        let columns: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
        let sql = format!("SELECT {} FROM {table} WHERE {key} = ?1", columns.join(" || ', ' || "));
        let mut statement = connection.prepare_cached(&sql)?;
        for row in statement.query_map([session.as_str()], |row| row.get::<_, String>(0))? {
            found.insert(format!("{table}: {}", row?));
        }
    }
    Ok(found)
}

impl Compared {
    fn note(&mut self, difference: String) {
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(hangar_protocol::limits::clip(&difference, ROW_CHARS_MAX));
        }
    }
}
