//! Trees of processes: finding them, signalling them, reaping what is left.

use std::{
    collections::{HashMap, HashSet},
    fs,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

/// How long a tree may resist SIGKILL (a fork bomb makes new processes while the old ones die).
pub(crate) const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// Stack of the thread that reaps.
const STACK_BYTES: usize = 64 * 1024;
/// Between two looks at a tree that is being killed.
pub(crate) const KILL_PAUSE: Duration = Duration::from_millis(1);

/// A process as `/proc` shows it.
struct Entry {
    parent: i32,
    zombie: bool,
}

/// Sends a signal to every descendant of `root`, not to `root` itself.
pub(crate) fn signal(root: Pid, signal: Signal) {
    for pid in descendants(&processes(), root.as_raw_nonzero().get()) {
        send(pid, signal);
    }
}

/// Kills every descendant of `root` and waits until they are dead. Returns how many were killed.
pub(crate) fn kill(root: Pid) -> u32 {
    let deadline = Instant::now() + KILL_PATIENCE;
    let mut killed = HashSet::new();
    loop {
        let alive = descendants(&processes(), root.as_raw_nonzero().get());
        if alive.is_empty() || Instant::now() > deadline {
            return u32::try_from(killed.len()).unwrap_or(u32::MAX);
        }
        for pid in alive {
            send(pid, Signal::KILL);
            killed.insert(pid);
        }
        std::thread::sleep(KILL_PAUSE);
    }
}

/// Kills every process of the sandbox but the guest.
pub(crate) fn kill_all() -> u32 {
    kill(Pid::INIT)
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended since it was seen.
        let _ = kill_process(pid, signal);
    }
}

/// All processes of the sandbox.
fn processes() -> HashMap<i32, Entry> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
            // "pid (any name, even with parentheses) state parent …"
            let after_name = stat.iter().rposition(|byte| *byte == b')')?;
            let mut fields = stat.get(after_name + 2..)?.split(|byte| *byte == b' ');
            let zombie = fields.next()? == b"Z";
            let parent = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
            Some((pid, Entry { parent, zombie }))
        })
        .collect()
}

/// Living descendants of `root`. Zombies are walked through but not returned.
fn descendants(processes: &HashMap<i32, Entry>, root: i32) -> Vec<i32> {
    let below = |mut pid: i32| {
        // A chain longer than the number of processes would be a loop, which a snapshot of a moving tree may contain.
        for _ in 0..=processes.len() {
            match processes.get(&pid) {
                Some(entry) if entry.parent == root => return true,
                Some(entry) => pid = entry.parent,
                None => return false,
            }
        }
        false
    };
    processes
        .iter()
        .filter(|(pid, entry)| **pid != root && !entry.zombie && below(**pid))
        .map(|(pid, _)| *pid)
        .collect()
}

/// Looks after the children of process 1: supervisors, and whatever lost its supervisor. Its thread is there from the first command on: before, nobody ends.
#[derive(Clone, Default)]
pub(crate) struct Reaper {
    children: Arc<(Mutex<Children>, Condvar)>,
}

#[derive(Default)]
struct Children {
    /// Supervisors that live.
    supervisors: HashMap<i32, Supervisor>,
    /// There has been a new child since the reaping thread last found none.
    spawned: bool,
    /// The thread has found that there is no child of any kind, and none has come since.
    none: bool,
    /// The thread was started.
    awake: bool,
}

/// Whether a supervisor can be ended at any moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Supervisor {
    /// Nobody is below it: it waits for an order, or goes.
    Free,
    /// It is with a command or with what that has left, or is kept for a sync: nobody knows until when.
    Occupied,
}

/// As long as it lives, a supervisor counts as occupied.
pub(crate) struct Occupied {
    supervisor: i32,
    /// `None` where it stays so.
    reaper: Option<Reaper>,
}

impl Occupied {
    /// What its command has left is below it: it is occupied until it ends.
    pub(crate) fn until_it_ends(mut self) {
        self.reaper = None;
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        if let Some(reaper) = &self.reaper {
            reaper.is_now(self.supervisor, Supervisor::Free);
        }
    }
}

