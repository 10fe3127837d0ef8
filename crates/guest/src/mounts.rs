//! Mounts in the guest's own namespace: made, attached, covered.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
};

use hangar_protocol::guest::setup::{Access, Mount, Source};
use rustix::{
    fs::{CWD, Mode},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
        fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, fspick, mount, mount_bind,
        mount_bind_recursive, move_mount, open_tree,
    },
};

use crate::{
    fault::SetupError,
    guard::{Guard, stands},
    kernel::{set_attributes_at, set_mount_attributes},
};

/// What nearly every mount of a slot refuses: programs with more rights than their caller, and devices.
const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// A mount that hangs nowhere yet.
pub(crate) struct Detached {
    fd: OwnedFd,
    directory: bool,
}

/// Picks a mount up, or makes it.
pub(crate) fn detached(mount: &Mount, sent: &mut [Option<OwnedFd>]) -> Result<Detached, SetupError> {
    let what = || format!("prepare {}", mount.target);
    match &mount.source {
        Source::Fd { index, directory } => {
            let fd = sent.get_mut(*index).and_then(Option::take);
            let fd =
                fd.ok_or_else(|| SetupError::new(format!("cannot {}: descriptor {index} was not sent", what())))?;
            Ok(Detached { fd, directory: *directory })
        }
        Source::Bind { path, access } => {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
            let fd = open_tree(CWD, path.as_str(), flags).map_err(SetupError::at(format!("pick up {path}")))?;
            set_mount_attributes(&fd, access_attributes(*access), true).map_err(SetupError::at(what()))?;
            Ok(Detached { fd, directory: Path::new(path).is_dir() })
        }
        Source::Tmpfs { bytes, inodes, mode, owner } => {
            let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(SetupError::at(what()))?;
            let options = [
                ("size", bytes.to_string()),
                ("nr_inodes", inodes.to_string()),
                ("mode", format!("{mode:o}")),
                ("uid", owner.to_string()),
                ("gid", owner.to_string()),
            ];
            for (key, value) in &options {
                fsconfig_set_string(&fs, *key, value.as_str()).map_err(SetupError::at(what()))?;
            }
            Ok(Detached { fd: created(&fs, plain(), &what)?, directory: true })
        }
        Source::Proc | Source::Devpts | Source::Ground => {
            Err(SetupError::new(format!("cannot {}: it is for a slot alone", what())))
        }
    }
}

/// An overlay of directories this process can reach (rootless).
pub(crate) fn overlay(lower: &[String], upper: &str, work: &str) -> Result<OwnedFd, SetupError> {
    let what = || "mount the root's overlay".to_owned();
    let made = overlay_of(upper, work, |fs| {
        lower.iter().try_for_each(|path| fsconfig_set_string(fs, "lowerdir+", path.as_str()))
    });
    let overlay = match made {
        // Before Linux 6.7 there is one option for all.
        Err(rustix::io::Errno::INVAL) => {
            let all: Vec<String> = lower.iter().map(|path| path.replace('\\', "\\\\").replace(':', "\\:")).collect();
            let all = all.join(":");
            if all.len() > OPTION_BYTES_MAX {
                let layers = lower.len();
                return Err(SetupError::new(format!(
                    "cannot mount the root's overlay: the paths of {layers} layers are longer than this kernel takes; use Linux 6.7 or newer, or run hangar as root"
                )));
            }
            overlay_of(upper, work, |fs| fsconfig_set_string(fs, "lowerdir", all.as_str()))
        }
        other => other,
    };
    let overlay = overlay.map_err(SetupError::at(what()))?;
    // Where the kernel cannot make the overlay's own directories it says so in its log alone, and mounts what nobody can write to.
    let flags = rustix::fs::fstatvfs(&overlay).map_err(SetupError::at(what()))?.f_flag;
    if flags.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        let full =
            "cannot mount the root's overlay for writing: the disk is full, or the data directory cannot be written";
        return Err(SetupError::new(full.into()));
    }
    Ok(overlay)
}

/// How long one option may be (`fsconfig` in fs/fsopen.c).
const OPTION_BYTES_MAX: usize = 255;

fn overlay_of(
    upper: &str,
    work: &str,
    name_lower: impl Fn(&OwnedFd) -> rustix::io::Result<()>,
) -> rustix::io::Result<OwnedFd> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    name_lower(&fs)?;
    for (key, value) in [("upperdir", upper), ("workdir", work)] {
        fsconfig_set_string(&fs, key, value)?;
    }
    // Without rights over the whole machine the overlay keeps its notes in user.* attributes.
    fsconfig_set_flag(&fs, "userxattr")?;
    fsconfig_create(&fs)?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, plain())
}

fn plain() -> MountAttrFlags {
    if !stands(Guard::MountFlags) {
        return MountAttrFlags::empty();
    }
    MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV
}

