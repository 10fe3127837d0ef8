//! The process slots are forked from. It is started once for an engine and does for all slots what would be the same in each.
//!
//! ```text
//!   exec ──Nursery + mounts──▶ ground: a small root with /dev, /usr, toolchains; an empty /proc ──Prepared──▶
//!     ──Slot + socket──▶ fork into new user, mount and process namespaces ──Born──▶ …    the child: stage.rs
//! ```
//!
//! A fork copies this small process instead of hangar's large one, the program is loaded once, and the ground is mounted once: each slot gets a copy of these few
//! mounts with its mount namespace. Slots are children of hangar, not of this process (CLONE_PARENT), and die with it in the same way.
//!
//! Architecture invariant: this process has one thread, so that its copies are whole. What it knows of the host, a slot's guest has in its memory as
//! well; no command can read that.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::ExitCode,
};

use hangar_protocol::guest::{
    NewSlot, Order, Reply, Stage,
    setup::{Enter, IdMapping, Mapping, Source},
};
use rustix::{
    fs::{Mode, OFlags, openat},
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    pipe::{PipeFlags, pipe_with},
    process::{Signal, set_parent_process_death_signal},
};

use crate::{
    claim,
    fault::SetupError,
    kernel::{self, Forked, Kin},
    lockdown, mounts,
    stage::{self, EMPTY, Plan, SLOT},
    wire,
};

/// Where the ground is built. It only has to exist on the host: nothing of it is touched outside this mount namespace.
const GROUND: &str = "/tmp";
/// The ground holds mount points and links.
const GROUND_OPTIONS: &std::ffi::CStr = c"mode=0755,size=1m,nr_inodes=1024";
/// How unwilling the kernel should be to kill a guest for memory (-1000 never, 1000 first).
const OOM_SCORE: &[u8] = b"-900";

/// Lives until the host closes the socket.
pub(crate) fn run(host: File) -> ExitCode {
    match prepared(&host) {
        Ok(nursery) => nursery.work(&host),
        Err(error) => {
            crate::say_why_not(&host, &error);
            ExitCode::FAILURE
        }
    }
}

struct Nursery {
    stage: Stage,
    plan: Plan,
    /// The host's own, with all its processes.
    processes: OwnedFd,
}

fn prepared(host: &File) -> Result<Nursery, SetupError> {
    kernel::set_name(c"hangar-nursery");
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(SetupError::at("tie the life to the host's"))?;
    let (Order::Nursery(stage), sent) = wire::read_order(host)? else { return Err(SetupError::out_of_turn()) };
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(SetupError::at("make mounts private"))?;
    let processes = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(SetupError::at("open /proc"))?;
    let plan = ground(&stage, sent)?;
    lockdown::prepare();
    wire::answer(host, &Reply::Prepared, &[])?;
    Ok(Nursery { stage, plan, processes })
}

