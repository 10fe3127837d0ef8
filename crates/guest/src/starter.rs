//! The thread that starts commands.
//!
//! Landlock's rules name directories of the root that is mounted when they are made, and can never be changed for a thread that has them. A snapshot puts another root
//! in place; so the rules for files are given to one thread only, from which all commands are forked. After a snapshot, which happens only while no command runs, another thread takes its place. All
//! commands between two snapshots so share one set of rules, and can trace and signal each other as anywhere.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use hangar_protocol::guest::Account;

use crate::{
    lockdown,
    spawn::{Launch, Launched, launch},
};

/// Enough for what happens before a fork.
const STACK_BYTES: usize = 128 * 1024;
/// Commands that may wait for the one before them to be forked. A further one waits with its own thread.
const WAITING_MAX: usize = 16;

/// What commands may do with files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounds {
    /// What this account may.
    Of(Account),
    /// What this process may.
    #[cfg(test)]
    OfThisProcess,
}

/// Starts commands.
pub(crate) struct Starter {
    bounds: Bounds,
    thread: Mutex<Thread>,
}

/// The thread, and for which root it was made.
struct Thread {
    jobs: SyncSender<Job>,
    root: u64,
}

struct Job {
    command: Launch,
    started: SyncSender<io::Result<Launched>>,
}

impl Starter {
    pub(crate) fn new(bounds: Bounds) -> io::Result<Self> {
        Ok(Self { bounds, thread: Mutex::new(Thread::start(bounds)?) })
    }

    /// Starts a command.
    ///
    /// # Errors
    /// When the kernel has no process, thread or pipe left to give.
    pub(crate) fn launch(&self, command: Launch) -> io::Result<Launched> {
        let jobs = {
            let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
            if thread.root != root()? {
                // The old one ends when its last job is done.
                *thread = Thread::start(self.bounds)?;
            }
            thread.jobs.clone()
        };
        let gone = || io::Error::other("the thread that starts commands has ended");
        let (started, result) = sync_channel(1);
        jobs.send(Job { command, started }).map_err(|_| gone())?;
        result.recv().map_err(|_| gone())?
    }
}

impl Thread {
    /// Starts it and waits until it is bound.
    fn start(bounds: Bounds) -> io::Result<Self> {
        let root = root()?;
        let (jobs, queue) = sync_channel(WAITING_MAX);
        let (ready, bound) = sync_channel(1);
        let thread = std::thread::Builder::new().name("starter".into()).stack_size(STACK_BYTES);
        thread.spawn(move || {
            let bound = match bounds {
                Bounds::Of(account) => {
                    lockdown::bind_commands(account).map_err(|error| io::Error::other(error.to_string()))
                }
                #[cfg(test)]
                Bounds::OfThisProcess => Ok(()),
            };
            let failed = bound.is_err();
            // Whoever started it waits for this.
            let _ = ready.send(bound);
            if !failed {
                work(&queue);
            }
        })?;
        bound.recv().map_err(io::Error::other)??;
        Ok(Self { jobs, root })
    }
}

fn work(queue: &Receiver<Job>) {
    while let Ok(Job { command, started }) = queue.recv() {
        // If nobody waits any more, the supervisor is found by the reaper like any orphan.
        let _ = started.send(launch(&command));
    }
}

/// Names the root that is mounted now: every overlay has a device number of its own.
fn root() -> io::Result<u64> {
    Ok(rustix::fs::stat("/")?.st_dev)
}
