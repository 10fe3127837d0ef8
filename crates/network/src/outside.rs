//! The host's side: finding the addresses of a name, and connecting to one that has been checked. Shared by all sandboxes.
//!
//! The address that is checked is the address that is connected to: nothing looks the name up again in between.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    addresses::{AddressKind, kind_of},
    host::{HostName, Target},
    limits::{ADDRESSES_TRIED_MAX, CONNECT_TIME_MAX, HELLO_TIME_MAX, RESOLVE_TIME_MAX},
    policy::Policy,
};

/// HTTP/2 in TLS's list of protocols.
pub(crate) const H2: &[u8] = b"h2";
/// HTTP/1.1 in TLS's list of protocols.
pub(crate) const HTTP_1: &[u8] = b"http/1.1";

/// How the host reaches the network.
#[derive(Debug, Clone)]
pub struct OutsideConfig {
    /// Who knows names.
    pub resolvers: Resolvers,
    /// Certificate authorities (PEM) that are trusted besides the machine's own, for a mirror with one of its own.
    pub authorities_pem: Vec<u8>,
}

/// Who is asked for the addresses of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolvers {
    /// As `/etc/resolv.conf` and `/etc/hosts` of the machine say.
    System,
    /// These name servers.
    Servers(Vec<SocketAddr>),
}

/// The host's side of the network. Make one for the whole program; cheap to clone.
#[derive(Clone)]
pub struct Outside(Arc<Inner>);

struct Inner {
    resolver: TokioResolver,
    both: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
    http_1: Arc<ClientConfig>,
}

/// The host's side cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// Names.
    #[error(
        "The machine's name servers cannot be used: {0}. Check /etc/resolv.conf, or name servers in hangar's configuration."
    )]
    Resolver(String),
    /// Certificates.
    #[error("A certificate authority of hangar's configuration cannot be read: {0}. It must be a PEM file.")]
    Authority(String),
    /// TLS.
    #[error("TLS cannot be set up: {0}.")]
    Tls(#[from] rustls::Error),
}

/// A connection to the outside was not made.
#[derive(Debug)]
pub(crate) enum DialError {
    /// All of the name's addresses are refused; this is the first.
    Forbidden(AddressKind),
    /// Nobody knows the name.
    Unresolved(String),
    /// It did not accept.
    Unreachable(io::Error),
    /// The server's certificate is not good, or it does not speak TLS.
    Tls(io::Error),
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outside(…)")
    }
}

impl Outside {
    /// Sets it up. Reads files, asks nobody.
    pub fn new(config: &OutsideConfig) -> Result<Self, OutsideError> {
        let roots = roots(&config.authorities_pem)?;
        let tls = |protocols: &[&[u8]]| -> Result<Arc<ClientConfig>, OutsideError> {
            let mut made = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(Arc::clone(&roots))
                .with_no_client_auth();
            made.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Ok(Arc::new(made))
        };
        Ok(Self(Arc::new(Inner {
            resolver: resolver(&config.resolvers)?,
            both: tls(&[H2, HTTP_1])?,
            h2: tls(&[H2])?,
            http_1: tls(&[HTTP_1])?,
        })))
    }

