//! Starts a command under a supervisor of its own, which was there before anybody asked for one.
//!
//! ```text
//!   guest (process 1, many threads)
//!     └─ supervisor   forked ahead of need, never execs; whatever loses its parent below it becomes its child (PR_SET_CHILD_SUBREAPER)
//!          └─ command   own session, own process group
//!               └─ …    whatever it starts, daemons included, stays below the supervisor
//!
//!   guest ──order + three descriptors──▶ supervisor ──shares its memory until it execs (CLONE_VFORK)──▶ command
//!         ◀── started · could not · ended, alone or not ──
//!
//!   waiting ──order──▶ running ──the command and all below it have ended──▶ waiting
//!      └──────────────────┴──the guest closes the socket, and nobody is left below──▶ gone
//! ```
//!
//! The supervisor is what makes "the whole tree" a thing that can be found and ended: a daemon that forks twice and opens a
//! session of its own still hangs below it.
//!
//! Forking a process of many threads and pages is the slow part, for the page faults of the guest that follow above all. So the first supervisor is forked while the
//! guest is still small, one that has nobody left below it serves the next command, and where another is needed a supervisor forks it, as a sibling, once its command
//! runs. Starting a command copies nothing.
//!
//! What commands may do with files ([`crate::lockdown::bind_commands`]) binds the supervisor: its siblings and all commands have the same rules, and so can
//! trace and signal each other as anywhere. The rules name directories of the root that is mounted when they are made; a snapshot puts another root in place, so it takes new
//! supervisors.
//!
//! From the fork on, memory of its own mapping and async-signal-safe calls are nearly all that is used: other threads of the
//! guest may have held any lock at that moment (but for the allocator's, which the C library sees to).
//!
//! This is the guest's end; the supervisor's own life is in `supervisor.rs`, the way from an order to a command in `birth.rs`.
#![allow(unsafe_code, reason = "fork")]

mod birth;
mod order;
mod supervisor;

use std::{
    ffi::CString,
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Duration,
};

use hangar_protocol::guest::{Account, setup::ProcessLimits};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    io::retry_on_intr,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg, socketpair,
        sockopt::{Timeout, set_socket_timeout},
    },
    process::{Pid, Signal, kill_process},
};

pub(crate) use self::order::Next;
use self::{
    order::{ANOTHER, ENDED, ENDED_ALONE, NO_DIRECTORY, NO_PROGRAM, Order, STARTED},
    supervisor::supervise,
};
use crate::{
    fault::SetupError,
    kernel::{self, Kin},
};

/// How long a supervisor may take to read its order.
const ORDER_PATIENCE: Duration = Duration::from_secs(2);
/// How long one with mounts of its own may take to be ready.
const APART_PATIENCE: Duration = Duration::from_secs(5);

/// What commands may do with files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounds {
    /// What this account may.
    Of(Account),
    /// What this process may.
    #[cfg(test)]
    OfThisProcess,
}

/// A command, ready to start: every string is already as the kernel wants it.
pub(crate) struct Launch {
    /// Paths to try, in order.
    pub programs: Vec<CString>,
    pub argv: Vec<CString>,
    pub env: Vec<CString>,
    pub cwd: CString,
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    /// Standard input is a terminal and becomes the controlling one.
    pub terminal: bool,
    pub limits: ProcessLimits,
}

/// A command that was started.
pub(crate) struct Launched {
    pub supervisor: Pid,
    /// Carries [`Notice`]s and ends with the supervisor.
    pub notices: File,
    /// The root it was forked over.
    root: u64,
}

impl Launched {
    /// The supervisor, once it has reported [`Below::Nobody`].
    pub(crate) fn into_spare(self) -> Spare {
        Spare { supervisor: self.supervisor, socket: self.notices.into(), root: self.root }
    }
}

/// What the supervisor reports, in this order; a failure takes the place of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The command has this process id.
    Started(u32),
    /// The working directory cannot be entered: error number.
    NoDirectory(i32),
    /// No program could be executed: error number.
    NoProgram(i32),
    /// The command has ended: wait status, and who is left.
    Ended(i32, Below),
}

