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
#![allow(unsafe_code, reason = "fork and exec with full control over descriptors, session and terminal")]

use std::{
    ffi::CString,
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    ptr,
    time::Duration,
};

use hangar_protocol::guest::{Account, setup::ProcessLimits};
use rustix::{
    fs::{Mode, OFlags},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recvmsg, send, sendmsg, socketpair,
        sockopt::{Timeout, set_socket_timeout},
    },
    process::{Pid, Signal, kill_process},
};

use crate::{
    fault::SetupError,
    guard::{Guard, stands},
    kernel::{self, Kin},
    lockdown,
};

/// The largest number a descriptor can have. gVisor's kernel takes a larger one for a negative number and closes nothing.
const LAST_FD: libc::c_uint = libc::c_int::MAX as libc::c_uint;
/// A command that has ended by then was a quick one, in nanoseconds.
const QUICK_NS: i64 = 1_500_000;
/// How long a supervisor may take to read its order.
const ORDER_PATIENCE: Duration = Duration::from_secs(2);
/// Stack of a command between its birth and its exec.
const BIRTH_STACK_BYTES: usize = 64 * 1024;
/// Where a supervisor finds its socket, and the descriptors that come with an order.
const SOCKET: RawFd = 0;
const STDIO: [RawFd; 3] = [1, 2, 3];

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

const STARTED: i32 = 1;
const NO_DIRECTORY: i32 = 2;
const NO_PROGRAM: i32 = 3;
const ENDED: i32 = 4;
const ENDED_ALONE: i32 = 5;
const ANOTHER: i32 = 6;

/// Commands are killed before the guest when memory runs out.
const OOM_SCORE: &[u8] = b"500";

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
        let supervisor = Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(io::Error::last_os_error)?;
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

/// What comes before the strings. Both ends are the same program, so it travels as it lies in memory: numbers of one size, with nothing between them.
#[repr(C)]
#[derive(Clone, Copy)]
struct Order {
    text_bytes: usize,
    programs: usize,
    argv: usize,
    env: usize,
    /// 1 where standard input is a terminal.
    terminal: usize,
    /// A [`Next`].
    next: usize,
    limits: ProcessLimits,
}

/// Whether another supervisor is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Fork,
    IsThere,
}

impl Order {
    fn bytes(&self) -> &[u8] {
        // SAFETY: reads the struct's own bytes, all of which are parts of numbers.
        unsafe { std::slice::from_raw_parts(ptr::from_ref(self).cast(), size_of::<Self>()) }
    }