fn created(fs: &OwnedFd, attributes: MountAttrFlags, what: &dyn Fn() -> String) -> Result<OwnedFd, SetupError> {
    fsconfig_create(fs).map_err(SetupError::at(what()))?;
    fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(SetupError::at(what()))
}

fn access_attributes(access: Access) -> u64 {
    match access {
        Access::ReadOnly => libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        Access::ReadWrite => libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        Access::Device => libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC,
    }
}

/// Hangs a mount up, making its mount point.
pub(crate) fn attach(target: &str, source: &Detached) -> Result<(), SetupError> {
    let path = inside(target);
    make_parent(&path)?;
    if source.directory {
        fs::create_dir_all(&path).map_err(SetupError::at(format!("make {target}")))?;
    } else if !path.exists() {
        fs::write(&path, b"").map_err(SetupError::at(format!("make {target}")))?;
    }
    move_onto(&source.fd, &path).map_err(SetupError::at(format!("attach {target}")))
}

fn move_onto(fd: impl AsFd, target: &Path) -> io::Result<()> {
    Ok(move_mount(fd.as_fd(), "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Mounts what a slot has for itself at the same place below the working directory, where a mount point is.
pub(crate) fn fresh(own: &Mount) -> Result<(), SetupError> {
    let path = inside(&own.target);
    let what = || format!("mount {}", own.target);
    let at = |kind: &CStr, flags, options: &CStr| {
        let flags = if stands(Guard::MountFlags) { flags } else { MountFlags::empty() };
        mount(kind, &path, kind, flags, options).map_err(SetupError::at(what()))
    };
    match &own.source {
        Source::Tmpfs { bytes, inodes, mode, owner } => {
            let options = format!("size={bytes},nr_inodes={inodes},mode={mode:o},uid={owner},gid={owner}");
            at(c"tmpfs", PLAIN, &CString::new(options).map_err(SetupError::at(what()))?)
        }
        Source::Proc if stands(Guard::OwnProc) => at(c"proc", PLAIN, c""),
        // Its terminals are device files, so this one mount cannot be NODEV. Nothing else can be made in it.
        Source::Devpts => at(c"devpts", MountFlags::NOSUID, c"newinstance,mode=0620,ptmxmode=0666"),
        Source::Proc | Source::Ground => {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
            // A copy can be moved, as what came with the mount namespace cannot.
            let copy = open_tree(CWD, own.target.as_str(), flags).map_err(SetupError::at(what()))?;
            move_onto(&copy, &path).map_err(SetupError::at(what()))
        }
        Source::Fd { .. } | Source::Bind { .. } => {
            Err(SetupError::new(format!("cannot {}: it is no slot's own", what())))
        }
    }
}

/// Makes a file a mount of its own, so that a claim can move it.
pub(crate) fn make_movable(file: &Path) -> Result<(), SetupError> {
    mount_bind(file, file).map_err(SetupError::at(format!("prepare {}", file.display())))
}

/// Covers a directory by itself, read only; what is mounted below it stays.
pub(crate) fn write_protect(path: &Path) -> Result<(), SetupError> {
    let covered = mount_bind_recursive(path, path).map_err(std::io::Error::from);
    covered
        .and_then(|()| set_attributes_at(path, libc::MOUNT_ATTR_RDONLY))
        .map_err(SetupError::at(format!("protect {}", path.display())))
}

/// Covers a directory by a second mount of itself, which can be written as the first.
pub(crate) fn cover(path: &Path) -> Result<(), SetupError> {
    let what = || format!("cover {}", path.display());
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let cover = open_tree(CWD, path, flags).map_err(SetupError::at(what()))?;
    move_onto(&cover, path).map_err(SetupError::at(what()))
}

/// Makes one mount read only, not those below it.
pub(crate) fn close(path: &Path) -> Result<(), SetupError> {
    let what = || format!("protect {}", path.display());
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(SetupError::at(what()))?;
    set_mount_attributes(fd, libc::MOUNT_ATTR_RDONLY, false).map_err(SetupError::at(what()))
}

/// Gives a memory file system another size.
pub(crate) fn resize(path: &str, bytes: u64) -> Result<(), SetupError> {
    let what = || format!("resize {path}");
    let fs = fspick(CWD, inside(path), rustix::mount::FsPickFlags::FSPICK_CLOEXEC).map_err(SetupError::at(what()))?;
    fsconfig_set_string(&fs, "size", bytes.to_string()).map_err(SetupError::at(what()))?;
    fsconfig_reconfigure(&fs).map_err(SetupError::at(what()))
}

/// A path of the ground while it is built, or of a slot: that is the working directory.
pub(crate) fn inside(path: &str) -> PathBuf {
    PathBuf::from(path.trim_start_matches('/'))
}

pub(crate) fn make_parent(path: &Path) -> Result<(), SetupError> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    if parent.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(parent).map_err(SetupError::at(format!("make {}", parent.display())))?;
    fs::set_permissions(parent, fs::Permissions::from_mode(0o755))
        .map_err(SetupError::at(format!("make {}", parent.display())))
}