/// What was read from a supervisor.
pub(crate) enum News {
    Of(Notice),
    /// Another supervisor was forked.
    Another(Spare),
}

/// Who is left below a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Below {
    /// Nobody: it waits for its next order.
    Nobody,
    /// What the command has started.
    Leftovers,
}

impl Launched {
    /// The next news; `None` when the supervisor is gone.
    pub(crate) fn news(&mut self) -> io::Result<Option<News>> {
        let mut bytes = [0u8; 8];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(&self.notices, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        let got = match got {
            // It was killed before it had read its order.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => other?,
        };
        let socket = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
            _ => None,
        });
        if got.bytes == 0 {
            return Ok(None);
        }
        self.notices.read_exact(&mut bytes[got.bytes..])?;
        let [a, b, c, d, e, f, g, h] = bytes;
        let value = i32::from_ne_bytes([e, f, g, h]);
        let notice = match (i32::from_ne_bytes([a, b, c, d]), socket) {
            (ANOTHER, Some(socket)) => {
                let supervisor = Pid::from_raw(value).ok_or(io::ErrorKind::InvalidData)?;
                return Ok(Some(News::Another(Spare { supervisor, socket, root: self.root })));
            }
            (STARTED, _) => Notice::Started(value.unsigned_abs()),
            (NO_DIRECTORY, _) => Notice::NoDirectory(value),
            (NO_PROGRAM, _) => Notice::NoProgram(value),
            (ENDED, _) => Notice::Ended(value, Below::Leftovers),
            (ENDED_ALONE, _) => Notice::Ended(value, Below::Nobody),
            (other, _) => return Err(io::Error::other(format!("unknown notice {other}"))),
        };
        Ok(Some(News::Of(notice)))
    }
}

/// A supervisor that waits for its order.
pub(crate) struct Spare {
    supervisor: Pid,
    socket: OwnedFd,
    root: u64,
}

