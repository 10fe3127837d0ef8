//! Snapshots: the changes of a running sandbox become a layer, without copying them.
//!
//! ```text
//!   upper, work ──rename──▶ frozen/7, frozen/7.work        new, empty upper and work
//!   an overlay of [frozen/7, …the layers as before] + the new upper, detached
//!   inside the sandbox's mounts, on a thread for that:
//!     1  the old root becomes read only       (refused by the kernel while anybody has a file open for writing; in the end nothing has happened)
//!     2  the new root is put over it, and /proc, /dev, /usr … are moved from the old to the new
//!     3  pivot_root: process 1 has the new root and working directory   4  the old root is let go
//! ```
//!
//! Killed at any moment, the directories on disk are a stack that shows what the sandbox showed: `frozen/7` is part of it from the first rename on.
//!
//! The old root stays read only for whoever should still hold something of it, so nobody can change what has become a layer.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    mount::{MoveMountFlags, UnmountFlags, move_mount, unmount},
};

use super::{
    hold,
    launcher::Stage,
    mounts::{View, Writing, set_writing},
};
use crate::{
    backend::Hold,
    error::Error,
    layers::{chain, chain::Facts},
    steps::Step,
};

/// How often the stack is looked up anew because a snapshot was sealed meanwhile.
const TRIES_MAX: u32 = 100;
/// How long somebody may go on writing. Process 1 is alone, so it is a matter of moments: an access time that is noted, a write of the guest's whose asker has gone.
const IN_USE_PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts.
const IN_USE_PAUSE: Duration = Duration::from_millis(1);

/// What a sandbox stands on.
pub(crate) struct Footing {
    /// The session's directory.
    pub session: PathBuf,
    /// The same from the data directory on.
    pub session_below: PathBuf,
    /// The layers below the session's own snapshots from the data directory on, topmost first.
    pub lower: Vec<PathBuf>,
    /// One snapshot at a time; with the threads that let go of what earlier ones stood on.
    pub one: Mutex<Vec<JoinHandle<()>>>,
    /// Mounts on the root that every root needs.
    pub attach: Vec<String>,
}

/// The session's own snapshots over the layers it began with. A layer shows all it has where it lies topmost; the overlay would refuse it a second time.
pub(crate) fn stacked(own: Vec<PathBuf>, lower: &[PathBuf]) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    own.into_iter().chain(lower.iter().cloned()).filter(|layer| seen.insert(layer.clone())).collect()
}

/// What came of an attempt.
pub(crate) enum Rotated {
    /// The changes lie here, and the sandbox goes on over them.
    Frozen(PathBuf),
    /// Somebody has a file open for writing; nothing has changed.
    InUse,
}

impl Footing {
    /// Rotates. On a thread of the launcher's kind. No process of a command runs, and none is started meanwhile.
    /// `own` finds the session's snapshots on disk, topmost first.
    pub(crate) fn rotate(
        &self,
        pid: i32,
        view: &View,
        stage: &Stage,
        own: impl Fn() -> Result<Vec<PathBuf>, Error>,
    ) -> Result<Rotated, Error> {
        let mut endings = self.one.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(unchanged) = self.unchanged()? {
            return Ok(Rotated::Frozen(unchanged));
        }
        let namespace = format!("/proc/{pid}/ns/mnt");
        let namespace = OwnedFd::from(File::open(&namespace).map_err(Error::host(namespace))?);
        let moved = Moved::begin(&self.session)?;
        let overlay = match self.overlay(view, stage, &own) {
            Ok(overlay) => overlay,
            Err(error) => return Err(moved.undo(error)),
        };
        Step::SnapshotMounted.done();
        let attach = self.attach.clone();
        let inside = std::thread::Builder::new().name("hangar-rotation".into());
        let inside = inside.spawn(move || Inside::enter(&namespace, overlay).and_then(|inside| inside.switch(&attach)));
        let switched = inside.map_err(Error::kernel("start a thread")).and_then(|thread| {
            thread.join().unwrap_or_else(|_| Err(Error::Setup("the thread that changes the root died".into())))
        });
        match switched {
            Ok(Switch::Done(old)) => {
                Step::SnapshotSwitched.done();
                let frozen = moved.next.tree.clone();
                // Letting the old overlay go and removing its work directory takes its time and keeps nobody waiting.
                let ending = std::thread::Builder::new().name("hangar-ending".into());
                let ending = ending.spawn(move || {
                    drop(old);
                    // What stays is swept when the session's sandbox is made the next time.
                    let _ = fs::remove_dir_all(&moved.next.work);
                    Step::SnapshotWorkRemoved.done();
                });
                endings.retain(|ending| !ending.is_finished());
                endings.extend(ending);
                Ok(Rotated::Frozen(frozen))
            }
            Ok(Switch::InUse) => {
                moved.put_back()?;
                Ok(Rotated::InUse)
            }
            Err(error) => Err(moved.undo(error)),
        }
    }

