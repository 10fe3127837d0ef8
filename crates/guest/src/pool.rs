//! A few threads for requests that touch files.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

use hangar_protocol::guest::{Failure, FailureKind};

/// Threads that work on files.
const WORKERS: usize = 4;
/// Requests that may wait for a worker. A further one is told to come back later.
const WAITING_MAX: usize = 64;
/// Enough for a deep directory walk, small enough not to matter.
const STACK_BYTES: usize = 512 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// The threads.
pub(crate) struct Pool {
    queue: SyncSender<Job>,
}

impl Pool {
    pub(crate) fn start() -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(WAITING_MAX);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..WORKERS {
            let jobs = Arc::clone(&jobs);
            std::thread::Builder::new().name("files".into()).stack_size(STACK_BYTES).spawn(move || work(&jobs))?;
        }
        Ok(Self { queue })
    }

    /// Hands a job to the next free thread.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        self.queue.try_send(Box::new(job)).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Failure {
                kind: FailureKind::Busy,
                message: format!("{WAITING_MAX} requests for files are waiting already; try again"),
            },
        })
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}
