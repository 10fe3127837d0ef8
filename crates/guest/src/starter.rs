//! Keeps a supervisor ready for the next command.
//!
//! ```text
//!   thread: bind itself ──▶ fork one ──▶ ready ──launch──▶ with its command ──give_back──▶ idle ──launch──▶ …
//!              another is wanted ──▲       └──no room, or another root──▶ gone
//! ```
//!
//! Landlock's rules name directories of the root that is mounted when they are made, and can never be changed for a thread that has them. A snapshot puts another root
//! in place; so the rules for files are given to one thread only, from which all supervisors are forked. After a snapshot, which happens only while no command runs, another thread takes its place. All
//! commands between two snapshots so share one set of rules, and can trace and signal each other as anywhere.

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use hangar_protocol::guest::Account;

use crate::{
    lockdown,
    spawn::{Launch, Launched, Spare},
    tree::Reaper,
};

/// Enough for what a supervisor does on a copy of it, the birth of a command included.
const STACK_BYTES: usize = 256 * 1024;
/// Supervisors that are found dead one after the other before a command fails.
const DEAD_MAX: u32 = 8;
/// Supervisors that have served a command and wait for another.
const IDLE_MAX: usize = 2;

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
    reaper: Reaper,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` before the first command.
    thread: Option<Thread>,
    idle: Vec<Spare>,
}

/// The thread, and for which root it was made.
struct Thread {
    /// One supervisor, or why there is none.
    ready: Receiver<io::Result<Spare>>,
    /// One wish may wait: more would be for the same supervisor.
    wishes: SyncSender<Wish>,
    root: u64,
}

/// What the thread is asked for.
enum Wish {
    /// Another supervisor.
    Another,
    /// Nothing: answered once no supervisor is being made.
    Rest(SyncSender<()>),
}

impl Starter {
    pub(crate) fn new(bounds: Bounds, reaper: Reaper) -> Self {
        Self { bounds, reaper, state: Mutex::default() }
    }

    /// Makes a supervisor ready for the next command, if there is none.
    ///
    /// # Errors
    /// When the kernel has no thread left to give.
    pub(crate) fn stand_by(&self) -> io::Result<()> {
        let mut state = self.state();
        if !state.idle.is_empty() {
            return Ok(());
        }
        match &state.thread {
            // A wish that waits already is for the same.
            Some(thread) => drop(thread.wishes.try_send(Wish::Another)),
            None => state.thread = Some(Thread::start(self.bounds, self.reaper.clone())?),
        }
        Ok(())
    }

    /// Lets the waiting supervisors go, so that process 1 is alone once they have ended. The next command makes another.
    pub(crate) fn stand_down(&self) {
        let mut state = self.state();
        state.idle.clear();
        let Some(thread) = &state.thread else { return };
        let (resting, rests) = sync_channel(1);
        // A thread that has ended makes none either.
        if thread.wishes.send(Wish::Rest(resting)).is_ok() {
            let _ = rests.recv();
        }
        while thread.ready.try_recv().is_ok() {}
    }

    /// Starts a command.
    ///
    /// # Errors
    /// When the kernel has no process, thread or socket left to give.
    pub(crate) fn launch(&self, command: &Launch) -> io::Result<Launched> {
        let mut tries = 0;
        loop {
            let launched = self.take()?.launch(command);
            tries += 1;
            match launched {
                // A command of the sandbox has killed it while it waited.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe && tries < DEAD_MAX => {}
                other => return other,
            }
        }
    }

    /// Takes back a supervisor that nobody is left below.
    pub(crate) fn give_back(&self, spare: Spare) {
        let mut state = self.state();
        let fits = state.thread.as_ref().is_some_and(|thread| thread.root == spare.root());
        if fits && state.idle.len() < IDLE_MAX {
            state.idle.push(spare);
        }
    }

    /// A waiting supervisor; waits for one to be forked where there is none.
    fn take(&self) -> io::Result<Spare> {
        let mut state = self.state();
        let root = root()?;
        if state.thread.as_ref().is_none_or(|thread| thread.root != root) {
            // What was bound to the old root goes with it.
            state.idle.clear();
            state.thread = Some(Thread::start(self.bounds, self.reaper.clone())?);
        }
        let gone = || io::Error::other("the thread that makes supervisors has ended");
        if let Some(idle) = state.idle.pop() {
            return Ok(idle);
        }
        let thread = state.thread.as_ref().ok_or_else(gone)?;
        if let Ok(ready) = thread.ready.try_recv() {
            return ready;
        }
        // A wish that waits already is for the same.
        let _ = thread.wishes.try_send(Wish::Another);
        thread.ready.recv().map_err(|_| gone())?
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Thread {
    /// Starts it; it makes one supervisor at once.
    fn start(bounds: Bounds, reaper: Reaper) -> io::Result<Self> {
        let root = root()?;
        let (put, ready) = sync_channel(1);
        let (wishes, asked) = sync_channel(1);
        let thread = std::thread::Builder::new().name("starter".into()).stack_size(STACK_BYTES);
        thread.spawn(move || match bind(bounds) {
            Ok(()) => work(root, &reaper, &put, &asked),
            // Whoever takes it is told.
            Err(error) => drop(put.send(Err(error))),
        })?;
        Ok(Self { ready, wishes, root })
    }
}

fn bind(bounds: Bounds) -> io::Result<()> {
    match bounds {
        Bounds::Of(account) => lockdown::bind_commands(account).map_err(|error| io::Error::other(error.to_string())),
        #[cfg(test)]
        Bounds::OfThisProcess => Ok(()),
    }
}

/// Makes one, and another for each wish, until nobody can take one any more.
fn work(root: u64, reaper: &Reaper, put: &SyncSender<io::Result<Spare>>, wishes: &Receiver<Wish>) {
    let mut wish = Ok(Wish::Another);
    while let Ok(asked) = wish {
        match asked {
            Wish::Another => {
                let spare = Spare::make(root);
                if let Ok(spare) = &spare {
                    reaper.spawned(spare.supervisor());
                }
                // One that waits already is enough; another goes with its socket.
                let _ = put.try_send(spare);
            }
            Wish::Rest(resting) => drop(resting.send(())),
        }
        wish = wishes.recv();
    }
}

/// Names the root that is mounted now: every overlay has a device number of its own.
fn root() -> io::Result<u64> {
    Ok(rustix::fs::stat("/")?.st_dev)
}
