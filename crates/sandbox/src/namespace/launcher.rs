//! Threads that mount and clone.
//!
//! Each has a mount namespace of its own (as root), so that layers can be attached for a moment without the host seeing a mount;
//! and lives as long as the engine, because the kernel ties a slot's life to the *thread* that made it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, mpsc},
};

use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::{UnshareFlags, unshare_unsafe},
};
use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    error::Error,
    namespace::{mounts::layers_may_hang_nowhere, rights::Rights},
};

/// Jobs that may wait. Beyond it, creating waits for room: a job takes milliseconds.
const WAITING_MAX: usize = 64;

type Job = Box<dyn FnOnce(&Stage) + Send>;

/// What jobs find on the launcher's thread.
pub(crate) struct Stage {
    /// A directory that only this thread sees into; empty between jobs.
    pub directory: PathBuf,
}

/// Hands jobs to the thread.
pub(crate) struct Launcher {
    jobs: mpsc::SyncSender<Job>,
}

impl Launcher {
    /// Starts the thread, with mounts of its own as root.
    pub(crate) async fn start(name: &str, stage: PathBuf, rights: Rights) -> Result<Self, Error> {
        Self::begin(name, move || prepare(&stage, rights)).await
    }

    /// Starts a thread that mounts nothing.
    pub(crate) async fn bare(name: &str) -> Result<Self, Error> {
        Self::begin(name, || Ok(Stage { directory: PathBuf::new() })).await
    }

    async fn begin(name: &str, prepare: impl FnOnce() -> Result<Stage, Error> + Send + 'static) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::sync_channel::<Job>(WAITING_MAX);
        let (ready, started) = oneshot::channel();
        let thread = std::thread::Builder::new().name(name.into());
        thread
            .spawn(move || {
                match prepare() {
                    Ok(stage) => {
                        // Whoever waits may have gone; then the queue is closed as well.
                        let _ = ready.send(Ok(()));
                        for job in queue {
                            job(&stage);
                        }
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            })
            .map_err(Error::kernel("start the launcher's thread"))?;
        started.await.map_err(|_| Error::Gone)??;
        Ok(Self { jobs })
    }

    /// Runs a job on the thread some time later. A full queue drops it.
    pub(crate) fn post(&self, job: impl FnOnce(&Stage) + Send + 'static) {
        drop(self.jobs.try_send(Box::new(job)));
    }

    /// Runs a job on the thread. Dropping the future does not stop a job that has begun; its result is dropped, and cleans up after itself.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Stage) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (done, result) = oneshot::channel();
        let mut job: Job = Box::new(move |stage| drop(done.send(job(stage))));
        loop {
            match self.jobs.try_send(job) {
                Ok(()) => break,
                Err(mpsc::TrySendError::Full(back)) => {
                    job = back;
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
                Err(mpsc::TrySendError::Disconnected(_)) => return Err(Error::Gone),
            }
        }
        result.await.map_err(|_| Error::Gone)?
    }
}

/// Runs jobs that somebody waits for, at once where that can be.
pub(crate) struct Mounter {
    thread: Launcher,
    /// Held while the caller's own thread is at a job.
    here: Mutex<()>,
}

impl Mounter {
    pub(crate) async fn start(stage: PathBuf, rights: Rights) -> Result<Self, Error> {
        Ok(Self { thread: Launcher::start("hangar-mounter", stage, rights).await?, here: Mutex::default() })
    }

    /// Runs a job on the mounter's thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Stage) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.thread.run(job).await
    }

    /// Runs a claim's job on this very thread if it needs no place to attach layers and the runtime has other threads: a change of threads costs a tenth of what a job takes, and handing the
    /// thread's other tasks over (`block_in_place`) as much. A job takes a third of a millisecond; what waits behind it is taken by another thread. One at a time is run here, or a
    /// crowd of claims would leave none.
    pub(crate) async fn run_claim<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Stage) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let others = || Handle::current().metrics().num_workers() > 1;
        if layers_may_hang_nowhere()
            && others()
            && let Ok(_one) = self.here.try_lock()
        {
            return job(&Stage { directory: PathBuf::new() });
        }
        self.run(job).await
    }
}

fn prepare(stage: &Path, rights: Rights) -> Result<Stage, Error> {
    fs::create_dir_all(stage).map_err(Error::host(stage))?;
    match rights {
        Rights::Root => private_mounts(stage)?,
        // The slot makes its mounts itself, in its own namespaces.
        Rights::Rootless => {}
    }
    Ok(Stage { directory: stage.to_owned() })
}

#[allow(unsafe_code, reason = "unshare is unsafe in general because of CLONE_FILES")]
fn private_mounts(stage: &Path) -> Result<(), Error> {
    // SAFETY: NEWNS gives this thread its own mounts, root and working directory; descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(Error::kernel("make a mount namespace"))?;
    // Unmounts of the host reach us, so that nothing is kept busy; nothing of ours reaches the host.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(Error::kernel("separate the launcher's mounts"))?;
    mount(c"tmpfs", stage, c"tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"size=1m,mode=0700"))
        .map_err(Error::kernel("mount the launcher's stage"))
}
