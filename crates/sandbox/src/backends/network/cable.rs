//! A network between a machine and the border: a network namespace of its own with one tap device, whose other end is the machine's card.
//!
//! ```text
//!   machine ── card ══ cable (descriptor) ══ tap ── every address is local here ── the border's sockets
//! ```
//!
//! The machine's own address has a route to the tap that is narrower than the one which makes everything local, so answers find their way back, and packets
//! with another sender's address are dropped.
#![allow(unsafe_code, reason = "making a tap device and a network namespace has no safe wrapper")]

use std::time::{Duration, Instant};

use hangar_protocol::guest::setup::{MACHINE_ADDRESS, MACHINE_BORDER};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::{
    AddressFamily, AsRawFd, Border, CStr, Error, File, OwnedFd, Route, SCOPE_LINK, SocketFlags, SocketType,
    TYPE_UNICAST, furnish, io, request, routing, socket_with, switch_on,
};

/// The name of the device in its namespace.
const TAP: &CStr = c"tap0";

/// Both ends.
pub(crate) struct Cable {
    /// What the machine's card is made from.
    pub end: OwnedFd,
    namespace: OwnedFd,
    sockets: Vec<OwnedFd>,
    made_in: Duration,
}

impl Cable {
    /// Lays a cable in a network namespace of its own.
    pub(crate) async fn lay() -> Result<Self, Error> {
        let what = "make the network of a machine";
        let started = Instant::now();
        let (done, laid) = tokio::sync::oneshot::channel();
        // The thread enters the namespace for good, so it is one of its own and ends here.
        std::thread::Builder::new()
            .name("hangar-cable".into())
            .spawn(move || drop(done.send(lay(started))))
            .map_err(Error::kernel(what))?;
        laid.await.map_err(|_| Error::Gone)?.map_err(Error::kernel(what))
    }

    /// What the machine gets, and what hangar keeps. Called within the runtime.
    pub(crate) fn open(self) -> Result<(OwnedFd, Border), Error> {
        let border = Border::assemble(self.sockets, self.namespace, self.made_in);
        Ok((self.end, border.map_err(Error::kernel("open the border of a machine"))?))
    }
}

fn lay(started: Instant) -> io::Result<Cable> {
    // SAFETY: NEWNET changes only where this thread makes sockets; descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    let namespace = OwnedFd::from(File::open("/proc/thread-self/ns/net")?);
    let end = tap()?;
    switch_on(TAP)?;
    let device = rustix::net::netdevice::name_to_index(routing()?, &TAP.to_string_lossy())?;
    address()?;
    let back =
        Route { family: libc::AF_INET, to: &MACHINE_ADDRESS.octets(), scope: SCOPE_LINK, kind: TYPE_UNICAST, device };
    back.add(&routing()?)?;
    Ok(Cable { end, namespace, sockets: furnish()?, made_in: started.elapsed() })
}

/// A tap device of this network namespace, which goes when its descriptor is closed.
fn tap() -> io::Result<OwnedFd> {
    let end = OwnedFd::from(File::options().read(true).write(true).open("/dev/net/tun")?);
    let mut wanted = request(TAP);
    wanted.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which outlives the call.
    let done = unsafe { libc::ioctl(end.as_raw_fd(), libc::TUNSETIFF, std::ptr::from_mut(&mut wanted)) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    rustix::io::ioctl_fionbio(&end, true)?;
    Ok(end)
}

/// Gives the tap the border's address, so that the kernel answers for it on this link.
fn address() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut wanted = request(TAP);
    let mut general = libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: [0; 14] };
    // Family and port come first.
    for (to, from) in general.sa_data[2..].iter_mut().zip(MACHINE_BORDER.octets()) {
        *to = from as libc::c_char;
    }
    wanted.ifr_ifru.ifru_addr = general;
    // SAFETY: SIOCSIFADDR reads one ifreq, which outlives the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR, std::ptr::from_ref(&wanted)) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