    /// How many pointers the kernel wants: each list ends with a null.
    const fn pointers(&self) -> usize {
        self.programs + 1 + self.argv + 1 + self.env + 1
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

/// A supervisor's whole life.
///
/// # Safety
/// Only in a freshly forked child.
unsafe fn supervise(socket: RawFd, processes: RawFd, bounds: Bounds) -> ! {
    // SAFETY: calls on numbers and on memory of this process.
    unsafe {
        become_supervisor(socket, processes);
        // Why it could not be bound is not told: the guest finds it dead, and so the command fails.
        let mut told = [0u8];
        if !read_whole(&mut told) || bind(bounds).is_err() {
            libc::_exit(1);
        }
        wait_for_orders()
    }
}

fn bind(bounds: Bounds) -> Result<(), SetupError> {
    match bounds {
        Bounds::Of(account) => lockdown::bind_commands(account),
        #[cfg(test)]
        Bounds::OfThisProcess => Ok(()),
    }
}

/// Keeps nothing but its socket, and takes whoever loses its parent below it.
unsafe fn become_supervisor(socket: RawFd, processes: RawFd) {
    // SAFETY: async-signal-safe calls on numbers.
    unsafe {
        kernel::set_name(c"hangar-exec");
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        // Like the guest this process is not dumpable, and so not even the owner of its own files in /proc. There is nothing in it yet that a command
        // must not see.
        libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
        let score = libc::openat(processes, c"self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        libc::write(score, OOM_SCORE.as_ptr().cast(), OOM_SCORE.len());
        libc::dup2(socket, SOCKET);
        libc::close_range(1, LAST_FD, 0);
        if stands(Guard::NotDumpable) {
            libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        }
        if stands(Guard::NoCoreDumps) {
            kernel::limit_resource(libc::RLIMIT_CORE, 0);
        }
    }
}

unsafe fn wait_for_orders() -> ! {
    // SAFETY: async-signal-safe calls on numbers and on memory of this process.
    unsafe {
        while let Some(order) = receive() {
            serve(&order);
        }
        libc::_exit(0)
    }
}

/// Forks a sibling and sends the guest its socket. Without a process or a socket for it the guest makes one itself.
unsafe fn fork_another() -> Which {
    // SAFETY: async-signal-safe calls on numbers and on memory of this process, which has one thread.
    unsafe {
        let Ok((theirs, own)) = sockets() else { return Which::This };
        match kernel::fork_with_this_root(Kin::Sibling) {
            Ok(None) => {
                become_supervisor(own.as_raw_fd(), libc::open(c"/proc".as_ptr(), libc::O_PATH | libc::O_CLOEXEC));
                // Their number means the socket now.
                std::mem::forget((theirs, own));
                return Which::Sibling;
            }
            // A kernel that makes it a child of this one instead (gVisor's) would have two trees for one; the guest forks another itself, then.
            Ok(Some(sibling)) if libc::waitpid(sibling.as_raw_nonzero().get(), ptr::null_mut(), libc::WNOHANG) >= 0 => {
                libc::kill(sibling.as_raw_nonzero().get(), libc::SIGKILL);
                libc::waitpid(sibling.as_raw_nonzero().get(), ptr::null_mut(), 0);
            }
            Ok(Some(sibling)) => {
                let bytes = notice(ANOTHER, sibling.as_raw_nonzero().get());
                let descriptors = [theirs.as_fd()];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
                // If the guest does not hear of it, the sibling ends as its socket does.
                let _ = sendmsg(
                    BorrowedFd::borrow_raw(SOCKET),
                    &[IoSlice::new(&bytes)],
                    &mut ancillary,
                    SendFlags::NOSIGNAL,
                );
            }
            Err(_) => {}
        }
        Which::This
    }
}

/// Which of the two a supervisor is after it has forked another.
#[derive(PartialEq, Eq)]
enum Which {
    This,
    Sibling,
}

/// Starts one command and returns when nobody is left of it; at once in a sibling that was forked meanwhile.
unsafe fn serve(order: &Order) {
    // SAFETY: async-signal-safe calls on numbers and on memory of this process.
    unsafe {
        let Some(strings) = Strings::receive(order) else { libc::_exit(1) };
        let quick = Quick::prepare();
        let (command, refused) = bear(order, &strings);
        // The supervisor must not keep pipes of this command alive, nor what stood in its order.
        libc::close_range(1, LAST_FD, 0);
        strings.forget();
        match refused {
            Some((kind, error)) => report(kind, error),
            None => report(STARTED, command),
        }
        // One that ends at once needs no other beside it.
        if order.next == Next::Fork as usize && !quick.somebody_ended() && fork_another() == Which::Sibling {
            return;
        }
        loop {
            let (mut status, mut later) = (0, 0);
            let ended = libc::waitpid(-1, &raw mut status, 0);
            if ended == command && refused.is_none() {
                let left = libc::waitpid(-1, &raw mut later, libc::WNOHANG);
                let alone = left < 0 && *libc::__errno_location() == libc::ECHILD;
                report(if alone { ENDED_ALONE } else { ENDED }, status);
                if alone {
                    return;
                }
            } else if ended < 0 && *libc::__errno_location() != libc::EINTR {
                return;
            }
        }
    }
}

/// Looks whether a command ends at once.
struct Quick(libc::sigset_t);

impl Quick {
    /// Before the command is started: what ended before does not count.
    unsafe fn prepare() -> Self {
        // SAFETY: the set is this function's own. The command gets an empty mask before it execs.
        unsafe {
            let mut ends: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut ends);
            libc::sigaddset(&raw mut ends, libc::SIGCHLD);
            libc::sigprocmask(libc::SIG_BLOCK, &raw const ends, ptr::null_mut());
            let quick = Self(ends);
            while quick.within(0) {}
            quick
        }
    }

    unsafe fn somebody_ended(&self) -> bool {
        // SAFETY: as below.
        unsafe { self.within(QUICK_NS) }
    }

    unsafe fn within(&self, nanoseconds: i64) -> bool {
        let patience = libc::timespec { tv_sec: 0, tv_nsec: nanoseconds };
        // SAFETY: set and time outlive the call; nothing is asked to be told.
        unsafe { libc::sigtimedwait(&raw const self.0, ptr::null_mut(), &raw const patience) == libc::SIGCHLD }
    }
}

/// Waits for the order, whose descriptors get the numbers of [`STDIO`]. `None` when there will be none.
unsafe fn receive() -> Option<Order> {
    // SAFETY: all structs are this function's own, and the message's lengths are those of its buffers.
    unsafe {
        let mut order = MaybeUninit::<Order>::zeroed();
        let mut part = libc::iovec { iov_base: order.as_mut_ptr().cast(), iov_len: size_of::<Order>() };
        let mut control = [0u64; 8];
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        let got = loop {
            let got = libc::recvmsg(SOCKET, &raw mut message, libc::MSG_CMSG_CLOEXEC);
            if got >= 0 || *libc::__errno_location() != libc::EINTR {
                break got;
            }
        };
        let got = usize::try_from(got).ok().filter(|got| *got > 0)?;
        let rest = std::slice::from_raw_parts_mut(order.as_mut_ptr().cast::<u8>().add(got), size_of::<Order>() - got);
        // With too many descriptors open in the sandbox they may not all have come.
        let whole = read_whole(rest) && libc::fcntl(STDIO[2], libc::F_GETFD) >= 0;
        // The bytes are those of an `Order` of the guest this was forked from.
        whole.then(|| order.assume_init())
    }
}

/// Fills the buffer from the socket.
unsafe fn read_whole(mut buffer: &mut [u8]) -> bool {
    while !buffer.is_empty() {
        // SAFETY: the length is that of the buffer.
        let got = unsafe { libc::read(SOCKET, buffer.as_mut_ptr().cast(), buffer.len()) };
        match usize::try_from(got) {
            Ok(got) if got > 0 => buffer = &mut buffer[got..],
            // SAFETY: the location of this thread's error number.
            Err(_) if unsafe { *libc::__errno_location() } == libc::EINTR => {}
            Ok(_) | Err(_) => return false,
        }
    }
    true
}

/// The strings of an order in a mapping of their own, with the lists of pointers that the kernel wants before them.
struct Strings {
    mapping: *mut libc::c_void,
    bytes: usize,
    programs: *const *const libc::c_char,
    argv: *const *const libc::c_char,
    env: *const *const libc::c_char,
    cwd: *const libc::c_char,
}

impl Strings {
    unsafe fn receive(order: &Order) -> Option<Self> {
        let table = order.pointers() * size_of::<*const libc::c_char>();
        let bytes = table + order.text_bytes;
        // SAFETY: a fresh mapping, in which the table and the text lie one after the other.
        unsafe {
            let mapping = libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if mapping == libc::MAP_FAILED {
                return None;
            }
            let text = std::slice::from_raw_parts_mut(mapping.cast::<u8>().add(table), order.text_bytes);
            if !read_whole(text) {
                return None;
            }
            let mut at = mapping.cast::<*const libc::c_char>();
            let mut strings = text.split_inclusive(|byte| *byte == 0).map(|string| string.as_ptr().cast());
            let mut list = |count: usize| {
                let list = at;
                // The mapping was full of zeros, so that a null stands behind each list.
                for string in strings.by_ref().take(count) {
                    *at = string;
                    at = at.add(1);
                }
                at = list.add(count + 1);
                list.cast_const()
            };
            let (programs, argv, env) = (list(order.programs), list(order.argv), list(order.env));
            let cwd = strings.next()?;
            Some(Self { mapping, bytes, programs, argv, env, cwd })
        }
    }

    unsafe fn forget(self) {
        // SAFETY: nothing points into it any more: the command has memory of its own.
        unsafe { libc::munmap(self.mapping, self.bytes) };
    }
}

/// What a command is given on its way to its exec, and why it did not get there. It shares the supervisor's memory until then.
struct Birth<'a> {
    order: &'a Order,
    strings: &'a Strings,
    refused: Option<(i32, i32)>,
}

/// Makes the command and waits until it has its own program, or has failed to get it. Returns its process id, and what failed with its error number.
unsafe fn bear(order: &Order, strings: &Strings) -> (libc::pid_t, Option<(i32, i32)>) {
    let mut birth = Birth { order, strings, refused: None };
    let mut stack = [MaybeUninit::<u8>::uninit(); BIRTH_STACK_BYTES];
    // SAFETY: the child runs on this stack while this process stands still (CLONE_VFORK); `birth` lives longer than that.
    unsafe {
        // The stack grows downwards from an address that the ABI wants to be a multiple of 16.
        let top = stack.as_mut_ptr_range().end;
        let top = top.sub(top.addr() % 16);
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let command = libc::clone(become_command, top.cast(), flags, (&raw mut birth).cast());
        if command < 0 {
            return (command, Some((NO_PROGRAM, *libc::__errno_location())));
        }
        (command, birth.refused)
    }
}

/// Between the command's birth and its exec.
extern "C" fn become_command(birth: *mut libc::c_void) -> libc::c_int {
    // SAFETY: async-signal-safe calls; the pointer is `bear`'s, who waits.
    unsafe {
        let birth = &mut *birth.cast::<Birth<'_>>();
        let (order, strings) = (birth.order, birth.strings);
        libc::setsid();
        // The socket's number becomes standard input's; each goes down by one.
        for (to, from) in (0..).zip(STDIO) {
            libc::dup2(from, to);
        }
        if order.terminal == 1 {
            kernel::take_terminal(0);
        }
        if stands(Guard::CloseDescriptors) {
            libc::close_range(3, LAST_FD, 0);
        } else {
            // A copy without the flag, as a forgotten one would be.
            libc::dup(0);
        }
        for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        kernel::limit_resource(libc::RLIMIT_NOFILE, order.limits.open_files);
        kernel::limit_resource(libc::RLIMIT_FSIZE, order.limits.file_bytes);
        if libc::chdir(strings.cwd) != 0 {
            birth.refused = Some((NO_DIRECTORY, *libc::__errno_location()));
            libc::_exit(126);
        }
        let mut reason = libc::ENOENT;
        let mut program = strings.programs;
        while !(*program).is_null() {
            libc::execve(*program, strings.argv, strings.env);
            let error = *libc::__errno_location();
            // Like a shell: go on looking, but remember a file that was there and could not be run.
            if error != libc::ENOENT && error != libc::ENOTDIR {
                reason = error;
            }
            program = program.add(1);
        }
        birth.refused = Some((NO_PROGRAM, reason));
        libc::_exit(127)
    }
}

/// Writes one notice. There are few, for which a socket always has room.
fn report(kind: i32, value: i32) {
    let bytes = notice(kind, value);
    // SAFETY: the buffer outlives the call.
    unsafe { libc::write(SOCKET, bytes.as_ptr().cast(), bytes.len()) };
}

fn notice(kind: i32, value: i32) -> [u8; 8] {
    let mut bytes = [0u8; 8];
    bytes[..4].copy_from_slice(&kind.to_ne_bytes());
    bytes[4..].copy_from_slice(&value.to_ne_bytes());
    bytes
}
