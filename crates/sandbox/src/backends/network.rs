//! A network namespace in which every address is local, and the border's sockets in it, made from outside.
//!
//! For backends whose guest cannot do this itself because it does not live in a network namespace of the host's kernel.
#![allow(unsafe_code, reason = "switching an interface on has no safe wrapper")]

use std::{
    ffi::CStr,
    fs::File,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use hangar_protocol::guest::{BORDER_PORTS, DNS_PORT};
use rustix::{
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, listen, recv, send, socket_with, sockopt,
    },
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::{border::Border, error::Error};

pub(crate) mod cable;

/// Connections that may wait to be accepted at one port.
const BACKLOG: i32 = 128;

/// Sets a new network namespace up and opens the border in it. Called within the runtime.
pub(crate) async fn open(namespace: OwnedFd) -> Result<Border, Error> {
    let what = "open the border of a sandbox";
    let started = std::time::Instant::now();
    let (done, opened) = tokio::sync::oneshot::channel();
    let inside = namespace.try_clone().map_err(Error::kernel(what))?;
    // The thread enters the namespace for good, so it is one of its own and ends here.
    std::thread::Builder::new()
        .name("hangar-border".into())
        .spawn(move || drop(done.send(prepare(&inside))))
        .map_err(Error::kernel(what))?;
    let sockets = opened.await.map_err(|_| Error::Gone)?.map_err(Error::kernel(what))?;
    Border::assemble(sockets, namespace, started.elapsed()).map_err(Error::kernel(what))
}

/// TCP listeners in the order of [`BORDER_PORTS`], then the socket for DNS.
fn prepare(namespace: &OwnedFd) -> io::Result<Vec<OwnedFd>> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    furnish()
}

/// Makes every address local in the calling thread's network namespace and opens the border there.
fn furnish() -> io::Result<Vec<OwnedFd>> {
    switch_on(c"lo")?;
    make_all_local()?;
    let mut sockets = Vec::with_capacity(BORDER_PORTS.len() + 1);
    for port in BORDER_PORTS {
        let socket = bound(SocketType::STREAM, *port)?;
        listen(&socket, BACKLOG)?;
        sockets.push(socket);
    }
    sockets.push(bound(SocketType::DGRAM, DNS_PORT)?);
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

/// Switches a device on.
fn switch_on(device: &CStr) -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut request = request(device);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which outlives the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, std::ptr::from_ref(&request)) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A request about a device.
fn request(device: &CStr) -> libc::ifreq {
    // SAFETY: all bytes zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(device.to_bytes()) {
        *to = *from as libc::c_char;
    }
    request
}

const NEW_ROUTE: u16 = 24;
const REQUEST_ACK_CREATE: u16 = 0x1 | 0x4 | 0x400;
const TABLE_LOCAL: u8 = 255;
const PROTOCOL_BOOT: u8 = 3;
const SCOPE_HOST: u8 = 254;
const SCOPE_UNIVERSE: u8 = 0;
const TYPE_LOCAL: u8 = 2;
const TYPE_UNICAST: u8 = 1;
const SCOPE_LINK: u8 = 253;
const DESTINATION: u16 = 1;
const OUTPUT_INTERFACE: u16 = 4;
/// Of a message of netlink(7).
const HEADER_BYTES: usize = 16;
/// In a new network namespace loopback is the first interface.
const LOOPBACK: u32 = 1;

/// Adds `local 0.0.0.0/0 dev lo` and `local ::/0 dev lo` (rtnetlink(7)).
fn make_all_local() -> io::Result<()> {
    let socket = routing()?;
    let everything = |family, scope| Route { family, to: &[], scope, kind: TYPE_LOCAL, device: LOOPBACK };
    everything(libc::AF_INET, SCOPE_HOST).add(&socket)?;
    // A kernel without IP version 6 has no addresses of it to make local.
    let _ = everything(libc::AF_INET6, SCOPE_UNIVERSE).add(&socket);
    Ok(())
}

/// A socket that takes orders about routes.
fn routing() -> io::Result<OwnedFd> {
    // Protocol 0 of this family is routing.
    Ok(socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?)
}

/// A route of the table of local addresses, which is asked first.
struct Route<'a> {
    family: libc::c_int,
    /// One address; every address when empty.
    to: &'a [u8],
    scope: u8,
    kind: u8,
    device: u32,
}

impl Route<'_> {
    fn add(&self, socket: &OwnedFd) -> io::Result<()> {
        let family = u8::try_from(self.family).map_err(io::Error::other)?;
        let bits = u8::try_from(self.to.len() * 8).map_err(io::Error::other)?;
        let mut body = vec![family, bits, 0, 0, TABLE_LOCAL, PROTOCOL_BOOT, self.scope, self.kind];
        body.extend([0; 4]); // flags
        if !self.to.is_empty() {
            attribute(&mut body, DESTINATION, self.to)?;
        }
        attribute(&mut body, OUTPUT_INTERFACE, &self.device.to_ne_bytes())?;
        let size = u32::try_from(HEADER_BYTES + body.len()).map_err(io::Error::other)?;
        let mut message = size.to_ne_bytes().to_vec();
        message.extend(NEW_ROUTE.to_ne_bytes());
        message.extend(REQUEST_ACK_CREATE.to_ne_bytes());
        message.extend([0; 8]); // sequence and port
        message.extend(body);
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
}

/// Adds an attribute of at most 16 bytes, all of which come in fours.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) -> io::Result<()> {
    body.extend(u16::try_from(4 + value.len()).map_err(io::Error::other)?.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    Ok(())
}
