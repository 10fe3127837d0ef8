//! hangar's end of a sandbox's network.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use tokio::net::{TcpListener, UdpSocket};

use crate::error::Error;

/// Connections that may wait to be accepted at one port.
const BACKLOG: i32 = 128;

/// Sockets that live in a sandbox's network namespace and belong to hangar.
///
/// Every address is local in there, so the accepted stream's `local_addr()` is what the command wanted to reach. Sockets serve both families: an address of
/// IP version 4 comes as `::ffff:a.b.c.d` (see [`to_canonical`](std::net::IpAddr::to_canonical)). A port without a socket refuses at once. The namespace lives until all of
/// this is dropped.
#[derive(Debug)]
pub struct Border {
    /// One for each of [`BORDER_PORTS`](hangar_protocol::guest::BORDER_PORTS), in that order.
    pub tcp: Vec<TcpListener>,
    /// Questions for names, at port 53 of every address. An answer must come from the address that was asked: set `IPV6_RECVPKTINFO`.
    pub dns: UdpSocket,
    /// For sockets that are opened later.
    pub opener: Opener,
    /// How long the guest took to make every address local and to open these sockets.
    pub made_in: Duration,
}

impl Border {
    /// A border of TCP listeners in their order, the socket for DNS last.
    pub(crate) fn assemble(mut sockets: Vec<OwnedFd>, namespace: OwnedFd, made_in: Duration) -> io::Result<Self> {
        let dns = sockets.pop().ok_or(io::ErrorKind::InvalidData)?;
        let tcp = sockets.into_iter().map(|socket| TcpListener::from_std(std::net::TcpListener::from(socket)));
        Ok(Self {
            tcp: tcp.collect::<io::Result<_>>()?,
            dns: UdpSocket::from_std(std::net::UdpSocket::from(dns))?,
            opener: Opener { namespace },
            made_in,
        })
    }

    /// Takes the listener of this port out.
    pub fn take(&mut self, port: u16) -> Option<TcpListener> {
        let found =
            self.tcp.iter().position(|socket| socket.local_addr().is_ok_and(|address| address.port() == port))?;
        Some(self.tcp.swap_remove(found))
    }

    /// Listens at one more port of every address.
    ///
    /// # Errors
    /// When the port is taken, or the sandbox and all its sockets are gone.
    pub async fn listen(&self, port: u16) -> Result<TcpListener, Error> {
        self.opener.listen(port).await
    }
}

/// Opens sockets in a sandbox's network namespace.
#[derive(Debug)]
pub struct Opener {
    /// The network namespace; rootless, behind the user namespace which it belongs to.
    pub(crate) namespace: OwnedFd,
}

impl Opener {
    /// Listens at a port of every address.
    ///
    /// # Errors
    /// When the port is taken, or this process may not enter the namespace (rootless).
    pub async fn listen(&self, port: u16) -> Result<TcpListener, Error> {
        let what = || format!("listen at port {port} in a sandbox");
        let namespace = self.namespace.try_clone().map_err(Error::kernel(what()))?;
        let (done, opened) = tokio::sync::oneshot::channel();
        // The thread enters the namespace for good, so it is one of its own and ends here.
        std::thread::Builder::new()
            .name("hangar-border".into())
            .spawn(move || drop(done.send(open(&namespace, port))))
            .map_err(Error::kernel(what()))?;
        let socket = opened.await.map_err(|_| Error::Gone)?.map_err(Error::kernel(what()))?;
        TcpListener::from_std(std::net::TcpListener::from(socket)).map_err(Error::kernel(what()))
    }
}

fn open(namespace: &OwnedFd, port: u16) -> io::Result<OwnedFd> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = match socket_with(AddressFamily::INET6, SocketType::STREAM, flags, None) {
        Ok(socket) => {
            sockopt::set_ipv6_v6only(&socket, false)?;
            bind(&socket, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
            socket
        }
        Err(_) => {
            let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
            bind(&socket, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
            socket
        }
    };
    listen(&socket, BACKLOG)?;
    Ok(socket)
}
