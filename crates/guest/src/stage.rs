//! Makes a slot: everything that every sandbox has for itself, prepared before anybody waits for it.
//!
//! ```text
//!   on the ground (nursery.rs)   /slot   /proc (masked) · /dev · /tmp · /run · /usr … · /opt/toolchains · /etc/hosts …     each a mount, ready to be moved
//! ```

use std::{
    fs,
    os::fd::{AsFd, BorrowedFd},
    time::Instant,
};

use hangar_protocol::guest::{NewSlot, Stage};
use rustix::{
    mount::{MountFlags, mount, mount_bind},
    process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal},
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::{
    fault::SetupError,
    guard::{Guard, stands},
    mounts::{attach, detached, inside, make_movable, make_parent, write_protect},
    network::{self, Sockets},
    nursery::{self, EMPTY, SLOT},
};

/// The slot's part holds mount points and a few small files.
const SLOT_OPTIONS: &std::ffi::CStr = c"mode=0755,size=1m,nr_inodes=1024";
/// The file that says which machine this is.
const MACHINE_ID: &str = "/etc/machine-id";

/// The host's end of the slot's network.
pub(crate) struct Border {
    sockets: Sockets,
    /// How long it took to make.
    pub network_us: u32,
}

impl Border {
    pub(crate) fn borrowed(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd).collect()
    }
}

/// A path that is hidden.
#[derive(Clone, Debug)]
pub(crate) struct Mask {
    path: String,
    directory: bool,
}

impl Mask {
    /// Of a path of the ground's own `/proc`, which has the same parts as a slot's; what does not exist needs no hiding.
    pub(crate) fn of(path: &str) -> Option<Self> {
        Some(Self { path: path.to_owned(), directory: nursery::is_directory(&inside(path))? })
    }

    /// /dev/null over a file, an empty read-only directory over a directory.
    pub(crate) fn cover(&self) -> Result<(), SetupError> {
        let cover = if self.directory { EMPTY } else { "dev/null" };
        mount_bind(cover, inside(&self.path)).map_err(SetupError::at(format!("hide {}", self.path)))
    }
}

/// Makes the namespaces that are left, and the network in its own.
///
/// Done here and not at the fork: the nursery makes the next slot meanwhile.
#[allow(unsafe_code, reason = "unshare is unsafe in general because of CLONE_FILES; there are namespaces alone here")]
pub(crate) fn namespaces(stage: &Stage) -> Result<Border, SetupError> {
    let flags = nursery::own(Guard::UtsNamespace, libc::CLONE_NEWUTS)
        | nursery::own(Guard::Network, libc::CLONE_NEWNET)
        | nursery::own(Guard::IpcNamespace, libc::CLONE_NEWIPC)
        | nursery::own(Guard::ControlGroupNamespace, libc::CLONE_NEWCGROUP);
    let flags = UnshareFlags::from_bits_retain(flags.unsigned_abs());
    // SAFETY: namespaces share no file descriptors or memory differently.
    unsafe { unshare_unsafe(flags) }.map_err(SetupError::at("make namespaces"))?;
    let began = Instant::now();
    let sockets = network::prepare(&stage.ports)?;
    Ok(Border { sockets, network_us: u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX) })
}

/// Becomes the slot's root, makes what is its own, and stays in it.
pub(crate) fn apply(stage: &Stage, masks: &[Mask], slot: &NewSlot, border: Border) -> Result<Border, SetupError> {
    nursery::become_root(slot.ids)?;
    // A change of ids clears the one and makes the process undumpable, whose files in /proc then belong to nobody here.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(SetupError::at("tie the life to the host's"))?;
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(SetupError::at("become dumpable"))?;
    // Fails for whoever leads a session already.
    let _ = rustix::process::setsid();
    mount(c"tmpfs", SLOT, c"tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(SLOT_OPTIONS))
        .map_err(SetupError::at("mount the slot"))?;
    rustix::process::chdir(SLOT).map_err(SetupError::at("enter the slot"))?;
    for mount in &stage.mounts {
        attach(&mount.target, &detached(mount, &mut [])?)?;
    }
    let machine_id = (MACHINE_ID, format!("{}\n", slot.machine_id));
    let files = stage.files.iter().map(|file| (file.path.as_str(), file.content.clone()));
    for (path, content) in files.chain([machine_id]) {
        let file = inside(path);
        make_parent(&file)?;
        fs::write(&file, content).map_err(SetupError::at(format!("write {path}")))?;
        make_movable(path)?;
    }
    if stands(Guard::Masks) {
        masks.iter().try_for_each(Mask::cover)?;
    }
    if stands(Guard::ReadOnly) {
        stage.read_only.iter().try_for_each(|path| write_protect(path))?;
    }
    Ok(border)
}
