//! What a machine's own kernel keeps to: how many processes there are, and how long changed pages may wait.
#![allow(
    unsafe_code,
    reason = "unshare is unsafe in general because of CLONE_FILES; there is one namespace alone here"
)]

use std::{fs, path::Path};

use rustix::{
    mount::{MountFlags, mount},
    thread::{UnshareFlags, unshare_unsafe},
};

use super::{DIRTY_CENTISECONDS, make};
use crate::{fault::SetupError, kernel};

/// Where the kernel's control groups are, out of the sandbox's sight.
const GROUPS: &str = "/groups";

/// Sets all limits, this process counted.
pub(super) fn apply(processes: u32) -> Result<(), SetupError> {
    kernel::silence_console();
    for name in ["dirty_expire_centisecs", "dirty_writeback_centisecs"] {
        write(&format!("/proc/sys/vm/{name}"), &DIRTY_CENTISECONDS.to_string())?;
    }
    for name in ["dmesg_restrict", "kptr_restrict"] {
        write(&format!("/proc/sys/kernel/{name}"), "1")?;
    }
    make(GROUPS)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(c"cgroup2", GROUPS, c"cgroup2", flags, None).map_err(SetupError::at("mount the control groups"))?;
    write(&format!("{GROUPS}/cgroup.subtree_control"), "+pids")?;
    let group = format!("{GROUPS}/sandbox");
    make(&group)?;
    write(&format!("{group}/pids.max"), &processes.to_string())?;
    // Process 1 and with it everything that it will start.
    write(&format!("{group}/cgroup.procs"), "1")?;
    // Which from there sees nothing above.
    // SAFETY: namespaces share no file descriptors or memory differently.
    unsafe { unshare_unsafe(UnshareFlags::NEWCGROUP) }.map_err(SetupError::at("make a control group namespace"))
}

fn write(path: &str, text: &str) -> Result<(), SetupError> {
    fs::write(Path::new(path), text).map_err(SetupError::at(format!("write {path}")))
}
