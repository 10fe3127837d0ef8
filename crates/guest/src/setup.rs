//! Builds the sandbox's root and moves into it.

use std::{
    fs, io,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use hangar_protocol::guest::{
    BORDER_PORT, Setup,
    setup::{Access, Mount, Source},
};
use rustix::{
    fs::{CWD, Mode},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, mount_change,
        move_mount, open_tree, unmount,
    },
    process::{Signal, set_parent_process_death_signal},
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::kernel::{self, set_mount_attributes};

/// Why a slot could not become a sandbox.
#[derive(Debug)]
pub(crate) struct SetupError(String);

impl SetupError {
    pub(crate) fn new(message: String) -> Self {
        Self(message)
    }

    /// Turns a system error into one that says what was being done.
    pub(crate) fn at<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| Self(format!("cannot {what}: {error}"))
    }
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the new root is built. It only has to exist on the host: nothing of it is touched outside this mount namespace.
const STAGE: &str = "/tmp";
/// The root holds directories, links and small generated files; what can grow is mounted.
const ROOT_OPTIONS: &std::ffi::CStr = c"mode=0755,size=4m,nr_inodes=4096";

/// What a slot does before it knows what it will be.
pub(crate) fn stage() -> Result<(), SetupError> {
    kernel::set_name(c"hangar-guest");
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(SetupError::at("tie the life to the host's"))?;
    unshare_cgroup()?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(SetupError::at("make mounts private"))?;
    kernel::loopback_up().map_err(SetupError::at("switch loopback on"))
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

/// Mounts everything, moves into it, and returns the border's listening socket.
pub(crate) fn apply(setup: &Setup, mut sent: Vec<Option<OwnedFd>>) -> Result<TcpListener, SetupError> {
    rustix::system::sethostname(setup.hostname.as_bytes()).map_err(SetupError::at("set the host name"))?;
    let border = TcpListener::bind(("127.0.0.1", BORDER_PORT)).map_err(SetupError::at("listen at the border"))?;

    // Everything of the host is picked up before the stage hides a part of it.
    let mut mounts = Vec::with_capacity(setup.mounts.len());
    for mount in &setup.mounts {
        mounts.push((mount, detached(mount, &mut sent)?));
    }
    mount(c"tmpfs", STAGE, c"tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(ROOT_OPTIONS))
        .map_err(SetupError::at("mount the root"))?;
    rustix::process::chdir(STAGE).map_err(SetupError::at("enter the root"))?;
    for (mount, source) in mounts {
        attach(mount, source)?;
    }
    for file in &setup.files {
        let path = inside(&file.path);
        make_parent(&path)?;
        fs::write(&path, &file.content).map_err(SetupError::at(format!("write {}", file.path)))?;
    }
    for (path, target) in &setup.links {
        let inside = inside(path);
        make_parent(&inside)?;
        symlink(target, &inside).map_err(SetupError::at(format!("link {path}")))?;
    }
    setup.masked.iter().try_for_each(|path| mask(path))?;
    setup.read_only.iter().try_for_each(|path| write_protect(path))?;

    rustix::process::pivot_root(".", ".").map_err(SetupError::at("change the root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(SetupError::at("leave the host's root"))?;
    rustix::process::chdir("/").map_err(SetupError::at("enter the new root"))?;
    let root = open(Path::new("/"))?;
    set_mount_attributes(root, libc::MOUNT_ATTR_RDONLY, false).map_err(SetupError::at("protect the root"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(border)
}

/// A mount that hangs nowhere yet.
struct Detached {
    fd: OwnedFd,
    directory: bool,
}

fn detached(mount: &Mount, sent: &mut [Option<OwnedFd>]) -> Result<Detached, SetupError> {
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
        Source::Overlay { lower, upper, work } => {
            let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(SetupError::at(what()))?;
            let lower: Vec<String> = lower.iter().map(|path| escape(path)).collect();
            let options = [("lowerdir", lower.join(":")), ("upperdir", upper.clone()), ("workdir", work.clone())];
            for (key, value) in &options {
                fsconfig_set_string(&fs, *key, value.as_str()).map_err(SetupError::at(what()))?;
            }
            // Without rights over the whole machine the overlay keeps its notes in user.* attributes.
            fsconfig_set_flag(&fs, "userxattr").map_err(SetupError::at(what()))?;
            Ok(Detached { fd: created(&fs, &what)?, directory: true })
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
            Ok(Detached { fd: created(&fs, &what)?, directory: true })
        }
        Source::Proc => {
            let fs = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC).map_err(SetupError::at(what()))?;
            Ok(Detached { fd: created(&fs, &what)?, directory: true })
        }
        Source::Devpts => {
            let fs = fsopen("devpts", FsOpenFlags::FSOPEN_CLOEXEC).map_err(SetupError::at(what()))?;
            for (key, value) in [("mode", "0620"), ("ptmxmode", "0666")] {
                fsconfig_set_string(&fs, key, value).map_err(SetupError::at(what()))?;
            }
            // Its terminals are device files, so this one mount cannot be NODEV. Nothing else can be made in it.
            Ok(Detached { fd: created_with(&fs, MountAttrFlags::MOUNT_ATTR_NOSUID, &what)?, directory: true })
        }
    }
}

fn created(fs: &OwnedFd, what: &dyn Fn() -> String) -> Result<OwnedFd, SetupError> {
    created_with(fs, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV, what)
}

fn created_with(fs: &OwnedFd, attributes: MountAttrFlags, what: &dyn Fn() -> String) -> Result<OwnedFd, SetupError> {
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

fn attach(mount: &Mount, source: Detached) -> Result<(), SetupError> {
    let target = inside(&mount.target);
    make_parent(&target)?;
    if source.directory {
        fs::create_dir_all(&target).map_err(SetupError::at(format!("make {}", mount.target)))?;
    } else {
        fs::write(&target, b"").map_err(SetupError::at(format!("make {}", mount.target)))?;
    }
    move_onto(&source.fd, &target).map_err(SetupError::at(format!("attach {}", mount.target)))
}

fn move_onto(fd: impl AsFd, target: &Path) -> io::Result<()> {
    Ok(move_mount(fd.as_fd(), "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

fn open(path: &Path) -> Result<OwnedFd, SetupError> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(SetupError::at(format!("open {}", path.display())))
}

/// Hides a path: /dev/null over a file, an empty read-only directory over a directory. What does not exist needs no hiding.
fn mask(path: &str) -> Result<(), SetupError> {
    let target = inside(path);
    let what = || format!("hide {path}");
    let Ok(meta) = fs::symlink_metadata(&target) else { return Ok(()) };
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let cover = if meta.is_dir() {
        let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(SetupError::at(what()))?;
        fsconfig_set_string(&fs, "nr_inodes", "2").map_err(SetupError::at(what()))?;
        let cover = created(&fs, &what)?;
        set_mount_attributes(&cover, libc::MOUNT_ATTR_RDONLY, false).map_err(SetupError::at(what()))?;
        cover
    } else {
        open_tree(CWD, "dev/null", clone).map_err(SetupError::at(what()))?
    };
    move_onto(cover, &target).map_err(SetupError::at(what()))
}

fn write_protect(path: &str) -> Result<(), SetupError> {
    let target = inside(path);
    let what = || format!("protect {path}");
    if !target.exists() {
        return Ok(());
    }
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let cover = open_tree(CWD, &target, clone).map_err(SetupError::at(what()))?;
    set_mount_attributes(&cover, libc::MOUNT_ATTR_RDONLY, true).map_err(SetupError::at(what()))?;
    move_onto(cover, &target).map_err(SetupError::at(what()))
}

/// A path of the sandbox while its root is still the working directory.
fn inside(path: &str) -> PathBuf {
    PathBuf::from(path.trim_start_matches('/'))
}

fn make_parent(path: &Path) -> Result<(), SetupError> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    if parent.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(parent).map_err(SetupError::at(format!("make {}", parent.display())))?;
    fs::set_permissions(parent, fs::Permissions::from_mode(0o755))
        .map_err(SetupError::at(format!("make {}", parent.display())))
}

/// Colons separate layers in an overlay's options.
fn escape(path: &str) -> String {
    path.replace('\\', "\\\\").replace(':', "\\:")
}