impl Spare {
    /// Forks one from a guest that serves already, over the root that is mounted now.
    ///
    /// # Errors
    /// When the kernel has no process or socket left to give.
    pub(crate) fn make(bounds: Bounds) -> io::Result<Self> {
        let root = root()?;
        let (socket, theirs) = sockets()?;
        let processes = processes("/proc")?;
        // SAFETY: the child runs `supervise` alone, which never returns.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: this is the forked child.
            unsafe { supervise(theirs.as_raw_fd(), processes.as_raw_fd(), bounds) }
        }
        let supervisor = if pid > 0 { Pid::from_raw(pid) } else { None }.ok_or_else(io::Error::last_os_error)?;
        let spare = Self { supervisor, socket, root };
        spare.bind()?;
        Ok(spare)
    }

    /// Forks one from a locked-down guest whose other threads, if it has any, wait; it shares the guest's root, whatever becomes that.
    /// `processes` is the guest's `/proc`, wherever that is now.
    ///
    /// # Errors
    /// When the kernel has no process or socket left to give.
    pub(crate) fn ahead(bounds: Bounds, processes: &OwnedFd) -> io::Result<Self> {
        let (socket, theirs) = sockets()?;
        match kernel::fork_with_this_root(Kin::Child)? {
            // SAFETY: this is the forked child.
            None => unsafe { supervise(theirs.as_raw_fd(), processes.as_raw_fd(), bounds) },
            Some(supervisor) => Ok(Self { supervisor, socket, root: 0 }),
        }
    }

    /// Forks one that prepares itself first: `go_apart` runs in it, with the rights of the calling thread, and it is there once that has succeeded. All
    /// other threads wait.
    ///
    /// # Errors
    /// When the kernel has no process or socket left to give, or it could not prepare itself.
    pub(crate) fn apart(bounds: Bounds, go_apart: impl FnOnce() -> Result<(), SetupError>) -> io::Result<Self> {
        let (socket, theirs) = sockets()?;
        let processes = processes("/proc")?;
        // SAFETY: the child runs what was given and `supervise`, which never returns.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let ready = go_apart().is_ok() && send(&theirs, &[0], SendFlags::NOSIGNAL).is_ok();
            if !ready {
                kernel::exit(1);
            }
            // SAFETY: this is the forked child.
            unsafe { supervise(theirs.as_raw_fd(), processes.as_raw_fd(), bounds) }
        }
        drop(theirs);
        let supervisor = if pid > 0 { Pid::from_raw(pid) } else { None }.ok_or_else(io::Error::last_os_error)?;
        let mut told = [PollFd::new(&socket, PollFlags::IN)];
        let patience = Timespec::try_from(APART_PATIENCE).map_err(io::Error::other)?;
        retry_on_intr(|| poll(&mut told, Some(&patience)))?;
        match recv(&socket, &mut [0], RecvFlags::DONTWAIT)? {
            (_, 1) => Ok(Self { supervisor, socket, root: 0 }),
            _ => Err(io::Error::other("it could not give up its rights")),
        }
    }

    /// Tells it that the root is there: it binds itself to it.
    ///
    /// # Errors
    /// When it is dead.
    pub(crate) fn bind(&self) -> io::Result<()> {
        Ok(send(&self.socket, &[0], SendFlags::NOSIGNAL).map(drop)?)
    }

    /// The same for one that was forked ahead.
    pub(crate) fn settle(mut self) -> io::Result<Self> {
        self.root = root()?;
        self.bind()?;
        Ok(self)
    }

    pub(crate) const fn root(&self) -> u64 {
        self.root
    }

    pub(crate) fn supervisor(&self) -> Pid {
        self.supervisor
    }

    /// Gives it its order. With [`Next::Fork`] it makes another supervisor once the command runs.
    ///
    /// # Errors
    /// When it has been killed while it waited; then nothing was started.
    pub(crate) fn launch(self, launch: &Launch, next: Next) -> io::Result<Launched> {
        // A command of the sandbox may have stopped it.
        let _ = kill_process(self.supervisor, Signal::CONT);
        let text = launch.text();
        let order = Order {
            text_bytes: text.len(),
            programs: launch.programs.len(),
            argv: launch.argv.len(),
            env: launch.env.len(),
            terminal: launch.terminal.into(),
            next: next as usize,
            limits: launch.limits,
        };
        let descriptors = [launch.stdin.as_fd(), launch.stdout.as_fd(), launch.stderr.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        // In one go, so that it is woken once; an order of many words takes further ones.
        let whole = [IoSlice::new(order.bytes()), IoSlice::new(&text)];
        let sent = sendmsg(&self.socket, &whole, &mut ancillary, SendFlags::NOSIGNAL)?;
        let mut socket = File::from(self.socket);
        socket.write_all(order.bytes().get(sent..).unwrap_or_default())?;
        socket.write_all(&text[sent.saturating_sub(order.bytes().len())..])?;
        Ok(Launched { supervisor: self.supervisor, notices: socket, root: self.root })
    }
}

impl Launch {
    /// All strings, each with its zero byte, in the order of [`Order`]'s counts; last the working directory.
    fn text(&self) -> Vec<u8> {
        let strings = || self.programs.iter().chain(&self.argv).chain(&self.env).chain([&self.cwd]);
        let mut text = Vec::with_capacity(strings().map(|string| string.as_bytes_with_nul().len()).sum());
        strings().for_each(|string| text.extend_from_slice(string.as_bytes_with_nul()));
        text
    }
}

/// Both ends of a supervisor's socket, the guest's first. A supervisor that was stopped while it reads a long order fails the command; it does not hold the guest up.
fn sockets() -> io::Result<(OwnedFd, OwnedFd)> {
    let (guest, supervisor) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&guest, Timeout::Send, Some(ORDER_PATIENCE))?;
    Ok((guest, supervisor))
}

/// What is mounted as `/proc`, at `path`.
pub(crate) fn processes(path: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Names the root that is mounted now: every overlay has a device number of its own.
pub(crate) fn root() -> io::Result<u64> {
    Ok(rustix::fs::stat("/")?.st_dev)
}
