//! Which way a snapshot is taken: by rotation while no command's process lives, by a copy while they stand still otherwise.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use super::{
    Inner,
    body::Parts,
    cgroup::Group,
    mounts::View,
    rotate::{Footing, Rotated},
};
use crate::{
    error::Error,
    frozen::{Frozen, Guarantee},
    layers::{self, chain},
    steps::Step,
};

/// How long a look may take that is to confirm what the guest says. It is done anew while threads of the guest come and go.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_micros(200);

/// What a claimed sandbox stands on, and who can change it.
pub(super) struct Standing {
    pub footing: Footing,
    pub engine: Arc<Inner>,
    /// `None` without root.
    pub view: Option<View>,
}

/// Freezes the changes. `busy`: the guest does not say that its process is the only one.
pub(super) async fn take(standing: Arc<Standing>, parts: Arc<Parts>, busy: bool) -> Result<Frozen, Error> {
    let pid = parts.process.pid();
    if standing.view.is_some() && !busy && is_alone(pid).await {
        let rotating = Arc::clone(&standing);
        let rotated = standing.engine.mounter.run(move |stage| match &rotating.view {
            Some(view) => {
                let own = || rotating.engine.own_layers(&rotating.footing.session);
                rotating.footing.rotate(pid, view, stage, own)
            }
            None => Ok(Rotated::InUse),
        });
        match rotated.await? {
            Rotated::Frozen(tree) => return Ok(Frozen { tree, guarantee: Guarantee::Quiescent }),
            Rotated::InUse => {}
        }
    }
    let copied = tokio::task::spawn_blocking(move || copy(&standing.footing, pid, &parts.group));
    let tree = copied.await.map_err(|error| Error::Setup(error.to_string()))??;
    Ok(Frozen { tree, guarantee: Guarantee::Frozen })
}

/// Whether process 1 is the only one, as its guest says. Everything else in its process namespace descends from it, and what is orphaned becomes its child; so it has no children then.
async fn is_alone(pid: i32) -> bool {
    let started = tokio::time::Instant::now();
    loop {
        match children(pid) {
            Some(0) => return true,
            // A kernel that does not tell (CONFIG_PROC_CHILDREN) is answered by a copy.
            None => return false,
            Some(_) if started.elapsed() > LOOK_PATIENCE => return false,
            Some(_) => tokio::time::sleep(LOOK_PAUSE).await,
        }
    }
}

fn children(pid: i32) -> Option<usize> {
    let mut count = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // A thread may have ended since it was listed; its children went to another.
        match fs::read_to_string(thread.ok()?.path().join("children")) {
            Ok(children) => count += children.split_whitespace().count(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(usize::MAX),
            Err(_) => return None,
        }
    }
    Some(count)
}

/// Copies the changes while every process stands still.
fn copy(footing: &Footing, pid: i32, group: &Group) -> Result<PathBuf, Error> {
    let to = chain::next_copy(&footing.session)?;
    let _still = Still::stand(pid, group)?;
    Step::SnapshotStands.done();
    let copied = layers::copy_changes(&footing.session.join(chain::UPPER), &to);
    if let Err(error) = copied {
        // Half a copy is of no use. What cannot be removed is swept when the sandbox is made again.
        let _ = fs::remove_dir_all(&to);
        return Err(error.into());
    }
    Step::SnapshotCopied.done();
    Ok(to)
}

/// As long as it lives, every process stands still.
struct Still<'a>(Option<&'a Group>);

impl<'a> Still<'a> {
    fn stand(pid: i32, group: &'a Group) -> Result<Self, Error> {
        // Somebody has paused it; then it stays so.
        if group.is_frozen() {
            return Ok(Self(None));
        }
        match group.freeze() {
            Ok(()) => Ok(Self(Some(group))),
            // Nobody is there to be stopped.
            Err(Error::Unsupported { .. }) if children(pid) == Some(0) => Ok(Self(None)),
            Err(Error::Unsupported { backend, why, .. }) => {
                let why = format!("commands are running and cannot be stopped for it: {why}");
                Err(Error::Unsupported { backend, what: "take a snapshot", why })
            }
            Err(other) => {
                // It may stand partly.
                let _ = group.thaw();
                Err(other)
            }
        }
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.map(Group::thaw) {
            tracing::error!(%error, "a sandbox stays frozen after a snapshot");
        }
    }
}
