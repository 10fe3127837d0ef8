//! Detached mounts: trees that hang nowhere, made by the host and handed to a slot as descriptors.
#![allow(unsafe_code, reason = "mount_setattr and a raw clone for id mapping have no safe wrapper")]

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags, open},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
        fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
    },
};

use crate::{error::Error, process::Parked, slot::IdRange};

/// What a mount allows.
#[derive(Clone, Copy)]
pub(crate) enum Allow {
    /// Reading programs and data.
    Read,
    /// Reading and writing.
    Write,
    /// A device file.
    Device,
}

impl Allow {
    fn attributes(self) -> u64 {
        match self {
            Self::Read => libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
            Self::Write => libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
            Self::Device => libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC,
        }
    }
}

/// A copy of the host's tree at `path`, detached.
pub(crate) fn copy(path: &Path, allow: Allow) -> Result<OwnedFd, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let fd = open_tree(CWD, path, flags).map_err(Error::host(path))?;
    set_attributes(&fd, allow.attributes(), None, true).map_err(Error::kernel(format!("mount {}", path.display())))?;
    Ok(fd)
}

/// A copy of one directory's mount whose ids are shown through `ids`.
fn mapped(path: &Path, allow: Allow, ids: &OwnedFd) -> Result<OwnedFd, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let fd = open_tree(CWD, path, flags).map_err(Error::host(path))?;
    let what = || format!("map the ids of {} (its file system must support idmapped mounts)", path.display());
    set_attributes(&fd, allow.attributes(), Some(ids), false).map_err(Error::kernel(what()))?;
    Ok(fd)
}

/// A session's own directory below `/home`, writable, its ids mapped from the disk's range to the sandbox's.
pub(crate) fn home(path: &Path, range: IdRange) -> Result<OwnedFd, Error> {
    mapped(path, Allow::Write, &range.map_from_disk()?)
}

/// An overlay of the clone and a session's changes, detached.
///
/// Both layers are attached for a moment in `stage`, a directory of the launcher's private mount namespace, because kernels
/// before 6.15 accept only attached layers.
pub(crate) fn workspace(clone: &Path, changes: &Path, range: IdRange, stage: &Path) -> Result<OwnedFd, Error> {
    let owner = fs::metadata(clone).map_err(Error::host(clone))?;
    let lower = mapped(clone, Allow::Read, &range.map_from_owner(owner.uid(), owner.gid())?)?;
    let upper = mapped(changes, Allow::Write, &range.map_from_disk()?)?;
    let (lower_at, upper_at) = (stage.join("lower"), stage.join("changes"));
    let lower = Attached::new(lower, &lower_at)?;
    let upper = Attached::new(upper, &upper_at)?;
    let overlay = overlay(&lower_at, &upper_at).map_err(Error::kernel("mount the workspace's overlay"));
    drop((lower, upper));
    overlay
}

fn overlay(lower: &Path, changes: &Path) -> io::Result<OwnedFd> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // /proc/mounts shows these words inside the sandbox: the numbers of descriptors say nothing of the host's paths.
    for (option, directory) in
        [("lowerdir", lower.to_owned()), ("upperdir", changes.join("upper")), ("workdir", changes.join("work"))]
    {
        let opened = open(&directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        fsconfig_set_string(&fs, option, format!("/proc/self/fd/{}", opened.as_raw_fd()))?;
    }
    // A directory of the clone can be renamed, as anywhere else.
    fsconfig_set_string(&fs, "redirect_dir", "on")?;
    fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A mount that is attached until this is dropped.
struct Attached<'a>(&'a Path);

impl<'a> Attached<'a> {
    fn new(mount: OwnedFd, at: &'a Path) -> Result<Self, Error> {
        fs::create_dir_all(at).map_err(Error::host(at))?;
        move_mount(&mount, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(Error::kernel("attach a layer"))?;
        Ok(Self(at))
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        if let Err(error) = unmount(self.0, UnmountFlags::DETACH) {
            tracing::warn!(%error, path = %self.0.display(), "a layer stays attached in the launcher's mount namespace");
        }
    }
}

fn set_attributes(fd: impl AsFd, attributes: u64, ids: Option<&OwnedFd>, recursive: bool) -> io::Result<()> {
    let mut attr = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    if let Some(ids) = ids {
        attr.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attr.userns_fd = u64::from(ids.as_raw_fd().unsigned_abs());
    }
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string and attr a struct of the given size; both outlive the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(&attr),
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl IdRange {
    /// A mapping that shows ids as they lie on disk as this sandbox's ids.
    fn map_from_disk(self) -> Result<OwnedFd, Error> {
        // The overlay itself works as root and needs a place for root's own directory beside the upper one.
        let map = format!("0 0 1\n{} {} {}", IdRange::DISK.first, self.first, IdRange::IDS);
        id_mapping(&map, &map)
    }

    /// A mapping that shows one owner as this sandbox's agent.
    fn map_from_owner(self, uid: u32, gid: u32) -> Result<OwnedFd, Error> {
        let agent = self.agent();
        id_mapping(&format!("{uid} {agent} 1"), &format!("{gid} {agent} 1"))
    }
}

/// A user namespace that exists only for its mapping.
fn id_mapping(uids: &str, gids: &str) -> Result<OwnedFd, Error> {
    let parked = Parked::in_user_namespace().map_err(Error::kernel("make a user namespace for id mapping"))?;
    let at = |file: &str| format!("/proc/{}/{file}", parked.pid());
    fs::write(at("uid_map"), uids).map_err(Error::kernel("write a user id mapping"))?;
    fs::write(at("gid_map"), gids).map_err(Error::kernel("write a group id mapping"))?;
    let namespace = fs::File::open(at("ns/user")).map_err(Error::kernel("open a user namespace"))?;
    Ok(OwnedFd::from(namespace))
}
