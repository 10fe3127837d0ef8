//! Control groups: limits on processor, memory and processes, on version 1 and 2.
//!
//! Every sandbox gets a group below `hangar-<engine>-<process>`, which lies below the group hangar itself runs in; on version 2, where that group is shared
//! with processes that are not hangar's (a login's), below the top of the hierarchy. The name lets the next start sweep what a killed one left.

use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::sweep;
use crate::{
    backend::{BackendKind, Readings},
    error::Error,
    spec::Limits,
    steps::Step,
};

/// Between two tries to remove a group whose last process is just dying.
const REMOVE_PAUSE: Duration = Duration::from_millis(5);
/// Tries to remove a group (two seconds in all).
const REMOVE_TRIES: u32 = 400;
/// How long a sandbox may take to stand still.
const FREEZE_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether it does.
const FREEZE_PAUSE: Duration = Duration::from_micros(50);
/// A file of counters is smaller.
const COUNTERS_BYTES_MAX: usize = 1024;
/// Controllers of version 2 without which there are no limits, and the order to hand them down.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
const HAND_DOWN: &str = "+cpu +memory +pids";
/// On version 2, hangar's own place beside its sandboxes.
const LEAF: &str = "hangar-server";
/// The kernel's usual accounting period for processor time.
const CPU_PERIOD_US: u64 = 100_000;

/// The control groups of an engine. Its directories go with the last handle, that of a sandbox's group included.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    hierarchy: Arc<Hierarchy>,
}

#[derive(Debug)]
enum Hierarchy {
    /// One hierarchy for each controller; the engine's directory in each.
    V1 { memory: Option<PathBuf>, pids: Option<PathBuf>, cpu: Option<PathBuf>, freezer: Option<PathBuf> },
    /// One hierarchy for all; the engine's directory.
    V2 { root: PathBuf },
    /// None that could be used, and why.
    None { reason: String },
}

impl Hierarchy {
    fn roots(&self) -> Vec<&PathBuf> {
        match self {
            Self::V1 { memory, pids, cpu, freezer } => [memory, pids, cpu, freezer].into_iter().flatten().collect(),
            Self::V2 { root } => vec![root],
            Self::None { .. } => vec![],
        }
    }

    fn remove_roots(&self) {
        for root in self.roots() {
            // Groups of sandboxes hold the hierarchy, so it is empty unless one could not be removed; the next start sweeps that.
            let _ = fs::remove_dir(root);
        }
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        self.remove_roots();
    }
}

/// Where this process stands in the control groups of the machine.
struct Place {
    /// The directory of its own group.
    own: PathBuf,
    /// That of the topmost group it sees.
    top: PathBuf,
}

impl Place {
    /// The group that was given to this process: the one it is in, before an engine moved it into a leaf of its own.
    fn given(&self) -> &Path {
        if self.own.ends_with(LEAF) { self.own.parent().unwrap_or(&self.own) } else { &self.own }
    }
}

/// Finds the directory of our own group in the hierarchy with this controller (`None`: version 2).
fn place(controller: Option<&str>) -> Option<Place> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let fits = match controller {
            Some(controller) => names.split(',').any(|name| name == controller),
            None => number == "0" && names.is_empty(),
        };
        fits.then(|| path.to_owned())
    })?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1).unwrap_or(""));
        let fits = match controller {
            Some(controller) => kind == "cgroup" && options.split(',').any(|option| option == controller),
            None => kind == "cgroup2",
        };
        let below = Path::new(&own).strip_prefix(root).ok()?;
        fits.then(|| Place { own: Path::new(point).join(below), top: PathBuf::from(point) })
    })
}

impl Cgroups {
    /// Finds out what this machine offers and makes the engine's directories.
    pub(crate) fn detect(engine: &str) -> Self {
        let name = format!("hangar-{engine}-{}", std::process::id());
        let v1 = |controller: &str| {
            let directory = place(Some(controller))?.own.join(&name);
            fs::create_dir_all(&directory).ok().map(|()| directory)
        };
        let (memory, pids, cpu) = (v1("memory"), v1("pids"), v1("cpu"));
        let hierarchy = if memory.is_some() || pids.is_some() {
            Hierarchy::V1 { memory, pids, cpu, freezer: v1("freezer") }
        } else {
            match Self::detect_v2(&name) {
                Ok(root) => Hierarchy::V2 { root },
                Err(reason) => Hierarchy::None { reason },
            }
        };
        Self { hierarchy: Arc::new(hierarchy) }
    }

