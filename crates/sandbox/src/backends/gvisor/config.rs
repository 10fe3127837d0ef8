//! What runsc is told, in the words of the OCI runtime specification 1.0.2.

use std::path::Path;

use serde_json::{Value, json};

use crate::{backends::ground::GUEST, ids::IdRange, spec::SandboxSpec};

/// What the guest needs until it has locked itself down, and what a builder keeps.
const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The bundle's `config.json`. `root` is where the launcher has mounted the sandbox's root.
pub(super) fn oci(spec: &SandboxSpec, range: IdRange, root: &Path) -> Value {
    let ids = json!([{ "containerID": 0, "hostID": range.first, "size": IdRange::IDS }]);
    let memory = |destination: &str, mode: &str, bytes: u64| {
        let options = json!(["nosuid", "nodev", format!("mode={mode}"), format!("size={bytes}")]);
        json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options })
    };
    let share = |part: u64| spec.limits.memory_bytes / part;
    let namespaces: Vec<Value> = ["pid", "ipc", "uts", "mount", "user"].map(|kind| json!({ "type": kind })).to_vec();
    let limit = |kind: &str, value: u64| json!({ "type": kind, "hard": value, "soft": value });
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": [GUEST, "contained"],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "capabilities": { "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES },
            "rlimits": [limit("RLIMIT_NOFILE", spec.limits.open_files)],
            "noNewPrivileges": true,
        },
        "root": { "path": root },
        "hostname": spec.name,
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
            memory("/dev/shm", "1777", share(8)),
            memory("/tmp", "1777", spec.limits.tmp_bytes.min(share(4))),
            memory("/run", "1777", share(16)),
        ],
        "linux": { "namespaces": namespaces, "uidMappings": ids, "gidMappings": ids },
    })
}
