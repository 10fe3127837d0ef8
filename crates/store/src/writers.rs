//! The threads that write.

use std::{collections::HashMap, thread};

use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::StoreError;

/// Writer threads of one program. Each serves many databases; a database always stays on the same one.
const LANES: usize = 2;
/// Jobs that may wait for one thread. When it is full, writers wait: that is the back-pressure which ends at the clients.
const LANE_JOBS_MAX: usize = 4_096;
/// Jobs that one pass takes out of the mailbox, so that a flood cannot delay the first job's answer without end.
const PASS_JOBS_MAX: usize = 512;

/// Tells a database apart from others on its thread.
pub(crate) type DatabaseId = u64;
/// Answers one job's caller once the commit's fate is known.
pub(crate) type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Does one job's statements, or nothing where there is no connection to do them on; what it returns answers the caller.
pub(crate) type Work = Box<dyn FnOnce(Option<&Connection>) -> (Result<(), StoreError>, Answer) + Send>;

/// What a writer thread is asked.
pub(crate) enum Job {
    /// Take over a connection.
    Adopt(DatabaseId, Connection),
    /// Write.
    Write(DatabaseId, Work),
    /// Close the connection and say when that is done.
    Close(DatabaseId, Answer),
}

/// A handle on the writer threads. They end when the last handle and the last [`crate::Database`] are gone.
#[derive(Clone, Debug)]
pub struct Writers {
    lanes: Vec<mpsc::Sender<Job>>,
}

impl Writers {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn start() -> std::io::Result<Self> {
        let mut lanes = Vec::with_capacity(LANES);
        for lane in 0..LANES {
            let (sender, inbox) = mpsc::channel(LANE_JOBS_MAX);
            thread::Builder::new().name(format!("store-{lane}")).spawn(move || run_lane(inbox))?;
            lanes.push(sender);
        }
        Ok(Self { lanes })
    }

    pub(crate) fn lane(&self, id: DatabaseId) -> mpsc::Sender<Job> {
        let lane = usize::try_from(id % self.lanes.len() as u64).unwrap_or_default();
        self.lanes[lane].clone()
    }
}

fn run_lane(mut inbox: mpsc::Receiver<Job>) {
    let mut connections: HashMap<DatabaseId, Connection> = HashMap::new();
    let mut jobs = Vec::with_capacity(PASS_JOBS_MAX);
    while inbox.blocking_recv_many(&mut jobs, PASS_JOBS_MAX) > 0 {
        let mut batches: Vec<(DatabaseId, Vec<Work>)> = Vec::new();
        for job in jobs.drain(..) {
            match job {
                Job::Adopt(id, connection) => {
                    connections.insert(id, connection);
                }
                Job::Write(id, work) => match batches.iter_mut().find(|(known, _)| *known == id) {
                    Some((_, batch)) => batch.push(work),
                    None => batches.push((id, vec![work])),
                },
                Job::Close(id, answer) => {
                    commit_batches(&mut connections, &mut batches);
                    connections.remove(&id);
                    answer(Ok(()));
                }
            }
        }
        commit_batches(&mut connections, &mut batches);
    }
}

fn commit_batches(connections: &mut HashMap<DatabaseId, Connection>, batches: &mut Vec<(DatabaseId, Vec<Work>)>) {
    for (id, batch) in batches.drain(..) {
        match connections.get_mut(&id) {
            Some(connection) => commit_batch(connection, batch),
            None => refuse(batch, &StoreError::Closed),
        }
    }
}

/// Runs every job of a batch in one transaction. A job that fails is undone alone; if the commit fails, all of them are.
fn commit_batch(connection: &mut Connection, batch: Vec<Work>) {
    let connection = &*connection;
    let said = |error| StoreError::of(connection, error);
    let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(said);
    if let Err(error) = begun {
        // Its writers are told, and say it to whoever has to know.
        tracing::debug!(%error, "cannot begin a transaction");
        return refuse(batch, &error);
    }
    let mut answers = Vec::with_capacity(batch.len());
    for work in batch {
        let (done, answer) = run_in_savepoint(connection, work);
        answers.push((done, answer));
    }
    let committed = connection.execute_batch("COMMIT").map_err(said);
    if let Err(error) = &committed {
        tracing::debug!(%error, jobs = answers.len(), "a commit failed; its writers are told");
        // After a failed COMMIT SQLite may or may not have rolled back by itself; asking again is harmless.
        let _already_rolled_back = connection.execute_batch("ROLLBACK");
    }
    for (done, answer) in answers {
        answer(done.and_then(|()| committed.clone()));
    }
}

fn run_in_savepoint(connection: &Connection, work: Work) -> (Result<(), StoreError>, Answer) {
    let opened = connection.execute_batch("SAVEPOINT job").map_err(|error| StoreError::of(connection, error));
    let (done, answer) = work(Some(connection));
    let done = opened.and(done);
    let closing = if done.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    let closed = connection.execute_batch(closing).map_err(|error| StoreError::of(connection, error));
    (done.and(closed), answer)
}

fn refuse(batch: Vec<Work>, error: &StoreError) {
    for work in batch {
        let (_nothing_done, answer) = work(None);
        answer(Err(error.clone()));
    }
}
