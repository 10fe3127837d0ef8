//! Makes a slot: everything that every sandbox has, prepared in a small root in memory before anybody waits for it.
//!
//! ```text
//!   /proc (masked) · /dev · /tmp · /run · /usr … · /opt/toolchains · /etc/hosts …     each a mount, ready to be moved
//! ```

use std::{
    fs,
    os::{fd::OwnedFd, unix::fs::symlink},
    time::Instant,
};

use hangar_protocol::guest::Stage;
use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    process::{Signal, set_parent_process_death_signal},
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::{
    fault::SetupError,
    guard::{Guard, stands},
    mounts::{attach, close, detached, inside, make_movable, make_parent, mask, write_protect},
    network::{self, Sockets},
};

/// Where the slot's root is built. It only has to exist on the host: nothing of it is touched outside this mount namespace.
const STAGE: &str = "/tmp";
/// The root holds mount points and a few small files.
const ROOT_OPTIONS: &std::ffi::CStr = c"mode=0755,size=1m,nr_inodes=1024";
/// Mounts that hold nothing but mount points and links once they are made.
const CLOSED: &[&str] = &["/dev", "/opt/toolchains"];

/// The host's end of the slot's network.
pub(crate) struct Border {
    pub sockets: Sockets,
    /// How long it took to make.
    pub network_us: u32,
}

/// Carries out the order, and returns the border.
pub(crate) fn apply(stage: &Stage, mut sent: Vec<Option<OwnedFd>>) -> Result<Border, SetupError> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(SetupError::at("tie the life to the host's"))?;
    if stands(Guard::ControlGroupNamespace) {
        unshare_cgroup()?;
    }
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(SetupError::at("make mounts private"))?;
    let began = Instant::now();
    let sockets = network::prepare(&stage.ports)?;
    let network_us = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);

    // Everything of the host is picked up before the stage hides a part of it.
    let mut mounts = Vec::with_capacity(stage.mounts.len());
    for mount in &stage.mounts {
        mounts.push((&mount.target, detached(mount, &mut sent)?));
    }
    mount(c"tmpfs", STAGE, c"tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(ROOT_OPTIONS))
        .map_err(SetupError::at("mount the slot's root"))?;
    rustix::process::chdir(STAGE).map_err(SetupError::at("enter the slot's root"))?;
    for (target, source) in &mounts {
        attach(target, source)?;
    }
    for (path, target) in &stage.links {
        let inside = inside(path);
        make_parent(&inside)?;
        symlink(target, &inside).map_err(SetupError::at(format!("link {path}")))?;
    }
    for file in &stage.files {
        let path = inside(&file.path);
        make_parent(&path)?;
        fs::write(&path, &file.content).map_err(SetupError::at(format!("write {}", file.path)))?;
        make_movable(&file.path)?;
    }
    if stands(Guard::Masks) {
        stage.masked.iter().try_for_each(|path| mask(path))?;
    }
    if stands(Guard::ReadOnly) {
        stage.read_only.iter().try_for_each(|path| write_protect(path))?;
    }
    for path in CLOSED.iter().filter(|path| mounts.iter().any(|(target, _)| target == *path)) {
        close(path)?;
    }

    rustix::process::pivot_root(".", ".").map_err(SetupError::at("change the root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(SetupError::at("leave the host's root"))?;
    rustix::process::chdir("/").map_err(SetupError::at("enter the new root"))?;
    Ok(Border { sockets, network_us })
}

/// Done here and not at the clone, because the host puts the process into its cgroup in between.
#[allow(
    unsafe_code,
    reason = "unshare is unsafe in general because of CLONE_FILES; only the cgroup namespace is left here"
)]
fn unshare_cgroup() -> Result<(), SetupError> {
    // SAFETY: NEWCGROUP shares no file descriptors or memory differently.
    unsafe { unshare_unsafe(UnshareFlags::NEWCGROUP) }.map_err(SetupError::at("make a cgroup namespace"))
}