/// Builds the ground and makes it the root.
fn ground(stage: &Stage, mut sent: Vec<Option<OwnedFd>>) -> Result<Plan, SetupError> {
    // Everything of the host is picked up before the ground hides a part of it.
    let mut picked = Vec::with_capacity(stage.ground.len());
    for mount in &stage.ground {
        picked.push((&mount.target, mounts::detached(mount, &mut sent)?));
    }
    mount(c"tmpfs", GROUND, c"tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(GROUND_OPTIONS))
        .map_err(SetupError::at("mount the ground"))?;
    rustix::process::chdir(GROUND).map_err(SetupError::at("enter the ground"))?;
    for (target, source) in &picked {
        mounts::attach(target, source)?;
    }
    for (path, target) in &stage.links {
        let inside = mounts::inside(path);
        mounts::make_parent(&inside)?;
        std::os::unix::fs::symlink(target, &inside).map_err(SetupError::at(format!("link {path}")))?;
    }
    let own = stage.mounts.iter().filter(|mount| !matches!(mount.source, Source::Ground));
    for path in own.map(|mount| mount.target.as_str()).chain([EMPTY, SLOT]) {
        let inside = mounts::inside(path);
        mounts::make_parent(&inside)?;
        fs::create_dir_all(&inside).map_err(SetupError::at(format!("make {path}")))?;
    }
    nobodys_proc()?;
    let plan = Plan::of(stage);
    plan.make_mount_points(stage)?;
    let closed = stage.closed.iter().map(|path| mounts::inside(path));
    closed.chain([".".into()]).try_for_each(|path| mounts::close(&path))?;
    rustix::process::pivot_root(".", ".").map_err(SetupError::at("change the root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(SetupError::at("leave the host's root"))?;
    rustix::process::chdir("/").map_err(SetupError::at("enter the new root"))?;
    Ok(plan)
}

/// Mounts the processes of a namespace in which there are none.
///
/// The kernel lets a user namespace mount its own processes only where others can be seen already, unhidden (mount_namespaces(7)); these show nothing of the host's.
fn nobodys_proc() -> Result<(), SetupError> {
    let what = || SetupError::at("mount an empty /proc");
    match kernel::fork(libc::CLONE_NEWPID, Kin::Child, None).map_err(what())? {
        Forked::Child => {
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            let done = mount(c"proc", "proc", c"proc", flags, None);
            kernel::exit(done.err().map_or(0, rustix::io::Errno::raw_os_error))
        }
        Forked::Parent(child) => match child.wait().map_err(what())? {
            0 => Ok(()),
            error => Err(what()(io::Error::from_raw_os_error(error))),
        },
    }
}

impl Nursery {
    fn work(self, host: &File) -> ExitCode {
        // An error is the end of the socket, hence of the host.
        while let Ok((order, sent)) = wire::read_order(host) {
            let done = match order {
                Order::Slot(slot) => self.bear(host, &slot, sent),
                Order::Nursery(_) | Order::Claim(_) | Order::Root(_) => Err(SetupError::out_of_turn()),
            };
            if let Err(error) = done {
                crate::say_why_not(host, &error);
            }
        }
        ExitCode::SUCCESS
    }

    /// Forks a slot.
    fn bear(&self, host: &File, slot: &NewSlot, sent: Vec<Option<OwnedFd>>) -> Result<(), SetupError> {
        let what = "make a process in its own namespaces";
        let mut sent = sent.into_iter().flatten();
        let socket = sent.next().ok_or_else(|| SetupError::new("a slot's socket was not sent".into()))?;
        let group = Group::of(slot.group, sent);
        let (go, held) = pipe_with(PipeFlags::CLOEXEC).map_err(SetupError::at(what))?;
        let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID;
        group.go_in().map_err(SetupError::at("enter the control group"))?;
        let forked = kernel::fork(namespaces, Kin::Sibling, group.directory());
        if !matches!(forked, Ok(Forked::Child)) {
            // The slot is in it; this process is no part of the sandbox.
            group.go_out().map_err(SetupError::at("leave the control group"))?;
        }
        match forked.map_err(SetupError::at(what))? {
            Forked::Child => {
                // None of what this function or its callers hold is dropped any more: their descriptors are closed here, whatever they are.
                if kernel::close_all_but([&socket, &go]).is_err() {
                    kernel::exit(3);
                }
                kernel::exit(self.live(File::from(socket), File::from(go), slot))
            }
            Forked::Parent(child) => {
                drop((socket, go));
                self.write_mapping(child.pid(), &slot.mapping, slot.ids)?;
                // Commands go first when memory runs out, the guest last. Without CAP_SYS_RESOURCE this is not granted, and the
                // commands' own, higher score has to do.
                let _ = self.write(child.pid(), "oom_score_adj", OOM_SCORE);
                File::from(held).write_all(b"g").map_err(SetupError::at(what))?;
                wire::answer(host, &Reply::Born { pid: child.pid() }, &[child.descriptor()])
            }
        }
    }

    /// A slot's life, from fork to end. Returns its exit code.
    fn live(&self, socket: File, mut go: File, slot: &NewSlot) -> i32 {
        kernel::set_name(c"hangar-guest");
        crate::live(socket, |socket| {
            let began = stage::namespaces(&self.stage)?;
            // The ids are there when the nursery says so.
            go.read_exact(&mut [0]).map_err(SetupError::at("wait for the ids"))?;
            drop(go);
            let border = stage::apply(&self.stage, &self.plan, slot, began)?;
            claim::await_claim(socket, slot, border)
        })
    }

    fn write_mapping(&self, pid: i32, mapping: &Mapping, ids: IdMapping) -> Result<(), SetupError> {
        let what = || SetupError::at("map the sandbox's ids");
        match ids {
            IdMapping::Range => {}
            // Without rights over the machine the kernel accepts a mapping of one's own id alone, and no groups.
            IdMapping::Single => self.write(pid, "setgroups", b"deny").map_err(what())?,
        }
        self.write(pid, "uid_map", mapping.users.as_bytes()).map_err(what())?;
        self.write(pid, "gid_map", mapping.groups.as_bytes()).map_err(what())
    }

    fn write(&self, pid: i32, file: &str, text: &[u8]) -> io::Result<()> {
        let path = format!("{pid}/{file}");
        let file = openat(&self.processes, path.as_str(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        File::from(file).write_all(text)
    }
}

/// The control group of a slot that is being made.
struct Group {
    into: Option<OwnedFd>,
    inside: Vec<OwnedFd>,
    outside: Vec<OwnedFd>,
}

impl Group {
    fn of(enter: Enter, mut sent: impl Iterator<Item = OwnedFd>) -> Self {
        match enter {
            Enter::Through { doors } => {
                let inside = sent.by_ref().take(doors).collect();
                Self { into: None, inside, outside: sent.collect() }
            }
            Enter::Into => Self { into: sent.next(), inside: vec![], outside: vec![] },
            Enter::Anywhere => Self { into: None, inside: vec![], outside: vec![] },
        }
    }

    fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.into.as_ref().map(AsFd::as_fd)
    }

    fn go_in(&self) -> io::Result<()> {
        self.inside.iter().try_for_each(go)
    }

    fn go_out(&self) -> io::Result<()> {
        self.outside.iter().try_for_each(go)
    }
}

/// This process moves itself through a group's `tasks` file.
fn go(door: &OwnedFd) -> io::Result<()> {
    Ok(rustix::io::write(door, b"0").map(drop)?)
}
