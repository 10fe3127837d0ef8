//! The third entrance: process 1 of a virtual machine.
//!
//! The kernel starts this program from a small archive in memory that holds nothing but it and the few drivers it needs. It loads them, opens the
//! virtual serial port to its host, and moves into the root which the host shares over 9p. From there on everything is as in a container
//! (`contained.rs`).
//!
//! ```text
//!   kernel ──▶ drivers ──▶ port ──Machine──▶ limits · network ──▶ mounts ──▶ new root ──▶ contained
//! ```
//!
//! Files are read through this kernel's cache, as nobody else changes them, and written through at once (`MS_SYNCHRONOUS`): what a command has written is
//! with the host when its `write` returns, however the machine ends. Pages that a program changes through a shared mapping follow within [`DIRTY_CENTISECONDS`].

mod limits;
mod network;

use std::{
    ffi::CStr,
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hangar_protocol::guest::{
    AGENT_ID,
    setup::{MACHINE_MODULES, MACHINE_PORT, MACHINE_ROOT, MACHINE_TREES, Machine},
};
use rustix::{
    fs::{Mode, OFlags},
    mount::{MountFlags, mount, mount_move},
    process::{chdir, chroot},
};

use crate::{
    contained,
    fault::SetupError,
    kernel::{self, Packing},
    mounts::{inside, write_protect},
    serve::Surroundings,
    stage::{Cover, EMPTY},
    wire,
};

/// How long the kernel may take to find the port once its driver is loaded.
const PORT_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks for the port. Nothing else runs in the machine yet, and there is no watch on this kind of file system.
const PORT_PAUSE: Duration = Duration::from_millis(2);
/// Where the new root is put together.
const STAGE: &str = "/stage";
/// Where the host's trees are until they are in their places.
const TREES: &str = "/trees";
/// How shares are read: the protocol with Linux's own semantics, everything cached, large messages (each costs
/// a way to the host and back), no access lists (asking for those costs two more for each file).
const SHARE: &CStr = c"trans=virtio,version=9p2000.L,cache=loose,access=user,msize=512000";
/// How long changed pages may wait before they are written, and between two looks for such.
const DIRTY_CENTISECONDS: u32 = 100;
/// Device files that every program may count on; all others stay behind with the old root.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Loads drivers and opens the port to the host.
pub(crate) fn boot() -> Result<File, SetupError> {
    kernel::set_name(c"hangar-guest");
    for (what, at) in [(c"proc", "/proc"), (c"sysfs", "/sys"), (c"devtmpfs", "/dev")] {
        make(at)?;
        mount(what, at, what, MountFlags::NOSUID | MountFlags::NOEXEC, None)
            .map_err(SetupError::at(format!("mount {at}")))?;
    }
    load_drivers()?;
    let started = Instant::now();
    loop {
        if let Some(port) = find_port() {
            let flags = OFlags::RDWR | OFlags::CLOEXEC;
            return match rustix::fs::open(&port, flags, Mode::empty()) {
                Ok(port) => Ok(File::from(port)),
                Err(error) => Err(SetupError::at("open the port to the host")(error)),
            };
        }
        if started.elapsed() > PORT_PATIENCE {
            return Err(SetupError::new("the machine has no port to its host".into()));
        }
        std::thread::sleep(PORT_PAUSE);
    }
}

/// Loads every driver there is, in the order of their names. One that misses another all the same is tried again after it.
fn load_drivers() -> Result<(), SetupError> {
    let entries = fs::read_dir(MACHINE_MODULES).map_err(SetupError::at("look for drivers"))?;
    let mut left: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    left.sort();
    while !left.is_empty() {
        let mut later = Vec::new();
        for path in &left {
            let file = File::open(path).map_err(SetupError::at(format!("open {}", path.display())))?;
            let packing = match path.extension() {
                Some(extension) if extension == "ko" => Packing::Plain,
                Some(_) | None => Packing::Compressed,
            };
            match kernel::load_module(&file, packing) {
                // An unknown symbol.
                Err(error) if error.kind() == io::ErrorKind::NotFound => later.push(path.clone()),
                // Part of the kernel, or loaded already.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.map_err(SetupError::at(format!("load the driver {}", path.display())))?,
            }
        }
        if later.len() == left.len() {
            return Err(SetupError::new(format!("the drivers {later:?} miss others that were not sent along")));
        }
        left = later;
    }
    Ok(())
}

/// The device of the port with hangar's name.
fn find_port() -> Option<PathBuf> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    let port = ports
        .flatten()
        .find(|port| fs::read_to_string(port.path().join("name")).is_ok_and(|name| name.trim_end() == MACHINE_PORT))?;
    Some(Path::new("/dev").join(port.file_name())).filter(|device| device.exists())
}

