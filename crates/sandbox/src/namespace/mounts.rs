//! Detached mounts: trees that hang nowhere, made by the host and handed to a slot as descriptors.
#![allow(unsafe_code, reason = "mount_setattr and a raw clone for id mapping have no safe wrapper")]

use std::{
    collections::HashMap,
    fs, io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatVfsMountFlags, mkdirat, open, openat2, unlinkat},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
    },
};

use crate::{error::Error, ids::IdRange, namespace::process::Parked};

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

/// The host's tree at `path`, detached, read only for ever, and without a word of where it lies: mountinfo names the directory that was bound,
/// but of an overlay only the numbers of descriptors. `nothing` is an empty directory, as a read-only overlay has at least two layers.
pub(crate) fn unnamed(path: &Path, nothing: &Path) -> Result<OwnedFd, Error> {
    let what = || Error::kernel(format!("mount {}", path.display()));
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let layers = [path, nothing].map(|layer| open(layer, directory, Mode::empty()).map_err(Error::host(layer)));
    let [shown, nothing] = layers;
    let (shown, nothing) = (shown?, nothing?);
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(what())?;
    fsconfig_set_string(&fs, "lowerdir", format!("{}:{}", by_number(&shown), by_number(&nothing))).map_err(what())?;
    fsconfig_create(&fs).map_err(what())?;
    let attributes =
        MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(what())
}

/// The data directory with ids as one sandbox has them, detached. Layers are opened below it.
#[derive(Debug)]
pub(crate) struct View {
    mount: OwnedFd,
    data_dir: PathBuf,
    ids: Arc<IdMap>,
}

impl View {
    /// The data directory as the sandbox of this mapping sees it.
    pub(crate) fn new(data_dir: &Path, ids: Arc<IdMap>) -> Result<Self, Error> {
        Ok(Self { mount: mapped(data_dir, &ids)?, data_dir: data_dir.to_owned(), ids })
    }

    /// An overlay of these directories below the data directory, detached. `lower` has the topmost first.
    ///
    /// Called on a launcher's thread: `stage` is an empty directory of its private mount namespace, and its working directory is nobody else's. Neither matters
    /// once [`layers_may_hang_nowhere`] says so.
    pub(crate) fn overlay(&self, lower: &[PathBuf], changes: &Path, stage: &Path) -> Result<OwnedFd, Error> {
        let known = WAY.load(Ordering::Relaxed);
        if known != UNKNOWN {
            return self.overlay_by(Way::ALL[known.min(Way::ALL.len() - 1)], lower, changes, stage);
        }
        let mut number = 0;
        let mut made = self.overlay_by(Way::ALL[number], lower, changes, stage);
        while let Err(Error::Kernel { source, .. }) = &made
            && source.raw_os_error() == Some(libc::EINVAL)
            && number + 1 < Way::ALL.len()
        {
            number += 1;
            made = self.overlay_by(Way::ALL[number], lower, changes, stage);
        }
        if made.is_ok() {
            WAY.store(number, Ordering::Relaxed);
        }
        made
    }

    fn overlay_by(&self, way: Way, lower: &[PathBuf], changes: &Path, stage: &Path) -> Result<OwnedFd, Error> {
        let Way { layers, options } = way;
        match layers {
            Layers::Detached => Self::overlay_of(&self.mount, options, lower, changes),
            Layers::Attached => {
                // A mount that has been attached and taken away cannot be attached again.
                let _attached = Attached::new(mapped(&self.data_dir, &self.ids)?, stage)?;
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let root = open(stage, flags, Mode::empty()).map_err(Error::kernel("mount the root's overlay"))?;
                Self::overlay_of(&root, options, lower, changes)
            }
        }
    }

