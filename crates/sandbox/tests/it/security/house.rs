//! A sandbox as the host sees it: which of the host's processes it consists of, whatever its wall is made of.

use std::{collections::BTreeSet, fs, path::Path};

use hangar_sandbox::{BackendKind, Limits, Sandbox};
use rustix::process::Pid;

use super::arena::{Arena, said};

/// A sandbox, and the process namespaces of the host's kernel in which it lives.
pub(super) struct Housed {
    pub sandbox: Sandbox,
    pub namespaces: BTreeSet<String>,
}

impl Housed {
    pub(super) async fn new(arena: &Arena, name: &str) -> Self {
        Self::with(arena, name, |_| {}).await
    }

    pub(super) async fn with(arena: &Arena, name: &str, change: impl FnOnce(&mut Limits)) -> Self {
        let before = runtimes(&arena.path(""));
        let sandbox = arena.another(name, change).await;
        let namespaces = match arena.kind {
            // The host's kernel is the one that is asked inside.
            BackendKind::Namespace | BackendKind::Docker => {
                [said(&sandbox, "readlink /proc/self/ns/pid").await].into_iter().collect()
            }
            BackendKind::Gvisor | BackendKind::Vm => {
                runtimes(&arena.path("")).difference(&before).filter_map(|pid| namespace(*pid)).collect()
            }
        };
        Self { sandbox, namespaces }
    }

    /// What the first id of its user namespaces is on the host; empty without a user namespace.
    pub(super) fn first_ids(&self) -> BTreeSet<u32> {
        let own = first_id(std::process::id().cast_signed());
        let found = processes_in(&self.namespaces).into_iter().filter_map(first_id);
        found.filter(|id| Some(*id) != own).collect()
    }

    /// Users of the host as which its processes run.
    pub(super) fn users(&self) -> BTreeSet<u32> {
        processes_in(&self.namespaces).into_iter().filter(|pid| !starts_others(*pid)).filter_map(user).collect()
    }

    /// Seconds of processor time that its processes have used.
    pub(super) fn processor_s(&self) -> f64 {
        processes_in(&self.namespaces).into_iter().filter_map(processor_s).sum()
    }

    /// How often its control group has been held back because it had used up its share of the processors.
    pub(super) fn throttled(&self) -> u64 {
        processes_in(&self.namespaces).into_iter().flat_map(throttled).max().unwrap_or(0)
    }

    /// The process with which everything else has to end: its guest, or the kernel it has instead of the host's.
    pub(super) fn first_process(&self) -> Option<Pid> {
        let first = |pid: &i32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            // The name is cut to 15 letters.
            ["hangar-guest", "qemu-system-x86"].contains(&name.trim())
                || words.split(|byte| *byte == 0).any(|word| word == b"boot")
        };
        processes_in(&self.namespaces).into_iter().find(first).and_then(Pid::from_raw)
    }
}

/// Processes in these namespaces, by the host's numbers.
pub(super) fn processes_in(namespaces: &BTreeSet<String>) -> Vec<i32> {
    numbers().filter(|pid| namespace(*pid).is_some_and(|its| namespaces.contains(&its))).collect()
}

/// Runtimes that work for the engine over this directory: its path is among their arguments.
fn runtimes(place: &Path) -> BTreeSet<i32> {
    let place = place.to_string_lossy();
    let named = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(place.trim_end_matches('/'))
    };
    numbers().filter(named).collect()
}

fn numbers() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The process namespace of a process, if it is not the host's.
fn namespace(pid: i32) -> Option<String> {
    let of = |pid: &str| Some(fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?.to_string_lossy().into_owned());
    let its = of(&pid.to_string())?;
    (Some(&its) != of("self").as_ref()).then_some(its)
}

fn first_id(pid: i32) -> Option<u32> {
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).ok()?;
    map.split_whitespace().nth(1)?.parse().ok()
}

/// By each of its control groups that counts this.
fn throttled(pid: i32) -> Vec<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let counted = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        let place = Path::new("/sys/fs/cgroup").join(controllers).join(path).join("cpu.stat");
        fs::read_to_string(place).ok()?.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse().ok())
    };
    text.lines().filter_map(counted).collect()
}

/// `USER_HZ`, in which every kernel of this architecture counts for programs.
const TICKS_A_SECOND: f64 = 100.0;

/// Whether it is `runsc run`, which starts the others and touches nothing of the sandbox.
fn starts_others(pid: i32) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).any(|word| word == b"run")
}

/// Its own and that of its children that have ended.
fn processor_s(pid: i32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(ticks as f64 / TICKS_A_SECOND)
}

fn user(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok())
}
