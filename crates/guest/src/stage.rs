//! Makes a slot: everything that every sandbox has for itself, prepared before anybody waits for it.
//!
//! ```text
//!   on the ground (nursery.rs)   /slot   /proc (masked) · /dev · /tmp · /run · /usr … · /opt/toolchains · /etc/hosts …     each a mount, ready to be moved
//! ```
//!
//! The mount points are the ground's and shared by all slots; what is mounted on them is seen in one slot alone.

use std::{
    collections::BTreeSet,
    fs,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    time::Instant,
};

use hangar_protocol::guest::{NewSlot, Stage, setup::IdMapping};
use rustix::{
    fs::{AtFlags, CWD, FileType},
    mount::{MountFlags, mount, mount_bind},
    process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal},
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::{
    fault::SetupError,
    guard::{Guard, stands},
    mounts::{fresh, inside, make_movable, make_parent, write_protect},
    network::{self, Sockets},
};

/// An empty directory of the ground, which covers what is hidden.
pub(crate) const EMPTY: &str = "/empty";
/// Where slots build what is their own.
pub(crate) const SLOT: &str = "/slot";
/// A slot's own files are few and small.
const FILES_OPTIONS: &std::ffi::CStr = c"mode=0755,size=1m,nr_inodes=1024";
const FILES_FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
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

/// What is the same for all slots, found out once, from the ground's own `/proc`, which has the same parts as a slot's.
#[derive(Debug)]
pub(crate) struct Plan {
    covers: Vec<Cover>,
    read_only: Vec<PathBuf>,
    /// Directories in which a slot has files of its own.
    homes: BTreeSet<PathBuf>,
}

impl Plan {
    /// Called in the ground while it is built.
    pub(crate) fn of(stage: &Stage) -> Self {
        // What only its owner may open needs no cover: that is the host's root, whom no sandbox has among its ids.
        let covers = stage.masked.iter().filter_map(|path| Cover::of(path)).filter(|cover| cover.opens_to_others);
        let read_only = stage.read_only.iter().map(|path| inside(path)).filter(|path| path.exists());
        let files = stage.files.iter().map(|file| file.path.as_str()).chain([MACHINE_ID]);
        let homes = files.filter_map(|path| inside(path).parent().map(Path::to_owned));
        Self { covers: covers.collect(), read_only: read_only.collect(), homes: homes.collect() }
    }

    /// Makes the mount points of all slots, in the ground.
    pub(crate) fn make_mount_points(&self, stage: &Stage) -> Result<(), SetupError> {
        let own: Vec<PathBuf> = stage.mounts.iter().map(|mount| inside(&mount.target)).collect();
        // What lies in another mount finds its point there.
        let bare = |path: &&PathBuf| !own.iter().any(|other| *path != other && path.starts_with(other));
        for path in own.iter().chain(&self.homes).filter(bare) {
            let point = inside(SLOT).join(path);
            make_parent(&point)?;
            fs::create_dir_all(&point).map_err(SetupError::at(format!("make {}", point.display())))?;
        }
        Ok(())
    }
}

/// What hides a path: /dev/null over a file, an empty read-only directory over a directory.
#[derive(Debug)]
pub(crate) struct Cover {
    path: PathBuf,
    directory: bool,
    /// Others than its owner may open what is there.
    opens_to_others: bool,
}

impl Cover {
    /// Of a path below the working directory; what does not exist needs no hiding.
    pub(crate) fn of(path: &str) -> Option<Self> {
        const FOR_OTHERS: u32 = 0o007;
        let path = inside(path);
        let stat = rustix::fs::statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let directory = FileType::from_raw_mode(stat.st_mode).is_dir();
        Some(Self { path, directory, opens_to_others: stat.st_mode & FOR_OTHERS != 0 })
    }

    /// Puts it in place.
    pub(crate) fn put(&self) -> Result<(), SetupError> {
        let cover = if self.directory { EMPTY } else { "dev/null" };
        mount_bind(cover, &self.path).map_err(SetupError::at(format!("hide {}", self.path.display())))
    }
}

/// Makes the namespaces that are left, and the network in its own.
///
/// Done here and not at the fork: the nursery makes the next slot meanwhile.
#[allow(unsafe_code, reason = "unshare is unsafe in general because of CLONE_FILES; there are namespaces alone here")]
pub(crate) fn namespaces(stage: &Stage) -> Result<Border, SetupError> {
    let flags = own(Guard::UtsNamespace, libc::CLONE_NEWUTS)
        | own(Guard::Network, libc::CLONE_NEWNET)
        | own(Guard::IpcNamespace, libc::CLONE_NEWIPC)
        | own(Guard::ControlGroupNamespace, libc::CLONE_NEWCGROUP);
    let flags = UnshareFlags::from_bits_retain(flags.unsigned_abs());
    // SAFETY: namespaces share no file descriptors or memory differently.
    unsafe { unshare_unsafe(flags) }.map_err(SetupError::at("make namespaces"))?;
    let began = Instant::now();
    let sockets = network::prepare(&stage.ports)?;
    Ok(Border { sockets, network_us: u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX) })
}

/// Becomes the slot's root, makes what is its own, and stays in it.
pub(crate) fn apply(stage: &Stage, plan: &Plan, slot: &NewSlot, border: Border) -> Result<Border, SetupError> {
    become_root(slot.ids)?;
    // A change of ids clears the one and makes the process undumpable, whose files in /proc then belong to nobody here.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(SetupError::at("tie the life to the host's"))?;
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(SetupError::at("become dumpable"))?;
    // Fails for whoever leads a session already.
    let _ = rustix::process::setsid();
    rustix::process::chdir(SLOT).map_err(SetupError::at("enter the slot"))?;
    stage.mounts.iter().try_for_each(fresh)?;
    for home in &plan.homes {
        mount(c"tmpfs", home, c"tmpfs", FILES_FLAGS, FILES_OPTIONS)
            .map_err(SetupError::at("mount the slot's files"))?;
    }
    let machine_id = (MACHINE_ID, format!("{}\n", slot.machine_id));
    let files = stage.files.iter().map(|file| (file.path.as_str(), file.content.clone()));
    for (path, content) in files.chain([machine_id]) {
        let file = inside(path);
        fs::write(&file, content).map_err(SetupError::at(format!("write {path}")))?;
        make_movable(&file)?;
    }
    if stands(Guard::Masks) {
        plan.covers.iter().try_for_each(Cover::put)?;
    }
    if stands(Guard::ReadOnly) {
        plan.read_only.iter().try_for_each(|path| write_protect(path))?;
    }
    Ok(border)
}

/// Takes id 0 of a new user namespace with a range of ids. With a single id, that one has been there from the beginning.
fn become_root(ids: IdMapping) -> Result<(), SetupError> {
    let what = || SetupError::at("become the sandbox's root");
    match ids {
        IdMapping::Range => {
            let (user, group) = (rustix::thread::Uid::ROOT, rustix::thread::Gid::ROOT);
            rustix::thread::set_thread_groups(&[]).map_err(what())?;
            rustix::thread::set_thread_res_gid(group, group, group).map_err(what())?;
            rustix::thread::set_thread_res_uid(user, user, user).map_err(what())
        }
        IdMapping::Single => Ok(()),
    }
}

/// Whether this guard, which a slot puts up by a namespace of its own, stands.
#[allow(clippy::missing_const_for_fn, reason = "it is none in a build whose guards can be taken away")]
fn own(guard: Guard, namespace: libc::c_int) -> libc::c_int {
    if stands(guard) { namespace } else { 0 }
}