    fn overlay_of(root: &OwnedFd, options: Options, lower: &[PathBuf], changes: &Path) -> Result<OwnedFd, Error> {
        let what = || Error::kernel("mount the root's overlay");
        let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(what())?;
        let lower: Vec<OwnedFd> = lower.iter().map(|path| below(root, path)).collect::<Result<_, _>>()?;
        let _among = match options {
            Options::Each => {
                lower
                    .iter()
                    .try_for_each(|layer| fsconfig_set_string(&fs, "lowerdir+", by_number(layer)))
                    .map_err(what())?;
                None
            }
            Options::All => {
                let all: Vec<String> = lower.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
                let all = all.join(":");
                if all.len() > OPTION_BYTES_MAX {
                    return Err(too_many(lower.len()));
                }
                fsconfig_set_string(&fs, "lowerdir", all).map_err(what())?;
                Some(AmongDescriptors::enter()?)
            }
        };
        let (upper, work) = (below(root, &changes.join("upper"))?, below(root, &changes.join("work"))?);
        fsconfig_set_string(&fs, "upperdir", by_number(&upper)).map_err(what())?;
        fsconfig_set_string(&fs, "workdir", by_number(&work)).map_err(what())?;
        // A directory of a layer can be renamed, as anywhere else.
        fsconfig_set_string(&fs, "redirect_dir", "on").map_err(what())?;
        // Nothing is forced to disk behind a sandbox's back; whoever promises that changes are durable syncs them.
        fsconfig_set_flag(&fs, "volatile").map_err(what())?;
        fsconfig_create(&fs).map_err(unless_full(changes))?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let overlay = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(what())?;
        let flags = rustix::fs::fstatvfs(&overlay).map_err(what())?.f_flag;
        if flags.contains(StatVfsMountFlags::RDONLY) { Err(why_read_only(&work, changes)) } else { Ok(overlay) }
    }
}

/// The data directory with these ids, detached.
fn mapped(data_dir: &Path, ids: &IdMap) -> Result<OwnedFd, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(CWD, data_dir, flags).map_err(Error::host(data_dir))?;
    let what = || format!("map the ids of {} (its file system must support idmapped mounts)", data_dir.display());
    set_attributes(&mount, Allow::Write.attributes(), Some(&ids.0), false).map_err(Error::kernel(what()))?;
    Ok(mount)
}

/// How a kernel takes the layers of an overlay. One that does not know a way says EINVAL, the oldest only when everything has been named.
#[derive(Clone, Copy)]
struct Way {
    layers: Layers,
    options: Options,
}

/// Where layers are when they are named.
#[derive(Clone, Copy)]
enum Layers {
    /// Nowhere: from Linux 6.15 on.
    Detached,
    /// In a directory of the launcher's.
    Attached,
}

/// How they are named.
#[derive(Clone, Copy)]
enum Options {
    /// Each by an option of its own: from Linux 6.7 on.
    Each,
    /// All in one option of [`OPTION_BYTES_MAX`]. So that there is room for many, they are the bare numbers of descriptors, from where those are.
    All,
}

impl Way {
    /// From the newest to the oldest.
    const ALL: [Self; 3] = [
        Self { layers: Layers::Detached, options: Options::Each },
        Self { layers: Layers::Attached, options: Options::Each },
        Self { layers: Layers::Attached, options: Options::All },
    ];
}

/// The newest of them that this kernel did not refuse, once an overlay has been mounted.
static WAY: AtomicUsize = AtomicUsize::new(UNKNOWN);
const UNKNOWN: usize = usize::MAX;

/// Whether overlays have been seen to be mounted without a place for their layers.
pub(crate) fn layers_may_hang_nowhere() -> bool {
    Way::ALL.get(WAY.load(Ordering::Relaxed)).is_some_and(|way| matches!(way.layers, Layers::Detached))
}

/// How long one option may be (`fsconfig` in fs/fsopen.c).
const OPTION_BYTES_MAX: usize = 255;
/// Where the descriptors of the calling thread are.
const DESCRIPTORS: &str = "/proc/thread-self/fd";

fn too_many(layers: usize) -> Error {
    Error::Setup(format!(
        "cannot mount the root's overlay: {layers} layers are more than this kernel takes; squash them, or use Linux 6.7 or newer"
    ))
}

/// The calling thread's working directory is where its descriptors are, until this is dropped.
struct AmongDescriptors {
    before: OwnedFd,
}

impl AmongDescriptors {
    fn enter() -> Result<Self, Error> {
        let what = || Error::kernel("go where descriptors are");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let before = open(".", flags, Mode::empty()).map_err(what())?;
        rustix::process::chdir(DESCRIPTORS).map_err(what())?;
        Ok(Self { before })
    }
}

impl Drop for AmongDescriptors {
    fn drop(&mut self) {
        if let Err(error) = rustix::process::fchdir(&self.before) {
            tracing::warn!(%error, "the launcher did not return to its working directory");
        }
    }
}

