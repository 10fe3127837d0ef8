//! The forge's memory: one SQLite file with everything that git does not keep (repositories' rows, pull requests, reviews,
//! comments, statuses, check runs, changes). One thread writes, one reads; callers send closures and await the answer, so
//! nothing blocks the runtime and no lock is held across an await.

use std::path::Path;

use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};

use crate::error::{ForgeError, Result};

/// Closures that may wait for each of the two threads. When full, callers wait their turn.
const QUEUE_MAX: usize = 256;
/// Version of the tables below, kept in `user_version`.
const SCHEMA_VERSION: i64 = 1;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Handle to the database's two threads, which end when the last handle is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    writer: mpsc::Sender<Job>,
    reader: mpsc::Sender<Job>,
}

impl Database {
    /// Opens or creates the file and brings its tables to this version.
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let mut writer = connect(file)?;
        migrate(&mut writer)?;
        let reader = connect(file)?;
        Ok(Self { writer: serve("forge-write", writer)?, reader: serve("forge-read", reader)? })
    }

    /// Runs a closure in one transaction that is committed (and synced) when it returns `Ok`, else rolled back.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    {
        ask(&self.writer, move |connection| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        })
        .await
    }

    /// Runs a closure that only reads.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        ask(&self.reader, move |connection| work(connection)).await
    }
}

async fn ask<T, F>(thread: &mpsc::Sender<Job>, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&mut Connection) -> Result<T> + Send + 'static,
{
    let (answer, wait) = oneshot::channel();
    let job: Job = Box::new(move |connection| {
        // The asker may have gone; the work is done all the same.
        let _ = answer.send(work(connection));
    });
    let gone = || ForgeError::Broken("the database thread has ended".into());
    thread.send(job).await.map_err(|_| gone())?;
    wait.await.map_err(|_| gone())?
}

fn serve(name: &str, mut connection: Connection) -> Result<mpsc::Sender<Job>> {
    let (sender, mut jobs) = mpsc::channel::<Job>(QUEUE_MAX);
    std::thread::Builder::new().name(name.into()).spawn(move || {
        while let Some(job) = jobs.blocking_recv() {
            job(&mut connection);
        }
    })?;
    Ok(sender)
}

fn connect(file: &Path) -> Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > SCHEMA_VERSION {
        return Err(ForgeError::Broken(format!(
            "forge.sqlite was written by a newer hangar (tables {version}, this program knows {SCHEMA_VERSION}); start that one"
        )));
    }
    if version == 0 {
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Times are milliseconds since 1970; states are the words of GitHub's API.
const TABLES: &str = "
CREATE TABLE owners (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  login TEXT NOT NULL UNIQUE COLLATE NOCASE
);
CREATE TABLE people (            -- as last seen by the door; the server owns the users
  id INTEGER PRIMARY KEY,
  login TEXT NOT NULL COLLATE NOCASE,
  name TEXT NOT NULL,
  email TEXT NOT NULL
);
CREATE TABLE repos (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  owner TEXT NOT NULL COLLATE NOCASE,
  name TEXT NOT NULL COLLATE NOCASE,
  description TEXT,
  default_branch TEXT NOT NULL,
  next_number INTEGER NOT NULL DEFAULT 1,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  pushed_ms INTEGER NOT NULL,
  UNIQUE (owner, name)
);
CREATE TABLE pulls (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  repo_id INTEGER NOT NULL REFERENCES repos(id),
  number INTEGER NOT NULL,
  title TEXT NOT NULL,
  body TEXT,
  draft INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
  author_id INTEGER NOT NULL REFERENCES people(id),
  head_branch TEXT NOT NULL,
  head_sha TEXT NOT NULL,
  base_branch TEXT NOT NULL,
  base_sha TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  closed_ms INTEGER,
  merged_ms INTEGER,
  merged_by INTEGER REFERENCES people(id),
  merge_sha TEXT,
  intent_sha TEXT,               -- a merge that has begun: the commit that base is about to become
  intent_by INTEGER REFERENCES people(id),
  UNIQUE (repo_id, number)
);
CREATE UNIQUE INDEX one_open_pull ON pulls(repo_id, head_branch, base_branch) WHERE state = 'open';
CREATE TABLE reviews (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  pull_id INTEGER NOT NULL REFERENCES pulls(id),
  person_id INTEGER NOT NULL REFERENCES people(id),
  state TEXT NOT NULL CHECK (state IN ('APPROVED', 'CHANGES_REQUESTED', 'COMMENTED')),
  body TEXT NOT NULL,
  sha TEXT NOT NULL,
  submitted_ms INTEGER NOT NULL
);
CREATE INDEX reviews_of_pull ON reviews(pull_id);
CREATE TABLE comments (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  pull_id INTEGER NOT NULL REFERENCES pulls(id),
  person_id INTEGER NOT NULL REFERENCES people(id),
  body TEXT NOT NULL,
  created_ms INTEGER NOT NULL
);
CREATE INDEX comments_of_pull ON comments(pull_id);
CREATE TABLE statuses (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  repo_id INTEGER NOT NULL REFERENCES repos(id),
  sha TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('error', 'failure', 'pending', 'success')),
  context TEXT NOT NULL,
  description TEXT,
  target_url TEXT,
  person_id INTEGER NOT NULL REFERENCES people(id),
  created_ms INTEGER NOT NULL
);
CREATE INDEX statuses_of_commit ON statuses(repo_id, sha);
CREATE TABLE check_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  repo_id INTEGER NOT NULL REFERENCES repos(id),
  sha TEXT NOT NULL,
  name TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('queued', 'in_progress', 'completed')),
  conclusion TEXT,
  details_url TEXT,
  external_id TEXT,
  title TEXT,
  summary TEXT,
  started_ms INTEGER NOT NULL,
  completed_ms INTEGER
);
CREATE INDEX check_runs_of_commit ON check_runs(repo_id, sha);
CREATE TABLE changes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  repo_id INTEGER NOT NULL REFERENCES repos(id),
  number INTEGER,                -- of the pull request, where the change is of one
  actor_id INTEGER REFERENCES people(id),
  at_ms INTEGER NOT NULL,
  body TEXT NOT NULL             -- JSON of `ChangeKind`
);
";

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    /// The tables as they were released, by the length of their script and its FNV-1a fingerprint: what was released is never edited.
    const RELEASED: [(usize, u64); 1] = [(3363, 0x48ca_1638_2ccd_2b44)];

    fn fingerprint(text: &str) -> u64 {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
    }

    #[test]
    fn files_of_every_released_version_are_opened_and_newer_ones_refused() {
        let now = [(TABLES.len(), fingerprint(TABLES))];
        assert_eq!(now, RELEASED, "write a step from the old tables to the new ones instead");
        let folder = tempfile::tempdir().unwrap();
        for (version, sql) in (1..).zip([include_str!("released/forge-1.sql")]) {
            let path = folder.path().join(format!("forge-{version}.sqlite"));
            Connection::open(&path).unwrap().execute_batch(sql).unwrap();
            let mut opened = connect(&path).unwrap();
            migrate(&mut opened).unwrap();
            let found: String =
                opened.query_row("SELECT name FROM repos WHERE owner = 'acme'", [], |row| row.get(0)).unwrap();
            assert_eq!(found, "tiny");
            opened.pragma_update(None, "user_version", 99).unwrap();
            assert!(migrate(&mut opened).unwrap_err().to_string().contains("newer hangar"));
        }
    }
}
