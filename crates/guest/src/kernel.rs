//! The few kernel calls that no safe crate offers.
#![allow(unsafe_code, reason = "these calls take raw descriptors and structs; each is wrapped here once")]

use std::{
    ffi::{CStr, CString},
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::Path,
};

use hangar_protocol::guest::SOCKET_FD;
use rustix::{
    io::{FdFlags, fcntl_getfd, fcntl_setfd},
    process::{Pid, WaitId, WaitIdOptions, waitid},
};

/// A process that was just forked, as each of the two sees it.
pub(crate) enum Forked {
    Child,
    Parent(Child),
}

/// Whose child the new process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kin {
    /// This process's.
    Child,
    /// That of this process's own parent, who reaps it and with whom it ends.
    Sibling,
}

/// A process held by its descriptor.
pub(crate) struct Child {
    pid: i32,
    descriptor: OwnedFd,
}

impl Child {
    pub(crate) const fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Waits for the end of a child of this process, and gives its exit code; -1 when a signal ended it.
    pub(crate) fn wait(self) -> io::Result<i32> {
        let ended = waitid(WaitId::PidFd(self.descriptor.as_fd()), WaitIdOptions::EXITED)?;
        Ok(ended.and_then(|ended| ended.exit_status()).unwrap_or(-1))
    }
}

/// Makes the child in another control group than its parent's (clone3(2), Linux 5.7).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks into new namespaces and, on version 2 of control groups, straight into a group. Only for a process of one thread: the child goes on with a
/// whole copy of it.
pub(crate) fn fork(namespaces: libc::c_int, kin: Kin, group: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    let mut descriptor: RawFd = -1;
    // SAFETY: all zero is a valid clone_args.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from((namespaces | libc::CLONE_PIDFD).unsigned_abs());
    args.pidfd = std::ptr::from_mut(&mut descriptor) as u64;
    match kin {
        Kin::Child => args.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs()),
        // It tells its parent's parent the way this process would.
        Kin::Sibling => args.flags |= u64::from(libc::CLONE_PARENT.unsigned_abs()),
    }
    if let Some(group) = group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(group.as_raw_fd().unsigned_abs());
    }
    // SAFETY: like fork: without CLONE_VM the child has its own copy of the memory, which no other thread was changing; args is valid for the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::from_ref(&args), size_of::<libc::clone_args>()) };
    if pid == 0 {
        return Ok(Forked::Child);
    }
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just opened this descriptor for us.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(Forked::Parent(Child { pid, descriptor }))
}

