//! A sandbox of namespaces, seen from the host: its first process, its control group, its id range.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::io::unix::AsyncFd;

use crate::{
    backend::{Body, Hold, Readings},
    error::Error,
    frozen::Frozen,
    layers::chain,
    namespace::{
        Inner,
        berth::Number,
        cgroup::Group,
        hold,
        mounts::{View, Writing},
        process::Process,
        rotate::Footing,
        snapshot::{self, Standing},
    },
    spec::Limits,
    steps::Step,
};

/// Between two looks whether a process that has ended can be reaped.
const REAP_PAUSE: Duration = Duration::from_millis(1);

/// See the module's documentation.
pub(crate) struct NamespaceBody {
    /// `None` once it is being dropped.
    parts: Option<Arc<Parts>>,
    /// Until it is claimed.
    view: Option<View>,
    /// Once it is claimed.
    standing: Option<Arc<Standing>>,
    changes: Option<PathBuf>,
}

/// Dropped from top to bottom: the process first, then what it used.
pub(super) struct Parts {
    pub process: Process,
    pub group: Group,
    _number: Number,
}

impl NamespaceBody {
    /// `view` is the data directory as its ids see it, as root.
    pub(crate) fn new(process: Process, group: Group, number: Number, view: Option<View>) -> Self {
        Self { parts: Some(Arc::new(Parts { process, group, _number: number })), view, standing: None, changes: None }
    }

    /// The process id of its first process.
    pub(crate) fn process(&self) -> Result<i32, Error> {
        Ok(self.parts().ok_or(Error::Gone)?.process.pid())
    }

    /// The data directory as this sandbox's ids see it; `None` without root.
    pub(crate) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// Gives the slot the limits it was claimed with, where they differ from a slot's.
    pub(crate) fn limit(&self, limits: &Limits) -> Result<(), Error> {
        self.parts().map_or(Ok(()), |parts| parts.group.limit(limits))
    }

    /// Ends it and waits until nothing of it is left. Blocks.
    pub(crate) fn end_now(mut self) {
        self.kill();
        drop(self.parts.take());
    }

    /// Whether its first process is there no more.
    pub(crate) fn has_ended(&self) -> bool {
        self.parts().is_none_or(|parts| parts.process.try_reap())
    }

    /// Remembers what it stands on and where its changes go.
    pub(super) fn settle(&mut self, footing: Footing, engine: Arc<Inner>) {
        self.changes = Some(footing.session.join(chain::UPPER));
        self.standing = Some(Arc::new(Standing { footing, engine, view: self.view.take() }));
    }

    fn parts(&self) -> Option<&Arc<Parts>> {
        self.parts.as_ref()
    }

    async fn set_writing(&self, writing: Writing) -> Result<Hold, Error> {
        let parts = Arc::clone(self.parts().ok_or(Error::Gone)?);
        let done = tokio::task::spawn_blocking(move || hold::set(parts.process.pid(), writing));
        done.await.map_err(|error| Error::Setup(error.to_string()))?
    }

    /// Runs on a thread that may block.
    async fn on_group(&self, work: impl FnOnce(&Group) -> Result<(), Error> + Send + 'static) -> Result<(), Error> {
        let parts = Arc::clone(self.parts().ok_or(Error::Gone)?);
        let done = tokio::task::spawn_blocking(move || work(&parts.group));
        done.await.map_err(|error| Error::Setup(error.to_string()))?
    }
}

impl Body for NamespaceBody {
    fn readings(&self) -> Readings {
        self.parts().map(|parts| parts.group.readings()).unwrap_or_default()
    }

    fn changes(&self) -> Option<&Path> {
        self.changes.as_deref()
    }

    fn frozen(&self) -> Vec<PathBuf> {
        let session = self.standing.iter().map(|standing| &standing.footing.session);
        session.flat_map(|session| [session.join(chain::FROZEN), session.join(chain::COPIES)]).collect()
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
            Step::DestroyReaped.done();
            let standing = self.standing.clone();
            // What could not be removed was logged, and is swept at the next start.
            let _ = self
                .on_group(move |group| {
                    group.remove();
                    standing.iter().for_each(|standing| standing.footing.settle());
                    Ok(())
                })
                .await;
        })
    }

    fn pause(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.on_group(|group| {
            group.freeze()?;
            Step::Paused.done();
            Ok(())
        }))
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.on_group(Group::thaw))
    }

    fn hold(&self) -> BoxFuture<'_, Result<Hold, Error>> {
        Box::pin(async {
            let held = self.set_writing(Writing::Refused).await?;
            Step::Held.done();
            Ok(held)
        })
    }

    fn release(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            self.set_writing(Writing::Allowed).await?;
            Step::Released.done();
            Ok(())
        })
    }

    fn snapshot(&self, busy: bool) -> BoxFuture<'_, Result<Frozen, Error>> {
        Box::pin(async move {
            let parts = self.parts().ok_or(Error::Gone)?;
            let standing = self.standing.clone().ok_or(Error::Gone)?;
            snapshot::take(standing, Arc::clone(parts), busy).await
        })
    }
}

impl Drop for NamespaceBody {
    fn drop(&mut self) {
        self.kill();
        let Some(parts) = self.parts.take() else { return };
        if parts.process.try_reap() && parts.group.is_removed() {
            return;
        }
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
