//! What killed engines left in control groups. The next start takes it away.
//!
//! ```text
//!   thaw ──▶ kill, all at once ── all dead, or KILL_PATIENCE ──▶ remove ── some are busy still ──▶ a thread goes on
//! ```
//!
//! The processes are waited for, because they have files open that sessions go on with; the empty directories are not.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long the start waits for all processes of its killed predecessor together. They die at once, unless the kernel has much to clear away.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at them.
const KILL_PAUSE: Duration = Duration::from_millis(5);
/// How long the thread tries to remove what is busy.
const LATER_PATIENCE: Duration = Duration::from_secs(120);
/// Between two of its tries.
const LATER_PAUSE: Duration = Duration::from_millis(100);

/// The directory of an engine whose process is gone, in one hierarchy.
struct Dead {
    root: PathBuf,
    kin: Kin,
}

/// Whose it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kin {
    /// An earlier process over the same data directory; that is locked, so it is dead whatever its number says.
    Predecessor,
    /// Another data directory's. Its number may mean another process elsewhere, so only what is empty is taken away.
    Stranger,
}

/// Removes what killed engines left beside these directories of ours: that of the same id with all its processes, that of others where it is empty.
/// Blocks for as long as processes take to die, but no longer than [`KILL_PATIENCE`].
pub(super) fn sweep(own: &[&PathBuf], engine: &str) {
    let mut dead = Vec::new();
    for &own in own {
        let beside = directories(own.parent().unwrap_or(own)).into_iter().filter(|root| root != own);
        dead.extend(beside.filter_map(|root| Dead::of(root, engine)));
    }
    let (ours, strangers): (Vec<Dead>, Vec<Dead>) = dead.into_iter().partition(|dead| dead.kin == Kin::Predecessor);
    end(&ours);
    for dead in strangers {
        // One that is busy is left to a later start.
        let _ = dead.remove();
    }
    let busy: Vec<Dead> = ours.into_iter().filter(|dead| dead.remove().is_err()).collect();
    if !busy.is_empty() {
        let later = std::thread::Builder::new().name("hangar-sweeper".into()).spawn(|| remove_later(busy));
        if let Err(error) = later {
            tracing::warn!(%error, "control groups of an earlier run stay until the next start");
        }
    }
}

impl Dead {
    fn of(root: PathBuf, engine: &str) -> Option<Self> {
        let (id, pid) = owner(&root)?;
        let kin = if id == engine { Kin::Predecessor } else { Kin::Stranger };
        let gone = kin == Kin::Predecessor || !Path::new(&format!("/proc/{pid}")).exists();
        gone.then_some(Self { root, kin })
    }

    fn groups(&self) -> Vec<PathBuf> {
        directories(&self.root)
    }

    /// Removes all of its groups that can be, and itself when none is left.
    fn remove(&self) -> io::Result<()> {
        for group in self.groups() {
            // What stays is in the way of the directory above, whose removal tells.
            let _ = fs::remove_dir(group);
        }
        match fs::remove_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// Kills everything in these, and waits for the end.
fn end(dead: &[Dead]) {
    // All of them before anything is killed, in whatever hierarchy that comes first: what is frozen does not die.
    dead.iter().flat_map(Dead::groups).for_each(|group| let_go(&group));
    let began = Instant::now();
    loop {
        let living = kill(dead);
        if living == 0 {
            return;
        }
        if began.elapsed() > KILL_PATIENCE {
            tracing::warn!(
                living,
                "processes of an earlier run are still dying; their sessions may have to wait for them"
            );
            return;
        }
        std::thread::sleep(KILL_PAUSE);
    }
}

fn remove_later(mut busy: Vec<Dead>) {
    let began = Instant::now();
    while began.elapsed() < LATER_PATIENCE {
        std::thread::sleep(LATER_PAUSE);
        if kill(&busy) == 0 {
            busy.retain(|dead| dead.remove().is_err());
        }
        if busy.is_empty() {
            return;
        }
    }
    for Dead { root, .. } in busy {
        tracing::warn!(group = %root.display(), "control groups of an earlier run cannot be removed; the next start tries again");
    }
}

/// The engine's id and process of a directory named `hangar-<id>-<process>`.
fn owner(root: &Path) -> Option<(&str, u32)> {
    let (id, pid) = root.file_name()?.to_str()?.strip_prefix("hangar-")?.split_once('-')?;
    Some((id, pid.parse().ok()?))
}

fn directories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// Thaws a group of either version, should it be frozen: its engine was killed in the middle of a pause or a snapshot.
fn let_go(group: &Path) {
    for (file, word) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        let file = group.join(file);
        // Groups of other controllers have neither; what cannot be thawed cannot be removed, which is told.
        if file.exists() {
            let _ = fs::write(file, word);
        }
    }
}

/// Kills everything in these. Returns how many processes there were.
fn kill(dead: &[Dead]) -> usize {
    dead.iter().flat_map(Dead::groups).map(|group| kill_members(&group)).sum()
}

fn kill_members(group: &Path) -> usize {
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let members: Vec<i32> = members.lines().filter_map(|line| line.parse().ok()).collect();
    for pid in members.iter().filter_map(|pid| rustix::process::Pid::from_raw(*pid)) {
        // It may have died since it was listed.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    members.len()
}