/// Forks a process whose other threads, if there are any, hold nothing. Both have one root and working directory from then on: what the one changes, the other has. `None` in the child.
pub(crate) fn fork_with_this_root(kin: Kin) -> io::Result<Option<Pid>> {
    let flags = match kin {
        Kin::Child => libc::CLONE_FS,
        Kin::Sibling => libc::CLONE_FS | libc::CLONE_PARENT,
    };
    let (none, flags) = (0usize, i64::from(flags | libc::SIGCHLD));
    // SAFETY: like fork: without CLONE_VM the child has its own copy of the memory. Not clone3, whose flags a filter of system calls cannot see.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) };
    match i32::try_from(pid) {
        Ok(0) => Ok(None),
        Ok(pid) if pid > 0 => Ok(Pid::from_raw(pid)),
        Ok(_) | Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Closes every descriptor but the standard ones and these two.
pub(crate) fn close_all_but(kept: [&OwnedFd; 2]) -> io::Result<()> {
    let mut kept = kept.map(|fd| fd.as_raw_fd().unsigned_abs());
    kept.sort_unstable();
    let mut first = 3;
    for (first, last) in
        kept.map(|fd| (std::mem::replace(&mut first, fd + 1), fd)).into_iter().chain([(first, u32::MAX)])
    {
        // SAFETY: numbers only. What is closed here belongs to values of the parent's that this process never uses or drops.
        let done =
            if first < last { unsafe { libc::close_range(first, last - u32::from(last != u32::MAX), 0) } } else { 0 };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Ends this process without undoing anything.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: takes a number.
    unsafe { libc::_exit(code) }
}

/// The socket which the host left at [`SOCKET_FD`].
pub(crate) fn inherited_socket() -> io::Result<File> {
    // SAFETY: F_GETFD only reads a flag; a number that is no open descriptor gives EBADF.
    if unsafe { libc::fcntl(SOCKET_FD, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open (checked above), was put there for this process alone, and this function is called once.
    let fd = unsafe { OwnedFd::from_raw_fd(SOCKET_FD) };
    fcntl_setfd(&fd, fcntl_getfd(&fd)? | FdFlags::CLOEXEC)?;
    Ok(File::from(fd))
}

/// Adds attributes (`MOUNT_ATTR_*`) to the one mount `fd` stands for.
pub(crate) fn set_mount_attributes(fd: impl AsFd, attributes: u64, recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    mount_setattr(fd.as_fd().as_raw_fd(), c"", flags, attributes)
}

/// The same for the mount at a path.
pub(crate) fn set_attributes_at(path: &Path, attributes: u64) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    mount_setattr(libc::AT_FDCWD, &path, 0, attributes)
}

fn mount_setattr(directory: RawFd, path: &CStr, flags: libc::c_int, attributes: u64) -> io::Result<()> {
    let attr = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: path is a valid C string, attr a valid struct of the given size, both outlive the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory,
            path.as_ptr(),
            flags,
            std::ptr::from_ref(&attr),
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Switches the loopback device of this network namespace on.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: all bytes zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which outlives the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, std::ptr::from_ref(&request)) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Leaves the host's session keyring for an empty one of its own. A kernel without keyrings has nothing to leave.
pub(crate) fn own_keyring() {
    // SAFETY: KEYCTL_JOIN_SESSION_KEYRING with a null name makes an anonymous keyring; no memory is touched.
    unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
}

/// How a driver's file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    /// In a way that the kernel unpacks itself (Linux 5.17).
    Compressed,
}

/// Loads a driver into the kernel of this machine.
pub(crate) fn load_module(file: &File, packing: Packing) -> io::Result<()> {
    /// MODULE_INIT_COMPRESSED_FILE (finit_module(2)).
    const COMPRESSED: libc::c_int = 4;
    let flags = match packing {
        Packing::Plain => 0,
        Packing::Compressed => COMPRESSED,
    };
    // SAFETY: the parameters are a C string, and the descriptor is open during the call.
    let done = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), flags) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Silences the console of this machine: its host keeps what was said while it started, and need not hear the rest.
pub(crate) fn silence_console() {
    const CONSOLE_OFF: libc::c_int = 6;
    // SAFETY: this action of syslog(2) takes no memory. A kernel without a console has nothing to silence.
    unsafe { libc::syscall(libc::SYS_syslog, CONSOLE_OFF, std::ptr::null::<libc::c_char>(), 0) };
}

/// Takes every capability out of the bounding set except `kept` (bits by number).
pub(crate) fn bound_capabilities(kept: u64) -> io::Result<()> {
    for capability in (0..64).filter(|capability| kept & (1 << capability) == 0) {
        // SAFETY: PR_CAPBSET_READ takes a number and touches no memory.
        match unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) } {
            // Somebody has taken it out already, after which even asking again may not be allowed.
            0 => continue,
            1 => {}
            // The first number the kernel does not know ends the list.
            _ => return Ok(()),
        }
        // SAFETY: PR_CAPBSET_DROP takes a number and touches no memory.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            let error = io::Error::last_os_error();
            // The first number the kernel does not know ends the list.
            return if error.raw_os_error() == Some(libc::EINVAL) { Ok(()) } else { Err(error) };
        }
    }
    Ok(())
}

/// Ignores a signal in this process. Commands get the default back before they start.
pub(crate) fn ignore(signal: libc::c_int) {
    // SAFETY: SIG_IGN installs no handler.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Sets the limit of one resource, soft and hard, but never above the present hard limit.
///
/// Called between fork and exec: async-signal-safe.
pub(crate) fn limit_resource(resource: libc::__rlimit_resource_t, value: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is valid and outlives the call.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    let value = value.min(limit.rlim_max);
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: as above.
    unsafe { libc::setrlimit(resource, &raw const limit) };
}

/// The name this process shows in `ps`.
pub(crate) fn set_name(name: &CStr) {
    // SAFETY: PR_SET_NAME reads a C string, which outlives the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// Makes the terminal `fd` the controlling one of this session. Async-signal-safe.
pub(crate) fn take_terminal(fd: libc::c_int) {
    // SAFETY: TIOCSCTTY takes a number.
    unsafe { libc::ioctl(fd, libc::TIOCSCTTY, 0) };
}