impl Reaper {
    /// Starts the thread if it has not been started. Where there is none to be had, the next command tries again.
    pub(crate) fn wake(&self) {
        let mut children = self.children();
        if !children.awake {
            let reaper = self.clone();
            let thread = std::thread::Builder::new().name("reaper".into()).stack_size(STACK_BYTES);
            children.awake = thread.spawn(move || reaper.run()).is_ok();
        }
    }

    fn children(&self) -> MutexGuard<'_, Children> {
        self.children.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that there is a new supervisor to wait for.
    pub(crate) fn spawned(&self, supervisor: Pid) {
        let pid = supervisor.as_raw_nonzero().get();
        let mut children = self.children();
        children.spawned = true;
        children.none = false;
        // One that ended at once may have been reaped already.
        if fs::exists(format!("/proc/{pid}")).unwrap_or(true) {
            children.supervisors.insert(pid, Supervisor::Free);
        }
        self.children.1.notify_all();
    }

    /// It is given something to do. Called by the one who has it, before it is.
    pub(crate) fn occupied(&self, supervisor: Pid) -> Occupied {
        let supervisor = supervisor.as_raw_nonzero().get();
        self.is_now(supervisor, Supervisor::Occupied);
        Occupied { supervisor, reaper: Some(self.clone()) }
    }

    fn is_now(&self, supervisor: i32, state: Supervisor) {
        // One that has ended stays ended.
        if let Some(known) = self.children().supervisors.get_mut(&supervisor) {
            *known = state;
        }
        self.children.1.notify_all();
    }

    /// How many supervisors live.
    pub(crate) fn supervisors(&self) -> usize {
        self.children().supervisors.len()
    }

    /// Waits until none is occupied, but not for ever. Returns whether none is.
    pub(crate) fn until_free(&self, patience: Duration) -> bool {
        let occupied =
            |children: &mut Children| children.supervisors.values().any(|state| *state == Supervisor::Occupied);
        let waited = self.children.1.wait_timeout_while(self.children(), patience, occupied);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Ends all supervisors, which are free, and waits until process 1 has no child of any kind. Returns whether it has none.
    ///
    /// That they would go by themselves once their sockets are closed is not enough: one that a command has stopped would not.
    pub(crate) fn end_all(&self, patience: Duration) -> bool {
        let children = self.children();
        children.supervisors.keys().for_each(|supervisor| send(*supervisor, Signal::KILL));
        let waited = self.children.1.wait_timeout_while(children, patience, |children| !children.none);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Kills what this supervisor left when it was killed: children of process 1 that are no supervisors themselves, and all
    /// below them. Called while no command is starting.
    pub(crate) fn kill_orphans(&self, of: Pid) {
        // Its pipe closes a moment before its children get their new parent; once it is reaped, they have.
        let reaped = |children: &mut Children| children.supervisors.contains_key(&of.as_raw_nonzero().get());
        drop(self.children.1.wait_timeout_while(self.children(), KILL_PATIENCE, reaped));
        for (pid, entry) in processes() {
            if entry.parent == Pid::INIT.as_raw_nonzero().get() && !self.children().supervisors.contains_key(&pid) {
                if let Some(root) = Pid::from_raw(pid) {
                    kill(root);
                }
                send(pid, Signal::KILL);
            }
        }
    }

    fn run(&self) {
        loop {
            match wait(WaitOptions::empty()) {
                Ok(Some((ended, _))) => {
                    self.children().supervisors.remove(&ended.as_raw_nonzero().get());
                    self.children.1.notify_all();
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                // No child: sleep until there is one. Orphans come only from supervisors, which are children themselves.
                Err(_) => {
                    let mut children = self.children();
                    children.none = !children.spawned;
                    self.children.1.notify_all();
                    while !children.spawned {
                        children = self.children.1.wait(children).unwrap_or_else(PoisonError::into_inner);
                    }
                    children.spawned = false;
                }
            }
        }
    }
}
