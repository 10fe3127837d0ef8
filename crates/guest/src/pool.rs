//! A few threads for requests that touch files. They are started when there is work for them: a sandbox that waits has none.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
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
    jobs: Arc<Mutex<Receiver<Job>>>,
    /// Handed over and not done yet.
    open: Arc<AtomicUsize>,
    workers: AtomicUsize,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let (queue, jobs) = sync_channel(WAITING_MAX);
        Self { queue, jobs: Arc::new(Mutex::new(jobs)), open: Arc::default(), workers: AtomicUsize::new(0) }
    }

    /// Hands a job to the next free thread. Called by one thread.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        let workers = self.workers.load(Ordering::Relaxed);
        if workers < WORKERS && self.open.load(Ordering::Relaxed) >= workers {
            let jobs = Arc::clone(&self.jobs);
            let thread = std::thread::Builder::new().name("files".into()).stack_size(STACK_BYTES);
            match thread.spawn(move || work(&jobs)) {
                Ok(_) => drop(self.workers.fetch_add(1, Ordering::Relaxed)),
                // Those that there are do it, later.
                Err(_) if workers > 0 => {}
                Err(error) => return Err(crate::files::failure("starting a thread", &error)),
            }
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        let open = Arc::clone(&self.open);
        let handed = self.queue.try_send(Box::new(move || {
            job();
            open.fetch_sub(1, Ordering::Relaxed);
        }));
        handed.map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => {
                self.open.fetch_sub(1, Ordering::Relaxed);
                Failure {
                    kind: FailureKind::Busy,
                    message: format!("{WAITING_MAX} requests for files are waiting already; try again"),
                }
            }
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