    /// Connects to a target that the policy allows.
    pub(crate) async fn dial(&self, policy: &Policy, target: &Target, port: u16) -> Result<TcpStream, DialError> {
        let addresses = self.addresses(target).await?;
        let mut refused = None;
        let mut last = None;
        let mut tried = 0;
        for address in addresses {
            if let Some(kind) = refusal(policy, target, address) {
                refused = refused.or(Some(kind));
                continue;
            }
            tried += 1;
            if tried > ADDRESSES_TRIED_MAX {
                break;
            }
            match connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(match (last, refused) {
            (Some(error), _) => DialError::Unreachable(error),
            (None, Some(kind)) => DialError::Forbidden(kind),
            (None, None) => DialError::Unresolved("the name has no address".to_owned()),
        })
    }

    /// TLS over a connection, with the server's certificate checked for `name`. `offered` is what the client in the sandbox speaks.
    pub(crate) async fn secure(
        &self,
        stream: TcpStream,
        name: &HostName,
        offered: &[Vec<u8>],
    ) -> Result<TlsStream<TcpStream>, DialError> {
        let offers = |protocol: &[u8]| offered.iter().any(|one| one == protocol);
        let config = match (offers(H2), offers(HTTP_1)) {
            (true, true) => &self.0.both,
            (true, false) => &self.0.h2,
            (false, _) => &self.0.http_1,
        };
        let server = ServerName::try_from(name.to_string()).map_err(|error| DialError::Tls(io::Error::other(error)))?;
        let connecting = TlsConnector::from(Arc::clone(config)).connect(server, stream);
        match timeout(HELLO_TIME_MAX, connecting).await {
            Ok(secured) => secured.map_err(DialError::Tls),
            Err(_) => Err(DialError::Tls(io::ErrorKind::TimedOut.into())),
        }
    }

    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, DialError> {
        let name = match target {
            Target::Address(address) => return Ok(vec![*address]),
            Target::Name(name) => name,
        };
        // With its final dot no search domain of the host is tried.
        let looking = self.0.resolver.lookup_ip(format!("{name}."));
        match timeout(RESOLVE_TIME_MAX, looking).await {
            Ok(Ok(found)) => Ok(found.iter().collect()),
            Ok(Err(error)) => Err(DialError::Unresolved(error.to_string())),
            Err(_) => Err(DialError::Unresolved("no name server answered in time".to_owned())),
        }
    }
}

/// Why an address is not connected to, unless the operator trusts it for this name.
fn refusal(policy: &Policy, target: &Target, address: IpAddr) -> Option<AddressKind> {
    let kind = kind_of(address).or_else(|| is_own(address).then_some(AddressKind::Own))?;
    (!policy.trusts(target, address)).then_some(kind)
}

/// Whether this machine answers at the address: it is one of an interface, or is routed here like one.
fn is_own(address: IpAddr) -> bool {
    let interfaces = match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces,
        // What cannot be known is refused.
        Err(error) => {
            tracing::error!(%error, "the machine's own addresses cannot be listed; nothing outside can be reached");
            return true;
        }
    };
    interfaces.iter().any(|interface| interface.ip() == address) || leads_here(address).unwrap_or(false)
}

/// The kernel sends to a local address from that same address. Nothing is sent by connecting a datagram socket.
fn leads_here(address: IpAddr) -> io::Result<bool> {
    const DISCARD: u16 = 9;
    let any = match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((address, DISCARD))?;
    Ok(socket.local_addr()?.ip() == address)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream =
        timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    if stream.peer_addr()? != address {
        return Err(io::Error::other("connected to another address than the one that was checked"));
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn resolver(resolvers: &Resolvers) -> Result<TokioResolver, OutsideError> {
    let words = |error: hickory_resolver::net::NetError| OutsideError::Resolver(error.to_string());
    let builder = match resolvers {
        Resolvers::System => TokioResolver::builder_tokio().map_err(words)?,
        Resolvers::Servers(servers) => {
            let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    builder.build().map_err(words)
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn roots(extra_pem: &[u8]) -> Result<Arc<RootCertStore>, OutsideError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "one of the machine's trusted certificates cannot be read");
    }
    let (_, unusable) = roots.add_parsable_certificates(native.certs);
    if unusable > 0 {
        tracing::debug!(unusable, "some of the machine's trusted certificates cannot be used");
    }
    for certificate in CertificateDer::pem_slice_iter(extra_pem) {
        let certificate = certificate.map_err(|error| OutsideError::Authority(error.to_string()))?;
        roots.add(certificate).map_err(|error| OutsideError::Authority(error.to_string()))?;
    }
    if roots.is_empty() {
        tracing::warn!(
            "the machine trusts no certificate authority; install ca-certificates to reach https hosts with credentials"
        );
    }
    Ok(Arc::new(roots))
}