    /// Why there are no limits, if there are none.
    pub(crate) fn missing(&self) -> Option<&str> {
        match &*self.hierarchy {
            Hierarchy::V1 { .. } | Hierarchy::V2 { .. } => None,
            Hierarchy::None { reason } => Some(reason),
        }
    }

    fn detect_v2(name: &str) -> Result<PathBuf, String> {
        let place = place(None).ok_or("no control group file system is mounted")?;
        let giving = giving(&place)?;
        if !hands_down(giving) {
            if giving == place.own && is_bounded(giving) {
                // A group with processes of its own cannot hand controllers down, so hangar moves into a leaf beside its sandboxes.
                let leaf = giving.join(LEAF);
                fs::create_dir_all(&leaf).map_err(told(&leaf))?;
                fs::write(leaf.join("cgroup.procs"), "0").map_err(told(&leaf))?;
            }
            fs::write(giving.join("cgroup.subtree_control"), HAND_DOWN).map_err(told(giving))?;
        }
        let root = giving.join(name);
        fs::create_dir_all(&root).map_err(told(&root))?;
        fs::write(root.join("cgroup.subtree_control"), HAND_DOWN).map_err(told(&root))?;
        Ok(root)
    }

    /// Removes what killed engines left. Blocks, but never for long ([`mod@sweep`]).
    pub(crate) fn sweep(&self, engine: &str) {
        sweep::sweep(&self.hierarchy.roots(), engine);
    }

    /// Removes the engine's own directories without waiting for the last handle; they are empty when no sandbox runs. Returns whether they are gone.
    pub(crate) fn remove_roots(&self) -> bool {
        self.hierarchy.remove_roots();
        !self.hierarchy.roots().iter().any(|root| root.exists())
    }

    /// Whether what runs in a group can be stopped and let go on.
    pub(crate) fn can_freeze(&self) -> bool {
        match &*self.hierarchy {
            Hierarchy::V1 { freezer, .. } => freezer.is_some(),
            Hierarchy::V2 { .. } => true,
            Hierarchy::None { .. } => false,
        }
    }