    /// Waits until what earlier snapshots stood on is let go and removed. Blocks.
    pub(crate) fn settle(&self) {
        let endings = std::mem::take(&mut *self.one.lock().unwrap_or_else(PoisonError::into_inner));
        // One that panicked left a directory, which is swept.
        endings.into_iter().for_each(|ending| drop(ending.join()));
    }

    /// The new root.
    fn overlay(
        &self,
        view: &View,
        stage: &Stage,
        own: &impl Fn() -> Result<Vec<PathBuf>, Error>,
    ) -> Result<OwnedFd, Error> {
        let mut tries = 0;
        loop {
            let mounted =
                own().and_then(|own| view.overlay(&stacked(own, &self.lower), &self.session_below, &stage.directory));
            match mounted {
                // One of the snapshots has just been sealed, and so moved.
                Err(Error::Host { source, .. }) if source.kind() == io::ErrorKind::NotFound && tries < TRIES_MAX => {
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    /// The last snapshot, if nothing was changed since.
    fn unchanged(&self) -> Result<Option<PathBuf>, Error> {
        let upper = self.session.join(chain::UPPER);
        let empty = fs::read_dir(&upper).map_err(Error::host(&upper))?.next().is_none();
        Ok(if empty { chain::newest(&self.session)? } else { None })
    }
}

/// The session's directories after the first renames.
struct Moved {
    session: PathBuf,
    next: chain::Next,
}

impl Moved {
    fn begin(session: &Path) -> Result<Self, Error> {
        let next = chain::next(session)?;
        let (upper, work) = (session.join(chain::UPPER), session.join(chain::WORK));
        let (upper_facts, work_facts) = (facts(&upper)?, facts(&work)?);
        let moved = Self { session: session.to_owned(), next };
        fs::rename(&work, &moved.next.work).map_err(Error::host(&work))?;
        Step::SnapshotWorkMoved.done();
        if let Err(error) = fs::rename(&upper, &moved.next.tree) {
            return Err(moved.undo(Error::host(&upper)(error)));
        }
        Step::SnapshotUpperMoved.done();
        let made = chain::make_part(session, &upper, &upper_facts);
        if let Err(error) = made.and_then(|()| chain::make_part(session, &work, &work_facts)) {
            return Err(moved.undo(error.into()));
        }
        Step::SnapshotUpperMade.done();
        Ok(moved)
    }

    /// As it was before. The running overlay knows its directories whatever their names.
    fn put_back(&self) -> Result<(), Error> {
        let (upper, work) = (self.session.join(chain::UPPER), self.session.join(chain::WORK));
        if self.next.tree.exists() {
            // It is empty: nobody has seen it. If it were not, this fails, and both are part of the stack.
            match fs::remove_dir(&upper) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::host(&upper)(error)),
                Ok(()) | Err(_) => {}
            }
            fs::rename(&self.next.tree, &upper).map_err(Error::host(&upper))?;
        }
        match fs::remove_dir_all(&work) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::host(&work)(error)),
            Ok(()) | Err(_) => {}
        }
        fs::rename(&self.next.work, &work).map_err(Error::host(&work))
    }

    /// Puts everything back and returns the reason.
    fn undo(&self, reason: Error) -> Error {
        if let Err(error) = self.put_back() {
            // The stack on disk is right either way; only this sandbox cannot be rotated again.
            tracing::error!(%error, session = %self.session.display(), "a failed snapshot could not be put back");
        }
        reason
    }
}

fn facts(directory: &Path) -> Result<Facts, Error> {
    let meta = fs::metadata(directory).map_err(Error::host(directory))?;
    Ok(Facts { mode: meta.mode() & 0o7777, owner: Some((meta.uid(), meta.gid())) })
}

