//! A sandbox that is one program of the host and what that starts.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::io::unix::AsyncFd;

use crate::{
    backend::{Body, Readings},
    backends::ground::Plot,
    error::Error,
    frozen::Frozen,
    namespace::{cgroup::Group, process::Process},
};

/// Between two looks whether a process that has ended can be reaped.
const REAP_PAUSE: Duration = Duration::from_millis(1);

/// See the module's documentation.
pub(crate) struct ProgramBody {
    /// `None` once it is being dropped.
    parts: Option<Arc<Parts>>,
    changes: PathBuf,
}

/// Dropped from top to bottom: the process first, then what it used.
struct Parts {
    process: Process,
    group: Group,
    plot: Plot,
}

impl ProgramBody {
    /// A body of this process, which is process 1 of its own process namespace: with it everything it started ends.
    pub(crate) fn new(process: Process, group: Group, plot: Plot, changes: PathBuf) -> Self {
        Self { parts: Some(Arc::new(Parts { process, group, plot })), changes }
    }

    fn parts(&self) -> Option<&Arc<Parts>> {
        self.parts.as_ref()
    }

    /// Runs on a thread that may block.
    async fn on_group(&self, work: impl FnOnce(&Group) -> Result<(), Error> + Send + 'static) -> Result<(), Error> {
        let parts = Arc::clone(self.parts().ok_or(Error::Gone)?);
        let done = tokio::task::spawn_blocking(move || work(&parts.group));
        done.await.map_err(|error| Error::Setup(error.to_string()))?
    }
}

impl Body for ProgramBody {
    fn readings(&self) -> Readings {
        self.parts().map(|parts| parts.group.readings()).unwrap_or_default()
    }

    fn changes(&self) -> Option<&Path> {
        Some(&self.changes)
    }

    fn kill(&self) {
        if let Some(parts) = self.parts() {
            parts.process.kill();
            // What is frozen does not die either.
            parts.group.thaw_for_the_end();
        }
    }

    fn ended(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(parts) = self.parts() {
                ended(&parts.process).await;
            }
        })
    }

    fn clear(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let Some(parts) = self.parts() else { return };
            while !parts.process.try_reap() {
                tokio::time::sleep(REAP_PAUSE).await;
            }
            // What could not be removed was logged, and is swept at the next start.
            let _ = self
                .on_group(|group| {
                    group.remove();
                    Ok(())
                })
                .await;
        })
    }

    fn pause(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.on_group(Group::freeze))
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.on_group(Group::thaw))
    }

    fn snapshot(&self, _busy: bool) -> BoxFuture<'_, Result<Frozen, Error>> {
        Box::pin(async {
            let parts = Arc::clone(self.parts().ok_or(Error::Gone)?);
            let changes = self.changes.clone();
            let done = tokio::task::spawn_blocking(move || {
                parts.group.freeze()?;
                let frozen = parts.plot.freeze(&changes);
                parts.group.thaw()?;
                frozen
            });
            done.await.map_err(|error| Error::Setup(error.to_string()))?
        })
    }
}

impl Drop for ProgramBody {
    fn drop(&mut self) {
        self.kill();
        let Some(parts) = self.parts.take() else { return };
        // Waiting for the kernel is not for whoever drops this. Where there is no thread to be had, a failed start drops it here after all.
        drop(std::thread::Builder::new().name("hangar-ending".into()).spawn(move || drop(parts)));
    }
}

/// Becomes ready when the process has ended.
#[allow(unsafe_code, reason = "registering a descriptor asks for a promise about its life")]
async fn ended(process: &Process) {
    let Ok(copy) = process.pidfd().try_clone_to_owned() else { return };
    // SAFETY: `copy` owns its descriptor and moves into the registration, which closes it last.
    let Ok(pidfd) = (unsafe { AsyncFd::register(copy) }) else { return };
    // A descriptor of a process is readable once it has ended.
    let _ = pidfd.readable().await;
}