    /// Makes the group of one slot, with its limits.
    pub(crate) fn create(&self, name: &str, limits: &Limits) -> Result<Group, Error> {
        let mut group = Group {
            name: name.to_owned(),
            counters: Counters::default(),
            directories: self.hierarchy.roots().into_iter().map(|root| root.join(name)).collect(),
            limits: Mutex::new(None),
            frozen: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            hierarchy: Arc::clone(&self.hierarchy),
        };
        for directory in &group.directories {
            match fs::create_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::host(directory)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        group.limit(limits)?;
        group.counters = Counters::of(&self.hierarchy, name);
        Ok(group)
    }
}

/// The group of version 2 below which those of sandboxes can be: the own one if nobody else is in it, else the topmost, as container engines do it.
/// `Err` says why there is none.
fn giving(place: &Place) -> Result<&Path, String> {
    can_give(place.given()).or_else(|reason| can_give(&place.top).map_err(|_| reason))
}

fn can_give(group: &Path) -> Result<&Path, String> {
    let offered = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    if let Some(missing) = CONTROLLERS.iter().find(|wanted| !offered.split_whitespace().any(|name| name == **wanted)) {
        return Err(format!("the controller `{missing}` is not delegated to {}", group.display()));
    }
    if rustix::fs::access(group, rustix::fs::Access::WRITE_OK).is_err() {
        return Err(format!("{} cannot be written", group.display()));
    }
    if hands_down(group) || !is_bounded(group) || members(group).all(|pid| pid == std::process::id()) {
        Ok(group)
    } else {
        Err(format!("other processes are in {} as well, so it cannot bound sandboxes", group.display()))
    }
}

/// Whether groups below this one have limits already.
fn hands_down(group: &Path) -> bool {
    let handed = fs::read_to_string(group.join("cgroup.subtree_control")).unwrap_or_default();
    CONTROLLERS.iter().all(|wanted| handed.split_whitespace().any(|name| name == *wanted))
}

/// Whether it is any group but the kernel's first, which alone may hold processes and hand controllers down.
fn is_bounded(group: &Path) -> bool {
    group.join("cgroup.type").exists()
}

fn members(group: &Path) -> impl Iterator<Item = u32> {
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    members.lines().filter_map(|line| line.parse().ok()).collect::<Vec<u32>>().into_iter()
}

fn told(group: &Path) -> impl Fn(io::Error) -> String {
    let group = group.to_owned();
    move |error| format!("{}: {error}", group.display())
}

/// What this machine offers, without making anything; `Err` says which limit would be missing.
pub(crate) fn survey() -> Result<String, String> {
    let writable = |controller: &str| {
        place(Some(controller))
            .is_some_and(|place| rustix::fs::access(&place.own, rustix::fs::Access::WRITE_OK).is_ok())
    };
    let version_1: Vec<&str> =
        ["memory", "pids", "cpu"].into_iter().filter(|controller| writable(controller)).collect();
    if !version_1.is_empty() {
        let missing: Vec<&str> =
            ["memory", "pids", "cpu"].into_iter().filter(|controller| !version_1.contains(controller)).collect();
        return if missing.is_empty() {
            Ok("version 1, with memory, pids and cpu".into())
        } else {
            Err(format!("control groups (version 1) lack {}", missing.join(", ")))
        };
    }
    let place = place(None).ok_or("no control group file system is mounted")?;
    match giving(&place) {
        Ok(_) => Ok("version 2, with memory, pids and cpu".into()),
        Err(reason) => Err(format!("control groups (version 2) bound nothing: {reason}")),
    }
}

fn set(file: &Path, value: u64) -> Result<(), Error> {
    fs::write(file, value.to_string()).map_err(Error::host(file))
}

/// The control group of one sandbox. Dropping it removes it; everything in it must be dead by then.
#[derive(Debug)]
pub(crate) struct Group {
    name: String,
    directories: Vec<PathBuf>,
    counters: Counters,
    /// What has been set.
    limits: Mutex<Option<Limits>>,
    frozen: AtomicBool,
    removed: AtomicBool,
    /// Goes after the directories above, and with the last of them the engine's own.
    hierarchy: Arc<Hierarchy>,
}

impl Group {
    #[cfg(test)]
    pub(super) fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Sets those limits that differ from what is set.
    pub(crate) fn limit(&self, limits: &Limits) -> Result<(), Error> {
        let mut known = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let differs = |of: fn(&Limits) -> u64| known.as_ref().is_none_or(|known| of(known) != of(limits));
        let memory_differs = differs(|limits| limits.memory_bytes);
        let processes_differ = differs(|limits| u64::from(limits.processes));
        let cpu_differs = differs(|limits| u64::from(limits.cpu_percent));
        let quota = u64::from(limits.cpu_percent) * CPU_PERIOD_US / 100;
        match &*self.hierarchy {
            Hierarchy::V1 { memory, pids, cpu, freezer: _ } => {
                if let Some(memory) = memory.as_ref().filter(|_| memory_differs).map(|root| root.join(&self.name)) {
                    self.limit_memory(&memory, limits.memory_bytes)?;
                }
                if let Some(pids) = pids.as_ref().filter(|_| processes_differ).map(|root| root.join(&self.name)) {
                    set(&pids.join("pids.max"), u64::from(limits.processes))?;
                }
                if let Some(cpu) = cpu.as_ref().filter(|_| cpu_differs).map(|root| root.join(&self.name)) {
                    set(&cpu.join("cpu.cfs_period_us"), CPU_PERIOD_US)?;
                    set(&cpu.join("cpu.cfs_quota_us"), quota)?;
                }
            }
            Hierarchy::V2 { root } => {
                let directory = root.join(&self.name);
                if memory_differs {
                    set(&directory.join("memory.max"), limits.memory_bytes)?;
                    let _ = fs::write(directory.join("memory.swap.max"), "0");
                }
                if processes_differ {
                    set(&directory.join("pids.max"), u64::from(limits.processes))?;
                }
                if cpu_differs {
                    let max = directory.join("cpu.max");
                    fs::write(&max, format!("{quota} {CPU_PERIOD_US}")).map_err(Error::host(&max))?;
                }
            }
            Hierarchy::None { .. } => {}
        }
        *known = Some(*limits);
        Ok(())
    }

    /// Swap counts as memory where it is accounted at all; its limit can never be below that of memory, so the order matters.
    fn limit_memory(&self, directory: &Path, bytes: u64) -> Result<(), Error> {
        let both = directory.join("memory.memsw.limit_in_bytes");
        if set(&directory.join("memory.limit_in_bytes"), bytes).is_err() {
            let _ = fs::write(&both, bytes.to_string());
            return set(&directory.join("memory.limit_in_bytes"), bytes);
        }
        let _ = fs::write(&both, bytes.to_string());
        Ok(())
    }

    /// How a process gets to be made in it.
    pub(crate) fn entry(&self) -> Result<Entry, Error> {
        match &*self.hierarchy {
            Hierarchy::V1 { .. } => {
                let inside = self.directories.iter().map(|directory| door(directory)).collect::<Result<_, _>>()?;
                let outside = self.directories.iter().filter_map(|directory| directory.parent()?.parent());
                Ok(Entry::Through { inside, outside: outside.map(door).collect::<Result<_, _>>()? })
            }
            Hierarchy::V2 { root } => {
                let directory = root.join(&self.name);
                let opened = fs::File::open(&directory).map_err(Error::host(directory))?;
                Ok(Entry::Into(OwnedFd::from(opened)))
            }
            Hierarchy::None { .. } => Ok(Entry::Anywhere),
        }
    }

