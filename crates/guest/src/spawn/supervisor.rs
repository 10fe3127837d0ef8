//! A supervisor's own life, from its fork on: it waits for orders, starts commands, and takes whoever loses its parent below it.
#![allow(unsafe_code, reason = "fork and exec with full control over descriptors, session and terminal")]

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    ptr,
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::{
    Bounds, Next,
    birth::{Strings, bear},
    order::{ANOTHER, ENDED, ENDED_ALONE, Order, STARTED, notice},
    sockets,
};
use crate::{
    fault::SetupError,
    guard::{Guard, stands},
    kernel::{self, Kin},
    lockdown,
};

/// The largest number a descriptor can have. gVisor's kernel takes a larger one for a negative number and closes nothing.
pub(super) const LAST_FD: libc::c_uint = libc::c_int::MAX as libc::c_uint;
/// A command that has ended by then was a quick one, in nanoseconds.
const QUICK_NS: i64 = 1_500_000;
/// Where a supervisor finds its socket, at first `/proc`, and the descriptors that come with an order.
const SOCKET: RawFd = 0;
const PROCESSES: RawFd = 1;
pub(super) const STDIO: [RawFd; 3] = [1, 2, 3];
/// Commands are killed before the guest when memory runs out.
const OOM_SCORE: &[u8] = b"500";

/// A supervisor's whole life.
///
/// # Safety
/// Only in a freshly forked child.
pub(super) unsafe fn supervise(socket: RawFd, processes: RawFd, bounds: Bounds) -> ! {
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
        libc::dup2(socket, SOCKET);
        libc::dup2(processes, PROCESSES);
        libc::close_range(2, LAST_FD, 0);
        // Like the guest this process is not dumpable, and so not even the owner of its own files in /proc. There is nothing in it any more that a command
        // must not see.
        libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
        let score = libc::openat(PROCESSES, c"self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        libc::write(score, OOM_SCORE.as_ptr().cast(), OOM_SCORE.len());
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
                let mut left = libc::waitpid(-1, &raw mut later, libc::WNOHANG);
                // Whoever has ended as well is not left.
                while left > 0 {
                    left = libc::waitpid(-1, &raw mut later, libc::WNOHANG);
                }
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
pub(super) unsafe fn read_whole(mut buffer: &mut [u8]) -> bool {
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

/// Writes one notice. There are few, for which a socket always has room.
fn report(kind: i32, value: i32) {
    let bytes = notice(kind, value);
    // SAFETY: the buffer outlives the call.
    unsafe { libc::write(SOCKET, bytes.as_ptr().cast(), bytes.len()) };
}
