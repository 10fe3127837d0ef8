//! The few kernel calls that no safe crate offers.
#![allow(unsafe_code, reason = "these calls take raw descriptors and structs; each is wrapped here once")]

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
};

use hangar_protocol::guest::SOCKET_FD;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

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
    let attr = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: path is a valid C string, attr a valid struct of the given size, both outlive the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_fd().as_raw_fd(),
            c"".as_ptr(),
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

/// Loads a driver into the kernel of this machine.
pub(crate) fn load_module(file: &File) -> io::Result<()> {
    // SAFETY: the parameters are a C string, and the descriptor is open during the call.
    let done = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