/// From booted machine to sandbox.
pub(crate) fn become_sandbox(host: &File) -> Result<Surroundings, SetupError> {
    let Machine { hostname, sizes, processes, trees, masked, read_only, contained } = wire::read_first(host)?;
    rustix::system::sethostname(hostname.as_bytes()).map_err(SetupError::at("set the host name"))?;
    kernel::loopback_up().map_err(SetupError::at("switch loopback on"))?;
    network::connect()?;
    limits::apply(processes)?;
    make(STAGE)?;
    let quiet = MountFlags::NOSUID | MountFlags::NODEV;
    mount(MACHINE_ROOT, STAGE, "9p", quiet | MountFlags::SYNCHRONOUS | MountFlags::NOATIME, Some(SHARE))
        .map_err(SetupError::at("mount the root"))?;
    let inside = |path: &str| format!("{STAGE}{path}");
    place_trees(&trees, &inside)?;
    mount(c"proc", inside("/proc"), c"proc", quiet | MountFlags::NOEXEC, None)
        .map_err(SetupError::at("mount /proc"))?;
    devices(&inside)?;
    for (path, bytes) in &sizes {
        // As everywhere: the agent's own, and closed to nobody.
        let options = format!("size={bytes},mode=1777,uid={AGENT_ID},gid={AGENT_ID}");
        let options = std::ffi::CString::new(options).map_err(SetupError::at(format!("mount {path}")))?;
        mount(c"tmpfs", inside(path), c"tmpfs", quiet, Some(options.as_c_str()))
            .map_err(SetupError::at(format!("mount {path}")))?;
    }
    chdir(STAGE).map_err(SetupError::at("enter the root"))?;
    close_kernel(&masked, &read_only)?;
    // The archive in memory that a machine starts from cannot be left by pivot_root.
    mount_move(".", "/").map_err(SetupError::at("move the root into place"))?;
    chroot(".").map_err(SetupError::at("change the root"))?;
    chdir("/").map_err(SetupError::at("enter the new root"))?;
    contained::lock_down(host, contained)
}

/// The sandbox's root is this machine's root: what takes the kernel's orders, or tells of it, is closed by mounts over it. Called in the new root.
fn close_kernel(masked: &[String], read_only: &[String]) -> Result<(), SetupError> {
    make(EMPTY)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    mount(c"tmpfs", EMPTY, c"tmpfs", flags, Some(c"size=4k,mode=555"))
        .map_err(SetupError::at("make an empty place"))?;
    masked.iter().filter_map(|path| Cover::of(path)).try_for_each(|cover| cover.put())?;
    read_only.iter().map(|path| inside(path)).filter(|path| path.exists()).try_for_each(|path| write_protect(&path))
}

/// Puts the host's own trees over the root.
fn place_trees(trees: &[String], inside: &dyn Fn(&str) -> String) -> Result<(), SetupError> {
    if trees.is_empty() {
        return Ok(());
    }
    make(TREES)?;
    let read_only = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY | MountFlags::NOATIME;
    mount(MACHINE_TREES, TREES, "9p", read_only, Some(SHARE)).map_err(SetupError::at("mount the host's trees"))?;
    for (number, target) in trees.iter().enumerate() {
        rustix::mount::mount_bind(format!("{TREES}/{number}"), inside(target))
            .map_err(SetupError::at(format!("attach {target}")))?;
    }
    Ok(())
}

/// A `/dev` with nothing but what programs count on.
fn devices(inside: &dyn Fn(&str) -> String) -> Result<(), SetupError> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount(c"tmpfs", inside("/dev"), c"tmpfs", flags | MountFlags::NODEV, Some(c"mode=755,size=64k"))
        .map_err(SetupError::at("mount /dev"))?;
    for name in DEVICES {
        let target = inside(&format!("/dev/{name}"));
        fs::write(&target, b"").map_err(SetupError::at("make /dev"))?;
        rustix::mount::mount_bind(format!("/dev/{name}"), target).map_err(SetupError::at("make /dev"))?;
    }
    for directory in ["pts", "shm"] {
        make(&inside(&format!("/dev/{directory}")))?;
    }
    mount(c"devpts", inside("/dev/pts"), c"devpts", flags, Some(c"newinstance,mode=0620,ptmxmode=0666"))
        .map_err(SetupError::at("mount /dev/pts"))?;
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, inside(&format!("/dev/{name}"))).map_err(SetupError::at("make /dev"))?;
    }
    Ok(())
}

fn make(path: &str) -> Result<(), SetupError> {
    fs::create_dir_all(path).map_err(SetupError::at(format!("make {path}")))
}
