//! Which supervisor starts the next command.
//!
//! ```text
//!   forked ahead, or by another ──▶ idle ──launch──▶ with its command ──give_back──▶ idle …
//!                                    └──no room, another root, stand_down──▶ gone
//! ```

use std::{
    io,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    spawn::{Bounds, Launch, Launched, Next, Spare, root},
    tree::{Occupied, Reaper},
};

/// Supervisors that are found dead one after the other before a command fails.
const DEAD_MAX: u32 = 8;
/// Supervisors that wait for a command.
const IDLE_MAX: usize = 2;
/// How long to wait for a supervisor while others are with their commands: each forks another, or is soon back.
const BUSY_PATIENCE: Duration = Duration::from_millis(20);
/// How long to wait for what a command has left, which may be about to end.
const LEFTOVERS_PATIENCE: Duration = Duration::from_millis(150);
/// How long supervisors that are killed may take to be gone. A machine under load takes its time; that they go is certain.
const GOING_PATIENCE: Duration = Duration::from_secs(10);

/// Starts commands.
pub(crate) struct Starter {
    bounds: Bounds,
    reaper: Reaper,
    idle: Mutex<Vec<Spare>>,
    came: Condvar,
}

impl Starter {
    /// `first` is there already.
    pub(crate) fn new(bounds: Bounds, reaper: Reaper, first: Spare) -> Self {
        reaper.spawned(first.supervisor());
        Self { bounds, reaper, idle: Mutex::new(vec![first]), came: Condvar::new() }
    }

    /// Makes a supervisor ready for the next command, if there is none.
    ///
    /// # Errors
    /// When the kernel has no process or socket left to give.
    pub(crate) fn stand_by(&self) -> io::Result<()> {
        if self.idle().is_empty() {
            let spare = self.make()?;
            self.give_back(spare);
        }
        Ok(())
    }

    /// Ends the supervisors, so that process 1 is alone, and returns whether it is. The next command makes another. Where others are with a command or with what
    /// one has left, nobody goes: process 1 is not alone anyway, and those to come shall have the same rules.
    pub(crate) fn stand_down(&self) -> bool {
        self.reaper.wake();
        if !self.reaper.until_free(LEFTOVERS_PATIENCE) {
            return false;
        }
        self.idle().clear();
        self.reaper.end_all(GOING_PATIENCE)
    }

    /// Starts a command.
    ///
    /// # Errors
    /// When the kernel has no process or socket left to give.
    pub(crate) fn launch(&self, command: &Launch) -> io::Result<(Launched, Occupied)> {
        let mut tries = 0;
        loop {
            let (spare, next) = self.take()?;
            let occupied = self.reaper.occupied(spare.supervisor());
            let launched = spare.launch(command, next);
            tries += 1;
            match launched {
                // A command of the sandbox has killed it while it waited.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe && tries < DEAD_MAX => {}
                other => {
                    // Once the command is on its way: the first one need not wait for this.
                    self.reaper.wake();
                    return other.map(|launched| (launched, occupied));
                }
            }
        }
    }

    /// Takes a supervisor that nobody is below.
    pub(crate) fn give_back(&self, spare: Spare) {
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(spare);
            self.came.notify_one();
        }
    }

    /// Takes a supervisor that another one has forked.
    pub(crate) fn take_in(&self, spare: Spare) {
        self.reaper.spawned(spare.supervisor());
        self.give_back(spare);
    }

    /// A waiting supervisor, or a new one where there is none for this root; and whether it was the last.
    fn take(&self) -> io::Result<(Spare, Next)> {
        let root = root()?;
        let (found, next) = {
            let mut idle = self.idle();
            // What is bound to an old root goes.
            idle.retain(|spare| spare.root() == root);
            // One that another forks has the same rules; one that is made here has its own.
            if idle.is_empty() && self.reaper.supervisors() > 0 {
                let none = |idle: &mut Vec<Spare>| idle.is_empty();
                let waited = self.came.wait_timeout_while(idle, BUSY_PATIENCE, none);
                idle = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            (idle.pop(), if idle.is_empty() { Next::Fork } else { Next::IsThere })
        };
        match found {
            Some(spare) => Ok((spare, next)),
            None => Ok((self.make()?, next)),
        }
    }

    fn make(&self) -> io::Result<Spare> {
        let spare = Spare::make(self.bounds)?;
        self.reaper.spawned(spare.supervisor());
        Ok(spare)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Spare>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
