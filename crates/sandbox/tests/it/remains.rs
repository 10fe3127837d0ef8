//! What the engine of one data directory has on this machine, whatever process it was in. Other tests' engines have directories and ids of their own.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A process that the one that was ended had below it, as it noted them itself right before its end.
#[derive(Debug)]
pub(crate) struct Noted {
    pid: i32,
    /// In the kernel's ticks; numbers of processes are given out again.
    started: String,
    spaces: Vec<String>,
}

/// Reads such a note.
pub(crate) fn noted(file: &Path) -> Vec<Noted> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().map(|line| {
        let mut words = line.split(' ').map(String::from);
        Noted { pid: words.next().unwrap().parse().unwrap(), started: words.next().unwrap(), spaces: words.collect() }
    });
    lines.collect()
}

/// A line for everything that is left of these processes: themselves, and namespaces of theirs that a mount keeps. (Another process can be in one only by
/// descending from them, or by being one of this list; numbers of namespaces are given out again, so looking for those elsewhere would find strangers.)
pub(crate) fn of_processes(noted: &[Noted]) -> Vec<String> {
    let own: BTreeSet<String> = links(Path::new("/proc/self/ns")).collect();
    let theirs: BTreeSet<&String> =
        noted.iter().flat_map(|one| &one.spaces).filter(|space| !own.contains(*space)).collect();
    let mut left = Vec::new();
    for one in noted {
        let stat = fs::read_to_string(format!("/proc/{}/stat", one.pid)).unwrap_or_default();
        let started = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
        if started == Some(&one.started) {
            left.push(format!("process {stat}"));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    for line in mounts.lines().filter(|line| line.contains(" nsfs ")) {
        if theirs.iter().any(|space| line.contains(space.as_str())) {
            left.push(format!("namespace {line}"));
        }
    }
    left
}

/// A line for every process, control group and mount of the engine over `data`, apart from those of this process's own engine.
pub(crate) fn of_engine(data: &Path) -> Vec<String> {
    let id = fs::read_to_string(data.join("run/sandboxes/engine-id")).unwrap_or_else(|_| "no engine yet".into());
    let own_pid = std::process::id();
    let own = format!("hangar-{id}-{own_pid}");
    let directory = data.to_string_lossy().into_owned();
    let mut left = Vec::new();
    for process in processes().filter(|process| !process.ends_with(own_pid.to_string())) {
        let told = |file: &str| {
            let bytes = fs::read(process.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let groups = told("cgroup");
        let named = ["cmdline", "environ", "mountinfo"].iter().any(|file| told(file).contains(&directory));
        if (groups.contains(&id) && !groups.contains(&own)) || (named && !groups.contains(&own)) {
            left.push(format!("process {} {}", process.display(), told("cmdline")));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    left.extend(mounts.lines().filter(|line| line.contains(&directory)).map(|line| format!("mount {line}")));
    let mut waiting = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(group) = waiting.pop() {
        let name = group.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == own {
            continue;
        }
        if name.contains(&id) {
            left.push(format!("group {}", group.display()));
        }
        let below = fs::read_dir(&group).into_iter().flatten().flatten();
        waiting
            .extend(below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()));
    }
    let sources = fs::read_dir("/sys/block").unwrap().flatten().map(|entry| entry.path().join("loop/backing_file"));
    let sources = sources.filter_map(|file| fs::read_to_string(file).ok());
    left.extend(sources.filter(|file| file.contains(&directory)).map(|file| format!("loop device over {file}")));
    left
}

/// A line for every file below `data` that only somebody who was interrupted leaves.
pub(crate) fn half_done(data: &Path) -> Vec<String> {
    let state = names(&data.join("run/sandboxes"));
    let known = ["engine.lock", "engine-id", "nothing", "skeleton", "stage"];
    let mut left: Vec<String> = state.into_iter().filter(|name| !known.contains(&name.as_str())).collect();
    left.extend(["nothing", "stage"].iter().flat_map(|empty| names(&data.join("run/sandboxes").join(empty))));
    let scratch = data.join("layers/scratch");
    left.extend(names(&scratch));
    // Layers have 64 letters; anything longer is being made or was set aside.
    left.extend(names(&data.join("layers")).into_iter().filter(|name| name.len() != 64 && name != "scratch"));
    for session in names(&data.join("sessions")) {
        let directory = data.join("sessions").join(session);
        let fits = |name: &String| ["upper", "work", "frozen"].contains(&name.as_str());
        left.extend(names(&directory).into_iter().filter(|name| !fits(name)));
        let numbered = |name: &String| name.strip_suffix(".layer").unwrap_or(name).parse::<u64>().is_ok();
        left.extend(names(&directory.join("frozen")).into_iter().filter(|name| !numbered(name)));
    }
    left
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn links(directory: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read_link(entry.path()).ok()).map(|link| link.to_string_lossy().into_owned())
}
