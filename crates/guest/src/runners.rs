//! Threads that see commands through. One that is done waits for the next command for a while, as starting a thread takes about as long as starting a small program.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
};

/// Stack of one: a chunk of output and a few frames.
const STACK_BYTES: usize = 256 * 1024;
/// Threads that may wait for a command. A further one ends.
const WAITING_MAX: usize = 2;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. A cheap handle.
#[derive(Clone, Default)]
pub(crate) struct Runners {
    waiting: Arc<Mutex<Vec<SyncSender<Job>>>>,
}

impl Runners {
    /// With one thread that waits already.
    ///
    /// # Errors
    /// When the kernel has no thread left to give.
    pub(crate) fn start() -> io::Result<Self> {
        let runners = Self::default();
        runners.spawn(Box::new(|| {}))?;
        Ok(runners)
    }

    /// Hands a job to a thread that waits, or to a new one.
    ///
    /// # Errors
    /// When the kernel has no thread left to give.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let job: Job = Box::new(job);
        let waiting = self.waiting().pop();
        let job = match waiting {
            // Whoever waits takes it: a thread leaves this list only with a job.
            Some(thread) => match thread.try_send(job) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => job,
            },
            None => job,
        };
        self.spawn(job)
    }

    fn spawn(&self, job: Job) -> io::Result<()> {
        let runners = self.clone();
        let thread = std::thread::Builder::new().name("exec".into()).stack_size(STACK_BYTES);
        thread.spawn(move || runners.work(job)).map(drop)
    }

    fn work(&self, mut job: Job) {
        loop {
            job();
            let (next, given) = sync_channel(1);
            {
                let mut waiting = self.waiting();
                if waiting.len() >= WAITING_MAX {
                    return;
                }
                waiting.push(next);
            }
            match given.recv() {
                Ok(given) => job = given,
                Err(_) => return,
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<SyncSender<Job>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
