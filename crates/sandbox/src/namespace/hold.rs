//! Holds a workspace read only while it is brought to a commit, and lets it go: one flag of one mount.
//!
//! The mount is the cover that the guest has put over the workspace (`hold.rs` in the crate guest). Nobody inside has the right to change it; a thread of the host
//! enters the sandbox's mounts for it, as for a snapshot. The kernel refuses to take the right to write from a mount on which a file is open for writing, so what is held has no
//! writer left, not even by a mapping.
#![allow(unsafe_code, reason = "unshare is unsafe in general because of CLONE_FILES")]

use std::{
    fs::File,
    os::fd::{AsFd, OwnedFd},
};

use hangar_protocol::guest::WORKSPACE;
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, open, openat2},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};

use super::{
    mounts::{Writing, set_writing},
    rights::Rights,
};
use crate::{
    backend::Hold,
    doctor::landlock_abi,
    error::Error,
    guard::{Guard, stands},
};

/// Whether workspaces can be held on this machine.
///
/// Without root nobody outside may enter the sandbox's mounts. Without Landlock a command could reach the mounts of the one process that can write
/// (through `/proc/<pid>/cwd`), and the cover would be a courtesy.
pub(super) fn is_possible(rights: Rights) -> bool {
    matches!(rights, Rights::Root) && landlock_abi().is_some()
}

/// Allows or refuses writing to the workspace of the sandbox whose process 1 this is. Blocks.
pub(super) fn set(pid: i32, writing: Writing) -> Result<Hold, Error> {
    let namespace = format!("/proc/{pid}/ns/mnt");
    let namespace = OwnedFd::from(File::open(&namespace).map_err(Error::host(namespace))?);
    // A thread that has entered other mounts does not come back: it ends.
    let inside = std::thread::Builder::new().name("hangar-hold".into()).spawn(move || {
        let root = enter(&namespace)?;
        change(&root, writing)
    });
    let inside = inside.map_err(Error::kernel("start a thread"))?;
    inside.join().unwrap_or_else(|_| Err(Error::Setup("the thread that holds the workspace died".into())))
}

/// Moves the calling thread into a sandbox's mounts and opens their root.
pub(super) fn enter(namespace: &OwnedFd) -> Result<OwnedFd, Error> {
    let what = || Error::kernel("enter a sandbox's mounts");
    // SAFETY: this thread gets a root and working directory of its own; descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::FS) }.map_err(what())?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount)).map_err(what())?;
    // What is mounted last on `/` of the slot: the sandbox's root.
    open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(what())
}

/// Allows or refuses writing to the cover of this root's workspace.
pub(super) fn change(root: &OwnedFd, writing: Writing) -> Result<Hold, Error> {
    let what = "hold the workspace read only";
    if !stands(Guard::Hold) {
        return Ok(Hold::Held);
    }
    // No link is followed on the way: a builder could have put one there.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let cover =
        openat2(root, WORKSPACE.trim_start_matches('/'), flags, Mode::empty(), resolve).map_err(Error::kernel(what))?;
    match set_writing(&cover, writing) {
        Ok(()) => Ok(Hold::Held),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(Hold::InUse),
        // What is there is no mount.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(Error::cannot_hold(
            "namespace",
            "the sandbox was not made for it, or has been taken a snapshot of since",
        )),
        Err(error) => Err(Error::kernel(what)(error)),
    }
}
