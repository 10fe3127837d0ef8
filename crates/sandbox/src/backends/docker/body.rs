//! A container, seen from outside.
#![allow(unsafe_code, reason = "registering a descriptor asks for a promise about its life")]

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bollard::{Docker as Api, query_parameters as query};
use futures::future::BoxFuture;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;

use super::daemon;
use crate::{
    backend::{Body, Readings},
    backends::ground::Plot,
    error::Error,
    frozen::Frozen,
};

/// How long the daemon may take to clear a container up once it has ended.
const CLEAR_PATIENCE: Duration = Duration::from_secs(60);
/// Between two questions whether it has.
const CLEAR_PAUSE: Duration = Duration::from_millis(10);

/// See the module's documentation.
pub(super) struct ContainerBody {
    api: Api,
    id: String,
    process: Option<Seen>,
    changes: PathBuf,
    plot: Arc<Plot>,
}

/// The container's first process.
struct Seen {
    pidfd: OwnedFd,
    /// Directories of its control groups in which counters may be.
    groups: Vec<PathBuf>,
}

impl ContainerBody {
    pub(super) fn new(api: Api, id: String, plot: Plot, changes: PathBuf) -> Self {
        Self { api, id, process: None, changes, plot: Arc::new(plot) }
    }

    /// Remembers the container's first process.
    pub(super) fn settle(&mut self, pid: i32) -> Result<(), Error> {
        let what = "hold a container's process";
        let found = Pid::from_raw(pid).ok_or(Error::Gone)?;
        let pidfd = pidfd_open(found, PidfdFlags::empty()).map_err(Error::kernel(what))?;
        self.process = Some(Seen { pidfd, groups: groups(pid) });
        Ok(())
    }
}

/// Where the counters of a process's control groups are.
fn groups(pid: i32) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let place = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        let hierarchy = if controllers.is_empty() { "" } else { controllers };
        Some(Path::new("/sys/fs/cgroup").join(hierarchy).join(path))
    };
    text.lines().filter_map(place).filter(|place| place.is_dir()).collect()
}

/// Reads `key value` or a bare number from a file of counters.
fn counter(file: &Path, key: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

impl Body for ContainerBody {
    fn readings(&self) -> Readings {
        let mut readings = Readings::default();
        for group in self.process.iter().flat_map(|seen| &seen.groups) {
            readings.oom_kills += counter(&group.join("memory.oom_control"), "oom_kill");
            readings.oom_kills += counter(&group.join("memory.events"), "oom_kill");
            readings.processes_refused += counter(&group.join("pids.events"), "max");
        }
        readings
    }

    fn changes(&self) -> Option<&Path> {
        Some(&self.changes)
    }

    fn kill(&self) {
        if let Some(seen) = &self.process {
            // Fails only when it is dead.
            let _ = pidfd_send_signal(&seen.pidfd, Signal::KILL);
        }
        let (api, id) = (self.api.clone(), self.id.clone());
        // A paused container does not die, and one without a process yet has nothing to kill. Without a runtime the process is ending, and the container with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { remove(&api, &id).await });
        }
    }

    fn ended(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let Some(seen) = &self.process else { return };
            let Ok(copy) = seen.pidfd.as_fd().try_clone_to_owned() else { return };
            // SAFETY: `copy` owns its descriptor and moves into the registration, which closes it last.
            let Ok(pidfd) = (unsafe { AsyncFd::register(copy) }) else { return };
            // A descriptor of a process is readable once it has ended.
            let _ = pidfd.readable().await;
        })
    }

    fn clear(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let deadline = Instant::now() + CLEAR_PATIENCE;
            remove(&self.api, &self.id).await;
            // The daemon removes an ended container by itself; it is gone when it no longer knows it.
            while self.api.inspect_container(&self.id, None::<query::InspectContainerOptions>).await.is_ok() {
                if Instant::now() > deadline {
                    tracing::warn!(container = self.id, "the Docker daemon keeps a container that has ended");
                    return;
                }
                tokio::time::sleep(CLEAR_PAUSE).await;
            }
        })
    }

    fn pause(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { self.api.pause_container(&self.id).await.map_err(daemon("pause the container")) })
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { self.api.unpause_container(&self.id).await.map_err(daemon("resume the container")) })
    }

    fn snapshot(&self, _busy: bool) -> BoxFuture<'_, Result<Frozen, Error>> {
        Box::pin(async {
            self.pause().await?;
            let (plot, changes) = (Arc::clone(&self.plot), self.changes.clone());
            let done = tokio::task::spawn_blocking(move || plot.freeze(&changes)).await;
            self.resume().await?;
            done.map_err(|error| Error::Setup(error.to_string()))?
        })
    }
}

impl Drop for ContainerBody {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ends a container, whatever its state, and its volumes. One that is gone, or going, is fine.
pub(super) async fn remove(api: &Api, id: &str) {
    let options = query::RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    // The daemon says so when it is gone or being removed; anything else shows by the container still being there.
    let _ = api.remove_container(id, Some(options)).await;
}
