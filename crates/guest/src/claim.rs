//! Turns a slot into one particular sandbox. Somebody is waiting: nothing is done here that could have been done before.
//!
//! ```text
//!   slot ──▶ a thread for the move, which keeps the rights for it
//!    │ lock down, fork the first supervisor          │
//!    ├──────────────────────────────────────────────▶│ reads the order, which may be there already, and gets ready
//!    │ ──Staged──▶                                   │ reads the next, which brings the root, and moves in
//!    │                                               │ ──Claimed──▶
//!    │                                    join ◀─────┤ binds the supervisor to the root
//!    └ serve                                         └ ends
//! ```
//!
//! Only mounting needs the rights of the slot's root, so one thread keeps them and is gone when the sandbox is claimed; all others, and the
//! supervisors, are locked down while nobody waits. Root and working directory belong to all threads and to the supervisor alike.

use std::{
    fs::{self, File},
    os::fd::OwnedFd,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use hangar_protocol::guest::{
    Account, Claim, Holding, NewSlot, Order, Reply,
    setup::{IdMapping, RootSource},
};
use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::{MoveMountFlags, move_mount},
};

use crate::{
    fault::SetupError,
    guard::{Guard, stands},
    hold, lockdown,
    mounts::{inside, make_parent, overlay, resize},
    runners::Runners,
    serve::Surroundings,
    spawn::{Bounds, Spare, processes},
    stage::Border,
    wire,
};

/// Stack of the thread that moves in.
const MOVER_STACK_BYTES: usize = 128 * 1024;

/// Says that the slot is ready, and becomes a sandbox when it is claimed. Called by the slot's one thread.
pub(crate) fn await_claim(socket: &File, slot: &NewSlot, border: Border) -> Result<Surroundings, SetupError> {
    let what = "get ready for a claim";
    let died = || SetupError::new("the thread that moves in died".into());
    let orders = socket.try_clone().map_err(SetupError::at(what))?;
    let processes = processes("proc").map_err(SetupError::at(what))?;
    let ((waiting, waits), (start, started)) = (sync_channel(1), sync_channel(1));
    let (give, given) = sync_channel(1);
    let mover = std::thread::Builder::new().name("mover".into()).stack_size(MOVER_STACK_BYTES);
    let who = (slot.ids, slot.account);
    let mover = mover.spawn(move || move_in(&orders, who, &waiting, &started, &given)).map_err(SetupError::at(what))?;
    lockdown::apply(slot.ids, slot.account)?;
    // Until it is told to start, the mover holds nothing that a forked process could miss.
    waits.recv().map_err(|_| died())?;
    let bounds = Bounds::Of(slot.account);
    let first = Spare::ahead(bounds, &processes).map_err(SetupError::at(what))?;
    start.send(()).map_err(|_| died())?;
    let runners = Runners::start().map_err(SetupError::at(what))?;
    wire::answer(socket, &Reply::Staged { network_us: border.network_us }, &border.borrowed())?;
    // They are the host's alone from now on.
    drop((border, processes));
    // It says that it is claimed after it has said that it is ready.
    give.send(first).map_err(|_| died())?;
    // Nothing is read from the host, and so no command begins, before the thread with the rights has ended.
    let MovedIn { claim: Claim { env, limits, .. }, first, apart } = mover.join().map_err(|_| died())??;
    Ok(Surroundings { env, limits, bounds, first, apart, runners })
}

/// What came of the claim.
struct MovedIn {
    claim: Claim,
    first: Spare,
    /// The supervisor with mounts of its own, where the workspace can be held.
    apart: Option<Spare>,
}

/// Waits for the claim, carries it out and says so.
fn move_in(
    orders: &File,
    (ids, account): (IdMapping, Account),
    waiting: &SyncSender<()>,
    started: &Receiver<()>,
    first: &Receiver<Spare>,
) -> Result<MovedIn, SetupError> {
    let alone = || SetupError::new("there is no supervisor".into());
    // Whoever started this thread has gone only with the process.
    let _ = waiting.send(());
    started.recv().map_err(|_| alone())?;
    let (Order::Claim(claim), _) = wire::read_order(orders)? else { return Err(SetupError::out_of_turn()) };
    get_ready(&claim)?;
    let (Order::Root(root), mut sent) = wire::read_order(orders)? else { return Err(SetupError::out_of_turn()) };
    enter(&claim, &root, sent.pop().flatten())?;
    // Its other threads only wait from here on, so that this process can be forked.
    let first = first.recv().map_err(|_| alone())?;
    let apart = match claim.holding {
        Holding::Never => None,
        Holding::Possible => Some(hold::prepare(ids, account)?),
    };
    // Nothing reads what the host sends next before this thread has ended, so the supervisor can be told afterwards.
    wire::answer(orders, &Reply::Claimed, &[])?;
    let first = first.settle().map_err(SetupError::at("bind commands to the root"))?;
    Ok(MovedIn { claim, first, apart })
}

/// What can be done without the root.
fn get_ready(claim: &Claim) -> Result<(), SetupError> {
    for file in &claim.files {
        fs::write(inside(&file.path), &file.content).map_err(SetupError::at(format!("write {}", file.path)))?;
    }
    claim.sizes.iter().try_for_each(|(path, bytes)| resize(path, *bytes))?;
    if stands(Guard::UtsNamespace) {
        rustix::system::sethostname(claim.hostname.as_bytes()).map_err(SetupError::at("set the host name"))?;
    }
    Ok(())
}

/// Moves into the sandbox's root and takes along what was staged.
///
/// The root is mounted over the ground, which so becomes unreachable, and with it the slot; an unmount would cost a grace period of the kernel.
fn enter(claim: &Claim, root: &RootSource, sent: Option<OwnedFd>) -> Result<(), SetupError> {
    let root = match root {
        RootSource::Sent => sent.ok_or_else(|| SetupError::new("cannot enter the root: it was not sent".into()))?,
        RootSource::Overlay { lower, upper, work } => overlay(lower, upper, work)?,
    };
    let what = "enter the root";
    let staged = rustix::fs::open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(SetupError::at(what))?;
    move_mount(&root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(SetupError::at(what))?;
    rustix::process::fchdir(&root).map_err(SetupError::at(what))?;
    rustix::process::chroot(".").map_err(SetupError::at(what))?;
    for path in &claim.attach {
        take_along(&staged, path)?;
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(())
}

/// Moves one staged mount to the same place in the root.
fn take_along(staged: &OwnedFd, path: &str) -> Result<(), SetupError> {
    let from = path.trim_start_matches('/');
    let attach = || move_mount(staged, from, CWD, path, MoveMountFlags::empty());
    match attach() {
        Ok(()) => Ok(()),
        // A root may lack it, or have a link in its place, which must not lead the mount astray.
        Err(_) => {
            make_mount_point(staged, from, path)?;
            attach().map_err(SetupError::at(format!("attach {path}")))
        }
    }
}

fn make_mount_point(staged: &OwnedFd, from: &str, path: &str) -> Result<(), SetupError> {
    let what = || format!("make {path}");
    let kind =
        rustix::fs::statat(staged, from, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).map_err(SetupError::at(what()))?;
    let directory = rustix::fs::FileType::from_raw_mode(kind.st_mode).is_dir();
    make_parent(std::path::Path::new(path))?;
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() == directory && !there.is_symlink() => return Ok(()),
        Ok(_) => fs::remove_file(path).map_err(SetupError::at(what()))?,
        Err(_) => {}
    }
    if directory {
        fs::create_dir(path).map_err(SetupError::at(what()))
    } else {
        fs::write(path, b"").map_err(SetupError::at(what()))
    }
}
