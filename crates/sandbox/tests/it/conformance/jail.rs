//! The program that runs a machine: what it may do on the host.

use std::{collections::BTreeSet, fs, path::Path};

use hangar_sandbox::IdRange;

use super::place::Place;
use crate::bench::{processes, soon};

/// CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER and CAP_FSETID.
const KEPT: &str = "000000000000001b";

/// The process that runs the machine of this place, seen from the host.
fn machine(place: &Place) -> i32 {
    let own = format!("guest={}", place.directory.path().display());
    let line = |pid: i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let told = |pid: &i32| line(*pid).split(|byte| *byte == 0).any(|word| word.starts_with(own.as_bytes()));
    processes().into_iter().map(|seen| seen.pid).find(told).expect("a machine runs")
}

/// A line of `/proc/PID/status`.
fn status(pid: i32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
    line.trim().to_owned()
}

pub(super) async fn what_runs_a_machine_has_no_rights(place: &Place) {
    soon("an answer", place.shared.ping()).await.unwrap();
    let pid = machine(place);
    for key in ["Uid", "Gid"] {
        for id in status(pid, key).split_whitespace() {
            let id: u32 = id.parse().unwrap();
            assert!(
                id > IdRange::DISK.first + IdRange::IDS - 1,
                "{key} {id} is one of the host's, or of files on disk"
            );
        }
    }
    assert_eq!(status(pid, "Groups"), "");
    for key in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(status(pid, key), KEPT, "{key}");
    }
    assert_eq!((status(pid, "NoNewPrivs"), status(pid, "Seccomp")), ("1".into(), "2".into()));
    // Its capabilities are over ids of a namespace of its own.
    for kind in ["user", "mnt", "pid", "net", "ipc", "uts"] {
        let of = |who: &str| fs::read_link(format!("/proc/{who}/ns/{kind}")).unwrap();
        assert_ne!(of(&pid.to_string()), of("self"), "{kind}");
    }
    let devices = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
    let devices: Vec<&str> = devices.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim).collect();
    assert_eq!(devices, ["lo"]);
    // Of the host's files it sees programs, and nothing that is the host's own.
    let root = format!("/proc/{pid}/root");
    let seen: BTreeSet<String> =
        fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    for hidden in ["home", "var", "boot", "srv", "mnt", "tmp"] {
        assert!(!seen.contains(hidden), "{seen:?}");
    }
    let listed = |path: &str| fs::read_dir(Path::new(&root).join(path)).unwrap().flatten().count();
    assert_eq!((listed("etc"), listed("machine"), listed("dev")), (1, 2, 2));
    assert_eq!(fs::read_to_string(format!("{root}/root/etc/hostname")).unwrap(), "shared\n");
}