    /// How often limits have been hit.
    pub(crate) fn readings(&self) -> Readings {
        let read = |counter: &Option<Counter>| counter.as_ref().map_or(0, Counter::read);
        Readings { oom_kills: read(&self.counters.memory), processes_refused: read(&self.counters.processes) }
    }

    /// Stops everything in it where it is, and waits until it stands. Blocks.
    pub(crate) fn freeze(&self) -> Result<(), Error> {
        self.frozen.store(true, Ordering::Release);
        self.set_frozen(true)
    }

    /// Lets everything go on.
    pub(crate) fn thaw(&self) -> Result<(), Error> {
        let done = self.set_frozen(false);
        self.frozen.store(false, Ordering::Release);
        done
    }

    /// Whether it was told to stand still.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }

    /// So that what was killed while it was frozen can die.
    pub(crate) fn thaw_for_the_end(&self) {
        if self.frozen.load(Ordering::Acquire) {
            // If it cannot be thawed it stays; then the group cannot be removed, which is logged.
            let _ = self.thaw();
        }
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), Error> {
        match &*self.hierarchy {
            Hierarchy::V1 { freezer: Some(freezer), .. } => {
                let state = freezer.join(&self.name).join("freezer.state");
                let wanted = if frozen { "FROZEN" } else { "THAWED" };
                fs::write(&state, wanted).map_err(Error::host(&state))?;
                until(|| fs::read_to_string(&state).is_ok_and(|state| state.trim() == wanted))
            }
            Hierarchy::V2 { root } => {
                let directory = root.join(&self.name);
                let (freeze, events) = (directory.join("cgroup.freeze"), directory.join("cgroup.events"));
                let wanted = u64::from(frozen);
                set(&freeze, wanted)?;
                until(|| counter(&events, "frozen") == wanted)
            }
            Hierarchy::V1 { freezer: None, .. } | Hierarchy::None { .. } => Err(Error::Unsupported {
                backend: BackendKind::Namespace.name(),
                what: "pause a sandbox",
                why: "no control group can be frozen here; see `hangar doctor`".into(),
            }),
        }
    }

    /// Removes it; everything in it is dead. Blocks for as long as the kernel takes to let go of the dead.
    pub(crate) fn remove(&self) {
        if self.removed.swap(true, Ordering::AcqRel) {
            return;
        }
        for directory in &self.directories {
            if let Err(error) = remove(directory) {
                tracing::warn!(%error, group = %directory.display(), "a control group could not be removed; the next start tries again");
            }
            Step::DestroyGroupHalfRemoved.done();
        }
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.remove();
    }
}

/// How a process gets to be made in a group.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Version 1: whoever forks goes in first, and back out afterwards, by writing [`Self::MYSELF`] to each of these files. A thread that moves itself needs no
    /// lock, where moving another costs a grace period of the kernel (about 10 ms; kernel/cgroup/cgroup.c, `cgroup_procs_write_start`).
    Through {
        /// Lead in.
        inside: Vec<OwnedFd>,
        /// Lead to where hangar is.
        outside: Vec<OwnedFd>,
    },
    /// Version 2: a process can be forked into this directory.
    Into(OwnedFd),
    /// There are no groups.
    Anywhere,
}

impl Entry {
    /// What a thread calls itself there.
    pub(crate) const MYSELF: &[u8] = b"0";

    /// The directory to fork into, if there is one.
    pub(crate) fn directory(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Into(directory) => Some(directory.as_fd()),
            Self::Through { .. } | Self::Anywhere => None,
        }
    }

    /// The calling thread goes in, as far as it must. What it forks now is born in the group.
    pub(crate) fn go_in(&self) -> Result<(), Error> {
        match self {
            Self::Through { inside, .. } => inside.iter().try_for_each(go),
            Self::Into(_) | Self::Anywhere => Ok(()),
        }
    }

    /// The calling thread goes back.
    pub(crate) fn go_out(&self) -> Result<(), Error> {
        match self {
            Self::Through { outside, .. } => outside.iter().try_for_each(go),
            Self::Into(_) | Self::Anywhere => Ok(()),
        }
    }
}

fn door(group: &Path) -> Result<OwnedFd, Error> {
    let tasks = group.join("tasks");
    fs::File::options().write(true).open(&tasks).map(OwnedFd::from).map_err(Error::host(tasks))
}

