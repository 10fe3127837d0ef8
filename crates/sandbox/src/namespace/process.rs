//! Child processes in new namespaces, held by descriptor.
#![allow(unsafe_code, reason = "clone3 with namespaces and a process descriptor has no safe wrapper")]

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::error::Error;

/// Makes the child in another control group than its parent's (clone3(2), Linux 5.7).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A child process that is killed and reaped when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pidfd: OwnedFd,
    pid: Pid,
    reaped: AtomicBool,
}

impl Process {
    /// A child that another process has made for this one.
    pub(crate) fn adopt(pidfd: OwnedFd, pid: i32) -> Result<Self, Error> {
        let pid = Pid::from_raw(pid).ok_or(Error::Protocol)?;
        Ok(Self { pidfd, pid, reaped: AtomicBool::new(false) })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Kills it, and with it everything in its process namespace.
    pub(crate) fn kill(&self) {
        // Fails only when it is dead.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Reaps it if it has ended.
    pub(crate) fn try_reap(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        if self.reaped.load(Ordering::Acquire) {
            return true;
        }
        let gone = match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
            Ok(ended) => ended.is_some(),
            // Somebody else has: there is nothing left to wait for.
            Err(rustix::io::Errno::CHILD) => true,
            Err(_) => false,
        };
        self.reaped.fetch_or(gone, Ordering::AcqRel);
        gone
    }

    /// Reaps a child in the process group that this one leads, if one has ended. Returns whether one has.
    pub(crate) fn reap_of_its_group(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        matches!(waitid(WaitId::Pgid(Some(self.pid)), options), Ok(Some(_)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reaped.load(Ordering::Acquire) {
            return;
        }
        self.kill();
        // After SIGKILL this ends as soon as the kernel has taken the namespace down.
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {}
    }
}

/// Stack of a process that only waits.
const PARKED_STACK_BYTES: usize = 16 * 1024;

/// A process that does nothing but hold a user namespace. It has this process's memory, so that making it copies nothing, however large hangar is.
pub(crate) struct Parked {
    process: Process,
    /// Freed once the process is dead.
    _stack: Box<[MaybeUninit<u8>]>,
}

impl Parked {
    pub(crate) fn in_user_namespace() -> io::Result<Self> {
        let mut stack = Box::new_uninit_slice(PARKED_STACK_BYTES);
        let mut pidfd: RawFd = -1;
        let flags = libc::CLONE_VM | libc::CLONE_NEWUSER | libc::CLONE_PIDFD | libc::SIGCHLD;
        // SAFETY: the child runs on a stack of its own, of which only the address is needed here, and touches no other memory: no signal is handled in it, as all
        // are blocked. The stack lives until `process` is dropped, which waits for the child's end.
        let pid = unsafe {
            // The stack grows downwards from an address that the ABI wants to be a multiple of 16.
            let top = stack.as_mut_ptr_range().end;
            let top = top.sub(top.addr() % 16);
            let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            let pid = libc::clone(park, top.cast(), flags, std::ptr::null_mut(), &raw mut pidfd);
            let error = io::Error::last_os_error();
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
            if pid > 0 { Pid::from_raw(pid) } else { None }.ok_or(error)?
        };
        // SAFETY: the kernel has just opened this descriptor for us.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        Ok(Self { process: Process { pidfd, pid, reaped: AtomicBool::new(false) }, _stack: stack })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }
}

/// Waits to be killed, by the end of its parent at the latest.
extern "C" fn park(_: *mut libc::c_void) -> libc::c_int {
    // SAFETY: numbers only.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        loop {
            libc::pause();
        }
    }
}

/// Forks into new namespaces and, on version 2 of control groups, straight into a group. The child runs `child`, which must keep to async-signal-safe calls and never return.
pub(crate) fn clone(
    namespaces: libc::c_int,
    group: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> std::convert::Infallible,
) -> io::Result<Process> {
    let mut pidfd: RawFd = -1;
    // SAFETY: all zero is a valid clone_args.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from((namespaces | libc::CLONE_PIDFD).unsigned_abs());
    args.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    if let Some(group) = group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(group.as_raw_fd().unsigned_abs());
    }
    // SAFETY: like fork: without CLONE_VM the child has its own copy of the memory; args is valid for the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::from_ref(&args), size_of::<libc::clone_args>()) };
    if pid == 0 {
        child();
    }
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just opened this descriptor for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Process { pidfd, pid, reaped: AtomicBool::new(false) })
}