/// Making an overlay writes into its work directory.
fn unless_full(changes: &Path) -> impl FnOnce(rustix::io::Errno) -> Error {
    let work = changes.join("work");
    move |error| match error {
        rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT => Error::host(work)(error),
        other => Error::kernel("mount the root's overlay")(other),
    }
}

/// Where the overlay cannot make its own directories, on a full disk above all, the kernel mounts it read only and says so in its log alone. Doing the same tells why.
fn why_read_only(work: &OwnedFd, changes: &Path) -> Error {
    let name = "hangar-tries-to-write";
    if let Err(error) = mkdirat(work, name, Mode::from_raw_mode(0o700)) {
        return Error::host(changes.join("work"))(error);
    }
    // What stays is in a directory that the next sandbox empties.
    let _ = unlinkat(work, name, AtFlags::REMOVEDIR);
    Error::kernel("mount the root's overlay for writing")(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
}

/// /proc/mounts shows these words inside the sandbox: the numbers of descriptors say nothing of the host's paths.
fn by_number(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Opens a directory below `root`, through no link.
fn below(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags, Mode::empty(), resolve).map_err(Error::host(path))
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

/// Whether a mount lets anybody write.
#[derive(Clone, Copy)]
pub(crate) enum Writing {
    /// As modes and owners say.
    Allowed,
    /// Nobody. Fails with EBUSY while somebody has a file open for writing.
    Refused,
}

/// Allows or refuses writing through one mount, for everybody and at once.
pub(crate) fn set_writing(mount: impl AsFd, writing: Writing) -> io::Result<()> {
    let (attr_set, attr_clr) = match writing {
        Writing::Allowed => (0, libc::MOUNT_ATTR_RDONLY),
        Writing::Refused => (libc::MOUNT_ATTR_RDONLY, 0),
    };
    set(mount, libc::mount_attr { attr_set, attr_clr, propagation: 0, userns_fd: 0 }, 0)
}

fn set_attributes(fd: impl AsFd, attributes: u64, ids: Option<&OwnedFd>, recursive: bool) -> io::Result<()> {
    let mut attr = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    if let Some(ids) = ids {
        attr.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attr.userns_fd = u64::from(ids.as_raw_fd().unsigned_abs());
    }
    set(fd, attr, if recursive { libc::AT_RECURSIVE } else { 0 })
}

fn set(fd: impl AsFd, attr: libc::mount_attr, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: the path is a C string and attr a struct of the given size; both outlive the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            std::ptr::from_ref(&attr),
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Shows ids as they lie on disk as one sandbox's ids: a user namespace in which nobody lives.
#[derive(Debug)]
pub(crate) struct IdMap(OwnedFd);

impl IdMap {
    /// Makes such a namespace.
    pub(crate) fn from_disk(range: IdRange) -> Result<Self, Error> {
        // The overlay itself works as root and needs a place for root's own directory beside the upper one.
        let map = format!("0 0 1\n{} {} {}", IdRange::DISK.first, range.first, IdRange::IDS);
        let parked = Parked::in_user_namespace().map_err(Error::kernel("make a user namespace for id mapping"))?;
        let at = |file: &str| format!("/proc/{}/{file}", parked.pid());
        fs::write(at("uid_map"), &map).map_err(Error::kernel("write a user id mapping"))?;
        fs::write(at("gid_map"), &map).map_err(Error::kernel("write a group id mapping"))?;
        let namespace = fs::File::open(at("ns/user")).map_err(Error::kernel("open a user namespace"))?;
        Ok(Self(OwnedFd::from(namespace)))
    }
}

/// The id mappings of numbers' ranges, each made once.
#[derive(Debug, Default)]
pub(crate) struct IdMaps {
    made: Mutex<HashMap<usize, Arc<IdMap>>>,
}

impl IdMaps {
    /// The one of this number's range.
    pub(crate) fn of(&self, number: usize) -> Result<Arc<IdMap>, Error> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(map) = made.get(&number) {
            return Ok(Arc::clone(map));
        }
        let map = Arc::new(IdMap::from_disk(IdRange::of(number))?);
        made.insert(number, Arc::clone(&map));
        Ok(map)
    }
}
