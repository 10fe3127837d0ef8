//! This server's own API, for parts of it that are clients of it in somebody's name.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::OnceLock,
};

use hangar_client::Client;

/// The way to the API. The client is made when it is first needed: it takes 2 MiB, and many servers never need it.
pub(crate) struct OwnApi {
    url: String,
    client: OnceLock<Client>,
}

impl OwnApi {
    /// Of a server that listens at `address`.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { url: format!("http://{}", reachable(address)), client: OnceLock::new() }
    }

    /// A client that says nothing about who asks: see [`Client::in_the_name_of`].
    ///
    /// # Errors
    /// When none can be made.
    pub(crate) fn client(&self) -> Result<Client, hangar_client::Error> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = Client::stranger(&self.url)?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

/// An address that this machine reaches: one that means every interface is no place to send something to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