/// A thread in the sandbox's mounts, with both roots open. It never comes back out: it ends.
struct Inside {
    old: OwnedFd,
    new: OwnedFd,
}

/// Whether the workspace of the old root is a mount of its own (`hold.rs`), which goes with that root.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cover {
    Protected,
    None,
}

/// How a switch ended.
enum Switch {
    /// The old root, no longer mounted.
    Done(OwnedFd),
    InUse,
}

impl Inside {
    fn enter(namespace: &OwnedFd, new: OwnedFd) -> Result<Self, Error> {
        Ok(Self { old: hold::enter(namespace)?, new })
    }

    /// What is mounted over the workspace shows the same files, so it has to be read only as well.
    fn protect_cover(&self) -> Result<Option<Cover>, Error> {
        match hold::change(&self.old, Writing::Refused) {
            Ok(Hold::Held) => Ok(Some(Cover::Protected)),
            Ok(Hold::InUse) => Ok(None),
            Err(Error::Unsupported { .. }) => Ok(Some(Cover::None)),
            Err(error) => Err(error),
        }
    }

    fn allow_cover(&self, cover: Cover) {
        if cover == Cover::Protected
            && let Err(error) = hold::change(&self.old, Writing::Allowed)
        {
            tracing::error!(%error, "a sandbox's workspace stays read only");
        }
    }

    /// Makes the old root read only, and what is mounted over its workspace. `None` while somebody has a file open for writing; then nothing has changed.
    fn protect(&self) -> Result<Option<Cover>, Error> {
        let Some(cover) = self.protect_cover()? else { return Ok(None) };
        let Err(error) = set_writing(&self.old, Writing::Refused) else { return Ok(Some(cover)) };
        self.allow_cover(cover);
        if error.raw_os_error() == Some(libc::EBUSY) {
            return Ok(None);
        }
        Err(Error::kernel("write-protect the old root")(error))
    }

    /// Does so as soon as nobody writes.
    fn protect_soon(&self) -> Result<Option<Cover>, Error> {
        let began = Instant::now();
        loop {
            match self.protect()? {
                None if began.elapsed() < IN_USE_PATIENCE => std::thread::sleep(IN_USE_PAUSE),
                protected => return Ok(protected),
            }
        }
    }

    fn switch(self, attach: &[String]) -> Result<Switch, Error> {
        let Some(cover) = self.protect_soon()? else { return Ok(Switch::InUse) };
        Step::SnapshotProtected.done();
        let mut taken = Vec::new();
        if let Err(error) = self.change(attach, &mut taken) {
            self.undo(&taken);
            self.allow_cover(cover);
            return Err(error);
        }
        Step::SnapshotPivoted.done();
        let what = "let the old root go";
        rustix::process::fchdir(&self.old).map_err(Error::kernel(what))?;
        unmount(".", UnmountFlags::DETACH).map_err(Error::kernel(what))?;
        Ok(Switch::Done(self.old))
    }

    fn change<'a>(&self, attach: &'a [String], taken: &mut Vec<&'a str>) -> Result<(), Error> {
        let what = || Error::kernel("change the root");
        move_mount(&self.new, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(what())?;
        for path in attach {
            take(&self.old, &self.new, path).map_err(Error::kernel(format!("move {path}")))?;
            taken.push(path);
        }
        rustix::process::fchdir(&self.new).map_err(what())?;
        rustix::process::pivot_root(".", ".").map_err(what())
    }

    /// As it was before, as far as possible.
    fn undo(&self, taken: &[&str]) {
        for path in taken.iter().rev() {
            if let Err(error) = take(&self.new, &self.old, path) {
                tracing::error!(%error, path, "a mount could not be moved back");
            }
        }
        // What lies topmost on the old root is the new one; where it was not mounted yet, this fails.
        let _ = rustix::process::fchdir(&self.new).and_then(|()| unmount(".", UnmountFlags::DETACH));
        if let Err(error) = set_writing(&self.old, Writing::Allowed) {
            tracing::error!(%error, "a sandbox's root stays read only");
        }
    }
}

/// Moves what is mounted at `path` of one root to the same place of the other. No link is followed on the way: a builder could have put one there.
fn take(from: &OwnedFd, to: &OwnedFd, path: &str) -> io::Result<()> {
    let path = path.trim_start_matches('/');
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mount = openat2(from, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    let place = openat2(to, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", place, "", flags)?)
}
