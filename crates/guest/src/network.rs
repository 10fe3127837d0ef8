//! The slot's network: loopback alone, with every address in the world local to it, and the border's sockets.
//!
//! Because every address is local ("AnyIP"), whatever a command connects to is accepted by the border's listener of that port, and the accepted
//! socket's own address is the one that was asked for. Other ports are refused at once. The sockets belong to the host from the start; the guest keeps none.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
};

use hangar_protocol::guest::DNS_PORT;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, listen, recv, send, socket_with, sockopt,
};

use crate::{
    fault::SetupError,
    guard::{Guard, stands},
    kernel,
};

/// Connections that may wait to be accepted at one port.
const BACKLOG: i32 = 128;

/// The border's sockets: TCP listeners in the order that was asked for, then the one for DNS.
pub(crate) type Sockets = Vec<OwnedFd>;

/// Sets the network namespace up.
pub(crate) fn prepare(ports: &[u16]) -> Result<Sockets, SetupError> {
    if stands(Guard::Network) {
        kernel::loopback_up().map_err(SetupError::at("switch loopback on"))?;
        make_all_local().map_err(SetupError::at("make every address local"))?;
    }
    let mut sockets = Vec::with_capacity(ports.len() + 1);
    for port in ports {
        // In the host's own network, where no guard stands, any port will do.
        let port = if stands(Guard::Network) && stands(Guard::BorderPorts) { port } else { &0 };
        let what = || format!("listen at port {port}");
        let socket = bound(SocketType::STREAM, *port).map_err(SetupError::at(what()))?;
        listen(&socket, BACKLOG).map_err(SetupError::at(what()))?;
        sockets.push(socket);
    }
    if !ports.is_empty() {
        sockets.push(
            bound(SocketType::DGRAM, if stands(Guard::Network) { DNS_PORT } else { 0 })
                .map_err(SetupError::at("listen for DNS"))?,
        );
    }
    Ok(sockets)
}

/// A socket at every address of both families; of version 4 alone where the kernel has no version 6.
fn bound(kind: SocketType, port: u16) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let both = socket_with(AddressFamily::INET6, kind, flags, None).and_then(|socket| {
        sockopt::set_ipv6_v6only(&socket, false)?;
        bind(&socket, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
        Ok(socket)
    });
    both.or_else(|_| {
        let socket = socket_with(AddressFamily::INET, kind, flags, None)?;
        bind(&socket, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
        Ok(socket)
    })
    .map_err(|error: rustix::io::Errno| error.into())
}

const NEW_ROUTE: u16 = 24;
const REQUEST_ACK_CREATE: u16 = 0x1 | 0x4 | 0x400;
const TABLE_LOCAL: u8 = 255;
const PROTOCOL_BOOT: u8 = 3;
const SCOPE_HOST: u8 = 254;
const SCOPE_UNIVERSE: u8 = 0;
const TYPE_LOCAL: u8 = 2;
const OUTPUT_INTERFACE: u16 = 4;
/// In a new network namespace loopback is the first interface.
const LOOPBACK: u32 = 1;

/// Adds `local 0.0.0.0/0 dev lo` and `local ::/0 dev lo` (rtnetlink(7)).
fn make_all_local() -> io::Result<()> {
    // Protocol 0 of this family is routing.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    add_local_route(&socket, libc::AF_INET, SCOPE_HOST)?;
    // A kernel without IP version 6 has no addresses of it to make local.
    let _ = add_local_route(&socket, libc::AF_INET6, SCOPE_UNIVERSE);
    Ok(())
}

fn add_local_route(socket: &OwnedFd, family: libc::c_int, scope: u8) -> io::Result<()> {
    let family = u8::try_from(family).map_err(io::Error::other)?;
    let mut message = Vec::with_capacity(36);
    message.extend(36u32.to_ne_bytes());
    message.extend(NEW_ROUTE.to_ne_bytes());
    message.extend(REQUEST_ACK_CREATE.to_ne_bytes());
    message.extend([0; 8]); // sequence and port
    message.extend([family, 0, 0, 0, TABLE_LOCAL, PROTOCOL_BOOT, scope, TYPE_LOCAL]);
    message.extend([0; 4]); // flags
    message.extend(8u16.to_ne_bytes());
    message.extend(OUTPUT_INTERFACE.to_ne_bytes());
    message.extend(LOOPBACK.to_ne_bytes());
    send(socket, &message, SendFlags::empty())?;
    let mut answer = [0u8; 256];
    let (size, _) = recv(socket, &mut answer, RecvFlags::empty())?;
    // struct nlmsghdr, then the negative error number; 0 is the acknowledgement.
    let code = answer.get(16..20).filter(|_| size >= 20).and_then(|bytes| bytes.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::other("the kernel's answer is too short")),
    }
}
