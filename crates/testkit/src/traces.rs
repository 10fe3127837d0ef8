//! What a server has on the machine: processes, mounts, control groups, network namespaces, loop devices, temporary files.
//!
//! Only what belongs to one server is listed, so that tests may run side by side. A process belongs to it when its environment,
//! its arguments or its control group names the server's directory or the id of its sandbox engine.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

/// A line for each thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces(BTreeSet<String>);

/// How deep control groups are looked for.
const GROUP_DEPTH_MAX: u32 = 4;

impl fmt::Display for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Traces {
    /// What names one of `marks` (a directory, an engine's id), and the entries of `temporary`.
    #[must_use]
    pub fn of(marks: &[String], temporary: &Path) -> Self {
        let marked = |text: &str| marks.iter().any(|mark| text.contains(mark.as_str()));
        let mut lines = BTreeSet::new();
        for process in processes() {
            let directory = PathBuf::from(format!("/proc/{process}"));
            let told = |file: &str| {
                let bytes = fs::read(directory.join(file)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            // The process that looks passes the directory on to those it starts, but does not belong to the server itself.
            if ["environ", "cmdline", "cgroup"].iter().any(|file| marked(&told(file))) {
                lines.insert(format!("process {process} {}", told("cmdline").trim()));
                if let Ok(space) = fs::read_link(directory.join("ns/net")) {
                    lines.insert(format!("network namespace {} of process {process}", space.display()));
                }
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        lines.extend(mounts.lines().filter(|line| marked(line)).map(|line| format!("mount {line}")));
        groups(Path::new("/sys/fs/cgroup"), GROUP_DEPTH_MAX, &mut |group| {
            if marked(&group.to_string_lossy()) {
                lines.insert(format!("cgroup {}", group.display()));
            }
        });
        for device in entries(Path::new("/sys/block")) {
            let file = fs::read_to_string(device.join("loop/backing_file")).unwrap_or_default();
            if marked(&file) {
                lines.insert(format!("loop device {} over {}", device.display(), file.trim()));
            }
        }
        for named in entries(Path::new("/run/netns")) {
            if marked(&named.to_string_lossy()) {
                lines.insert(format!("named network namespace {}", named.display()));
            }
        }
        lines.extend(entries(temporary).iter().map(|file| format!("file {}", file.display())));
        Self(lines)
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is something of this kind: `process`, `mount`, `cgroup`, `network namespace`, `loop device`, `file`.
    #[must_use]
    pub fn has(&self, kind: &str) -> bool {
        self.0.iter().any(|line| line.starts_with(kind))
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let all = entries(Path::new("/proc"));
    all.into_iter().filter_map(|path| path.file_name()?.to_str()?.parse().ok())
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn groups(directory: &Path, depth: u32, look: &mut impl FnMut(&Path)) {
    if depth == 0 {
        return;
    }
    for entry in fs::read_dir(directory).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            look(&entry.path());
            groups(&entry.path(), depth - 1, look);
        }
    }
}
