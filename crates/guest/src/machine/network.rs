//! A machine's network: one card, whose other end is the border's.
//!
//! Everything is sent to the border's address on this link; what lies behind has every address (`crates/sandbox/src/backends/network.rs`). IP version 6 has no
//! route: it is refused at once.
#![allow(unsafe_code, reason = "addresses and routes are set by ioctl, which has no safe wrapper")]

use std::{
    fs, io,
    net::Ipv4Addr,
    os::fd::{AsRawFd, OwnedFd},
};

use hangar_protocol::guest::setup::{MACHINE_ADDRESS, MACHINE_BORDER, MACHINE_NETWORK_BITS};
use rustix::net::{AddressFamily, SocketType, socket};

use crate::fault::SetupError;

/// The card. There is no program that would name it otherwise.
const CARD: &[u8] = b"eth0";

/// Gives the card its address, and sends everything to the border.
pub(super) fn connect() -> Result<(), SetupError> {
    // Routers are not asked for addresses: there are none.
    let _ = fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    configure().map_err(SetupError::at("connect the machine's network"))
}

fn configure() -> io::Result<()> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let netmask = Ipv4Addr::from_bits(u32::MAX << (32 - MACHINE_NETWORK_BITS));
    for (request, address) in [(libc::SIOCSIFADDR, MACHINE_ADDRESS), (libc::SIOCSIFNETMASK, netmask)] {
        let mut card = card();
        card.ifr_ifru.ifru_addr = in_general(address);
        tell(&socket, request, &card)?;
    }
    let mut card = card();
    card.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    tell(&socket, libc::SIOCSIFFLAGS, &card)?;
    // SAFETY: all bytes zero is a valid rtentry, with no device and no metric.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = in_general(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = in_general(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = in_general(MACHINE_BORDER);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    tell(&socket, libc::SIOCADDRT, &route)
}

fn tell<T>(socket: &OwnedFd, request: libc::Ioctl, what: &T) -> io::Result<()> {
    // SAFETY: each of these requests reads one struct of the kind that is passed with it, which outlives the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), request, std::ptr::from_ref(what)) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn card() -> libc::ifreq {
    // SAFETY: all bytes zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(CARD) {
        *to = *from as libc::c_char;
    }
    request
}

/// An address as the general struct has it: family, port 0, four bytes.
fn in_general(address: Ipv4Addr) -> libc::sockaddr {
    let mut general = libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: [0; 14] };
    for (to, from) in general.sa_data[2..].iter_mut().zip(address.octets()) {
        *to = from as libc::c_char;
    }
    general
}
