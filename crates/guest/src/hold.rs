//! A workspace that can be held: read only for everybody in the sandbox, but for the one command that brings it to a commit.
//!
//! ```text
//!   the sandbox's mounts                      a copy of them, made before the cover
//!     /             the root, writable          /            the root, writable
//!     /workspace    the cover: a second mount   /workspace   a directory of the root
//!                   of the same directory
//!     process 1, every other command            one supervisor, which starts the commands of `Request::Sync`
//! ```
//!
//! The cover is there from the claim on, so that whatever begins in the workspace stands on it. Whether it can be written is one flag of one mount, which the
//! host changes in one system call (`namespace/hold.rs` in the crate sandbox): nobody in here has the right to.
//!
//! What has the other mounts must not be reached from these: a command could write through `/proc/<pid>/cwd` of a process that can. The supervisor makes a
//! Landlock domain of its own when it binds itself, as the first one made another, and no process may look into one of a domain that is not its own or below it.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hangar_protocol::guest::{Account, Failure, FailureKind, WORKSPACE, setup::IdMapping};
use rustix::{
    process::set_parent_process_death_signal,
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::{
    fault::SetupError,
    lockdown, mounts,
    spawn::{Bounds, Launch, Launched, Next, Spare},
    tree::{Occupied, Reaper},
};

/// Forks the supervisor that has mounts of its own, and covers the workspace in those of all others. Called by the thread that has moved in, while it has the right
/// to mount and all other threads wait.
pub(crate) fn prepare(ids: IdMapping, account: Account) -> Result<Spare, SetupError> {
    let what = || SetupError::at("make a process that can write to a held workspace");
    let apart = Spare::apart(Bounds::Of(account), || go_apart(ids, account)).map_err(what())?;
    mounts::cover(Path::new(WORKSPACE))?;
    apart.settle().map_err(what())
}

/// In the forked child: mounts of its own, then no rights any more.
#[allow(unsafe_code, reason = "unshare is unsafe in general because of CLONE_FILES; there are mounts alone here")]
fn go_apart(ids: IdMapping, account: Account) -> Result<(), SetupError> {
    // SAFETY: mounts share no file descriptors or memory differently.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(SetupError::at("make a mount namespace"))?;
    lockdown::apply(ids, account)?;
    // It would die with the thread that forked it, which is about to end. With process 1 the kernel ends it in any case.
    set_parent_process_death_signal(None).map_err(SetupError::at("outlive the thread that moved in"))
}

/// Starts the commands that can write to a held workspace, one at a time.
pub(crate) struct Apart(Mutex<Starts>);

/// Whether and by whom one can be started.
enum Starts {
    /// By this one, which is kept for it.
    By(Spare, Occupied),
    /// It is with its command.
    Busy,
    /// None any more, or never.
    Over,
}

impl Apart {
    pub(crate) fn new(spare: Option<Spare>, reaper: &Reaper) -> Self {
        let by = |spare: Spare| {
            reaper.spawned(spare.supervisor());
            let kept = reaper.occupied(spare.supervisor());
            Starts::By(spare, kept)
        };
        Self(Mutex::new(spare.map_or(Starts::Over, by)))
    }

    /// Starts a command.
    ///
    /// # Errors
    /// When another one runs, or none can any more.
    pub(crate) fn launch(&self, command: &Launch) -> Result<(Launched, Occupied), Failure> {
        let mut starts = self.starts();
        match std::mem::replace(&mut *starts, Starts::Busy) {
            Starts::By(spare, occupied) => match spare.launch(command, Next::IsThere) {
                Ok(launched) => Ok((launched, occupied)),
                Err(error) => {
                    // It was killed while it waited.
                    *starts = Starts::Over;
                    Err(busy(&format!("the process that starts them is gone ({error})")))
                }
            },
            Starts::Busy => Err(busy("another one runs, or has left something behind")),
            Starts::Over => {
                *starts = Starts::Over;
                Err(busy("the sandbox was not made for it, or they are over"))
            }
        }
    }

    /// Takes the supervisor back; nobody is below it.
    pub(crate) fn give_back(&self, spare: Spare, occupied: Occupied) {
        let mut starts = self.starts();
        if let Starts::Busy = *starts {
            *starts = Starts::By(spare, occupied);
        }
    }

    /// Lets it go, at the latest when its command has ended.
    pub(crate) fn dismiss(&self) {
        *self.starts() = Starts::Over;
    }

    fn starts(&self) -> MutexGuard<'_, Starts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy(why: &str) -> Failure {
    let message = format!("no command that can write to a held workspace can be started: {why}");
    Failure { kind: FailureKind::Busy, message }
}