fn go(door: &OwnedFd) -> Result<(), Error> {
    rustix::io::write(door, Entry::MYSELF).map(drop).map_err(Error::kernel("change the control group"))
}

/// Waits for the freezer; a process in the middle of a system call takes a moment to stand.
fn until(mut holds: impl FnMut() -> bool) -> Result<(), Error> {
    let deadline = Instant::now() + FREEZE_PATIENCE;
    while !holds() {
        if Instant::now() > deadline {
            return Err(Error::Setup(format!("the sandbox did not come to a stand within {FREEZE_PATIENCE:?}")));
        }
        std::thread::sleep(FREEZE_PAUSE);
    }
    Ok(())
}

/// What counts how often limits were hit.
#[derive(Debug, Default)]
struct Counters {
    memory: Option<Counter>,
    processes: Option<Counter>,
}

impl Counters {
    fn of(hierarchy: &Hierarchy, name: &str) -> Self {
        let open = |root: &PathBuf, file: &str, key| Counter::open(&root.join(name).join(file), key);
        match hierarchy {
            Hierarchy::V1 { memory, pids, .. } => Self {
                memory: memory.as_ref().and_then(|root| open(root, "memory.oom_control", "oom_kill")),
                processes: pids.as_ref().and_then(|root| open(root, "pids.events", "max")),
            },
            Hierarchy::V2 { root } => {
                Self { memory: open(root, "memory.events", "oom_kill"), processes: open(root, "pids.events", "max") }
            }
            Hierarchy::None { .. } => Self::default(),
        }
    }
}

/// One counter in its file, which is kept open: it is looked at before and after every command.
#[derive(Debug)]
struct Counter {
    file: fs::File,
    key: &'static str,
}

impl Counter {
    /// `None` where the kernel does not count this.
    fn open(file: &Path, key: &'static str) -> Option<Self> {
        Some(Self { file: fs::File::open(file).ok()?, key })
    }

    fn read(&self) -> u64 {
        let mut text = [0; COUNTERS_BYTES_MAX];
        let size = self.file.read_at(&mut text, 0).unwrap_or(0);
        value(&String::from_utf8_lossy(&text[..size]), self.key)
    }
}

/// Reads `key value` from a file of counters.
fn counter(file: &Path, key: &str) -> u64 {
    value(&fs::read_to_string(file).unwrap_or_default(), key)
}

fn value(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// Removes a group, waiting for its last process to be gone.
fn remove(directory: &Path) -> io::Result<()> {
    for _ in 0..REMOVE_TRIES {
        match fs::remove_dir(directory) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => std::thread::sleep(REMOVE_PAUSE),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
    fs::remove_dir(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 2: an engine that has moved its process into a leaf finds what was given to it again, as the next engine of the same process does.
    #[test]
    fn what_was_given_is_found_from_the_leaf() {
        let given = |own: &str| Place { own: own.into(), top: "/sys/fs/cgroup".into() }.given().to_owned();
        assert_eq!(given("/sys/fs/cgroup/a.service"), Path::new("/sys/fs/cgroup/a.service"));
        assert_eq!(given("/sys/fs/cgroup/a.service/hangar-server"), Path::new("/sys/fs/cgroup/a.service"));
    }

    /// As far as plain directories show it: nobody is in there, or nobody else.
    #[test]
    fn a_group_with_other_processes_gives_nothing_and_the_topmost_does() {
        let directory = tempfile::TempDir::new().unwrap();
        let (top, own) = (directory.path().to_owned(), directory.path().join("session"));
        let group = |path: &Path, files: &[(&str, &str)]| {
            fs::create_dir_all(path).unwrap();
            files.iter().for_each(|(file, text)| fs::write(path.join(file), text).unwrap());
        };
        let place = Place { own: own.clone(), top: top.clone() };
        group(&top, &[("cgroup.controllers", "cpu memory pids")]);
        group(&own, &[("cgroup.controllers", "cpu memory pids"), ("cgroup.type", "domain")]);
        group(&own, &[("cgroup.procs", &format!("{}\n", std::process::id()))]);
        assert_eq!(giving(&place), Ok(own.as_path()));
        group(&own, &[("cgroup.procs", &format!("1\n{}\n", std::process::id()))]);
        assert_eq!(giving(&place), Ok(top.as_path()));
        group(&top, &[("cgroup.controllers", "memory pids")]);
        assert!(giving(&place).unwrap_err().contains("other processes are in"));
        group(&own, &[("cgroup.subtree_control", "cpu memory pids")]);
        assert_eq!(giving(&place), Ok(own.as_path()));
    }
}
