//! Serving the sockets of one sandbox.

use std::{fmt, io, net::SocketAddr, sync::Arc, sync::Mutex, time::Duration};

use quinn_udp::UdpSocketState;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Semaphore, mpsc, watch},
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    authority::Authority,
    behalf::Behalf,
    denials::{Denial, DenialReason, Denials},
    dns_sockets::{self, Allowance, DNS_PORT},
    inner::Inner,
    limits::{CONNECTIONS_MAX, DENIALS_LOOKED_AFTER},
    names::Names,
    outside::Outside,
    policy::{HTTP_PORT, HTTPS_PORT, Policy},
    serve_http, splice, tls,
    traffic::{Crossing, Shared},
};

/// The sockets of a sandbox's network namespace, all bound to every address. What a listener speaks follows from its port:
/// 53 DNS, 80 HTTP, 443 TLS, any other whatever the rules allow there.
#[derive(Debug)]
pub struct Sockets {
    /// TCP listeners.
    pub tcp: Vec<TcpListener>,
    /// The UDP sockets of port 53, one for IPv4 and one for IPv6 or one for both.
    pub dns: Vec<UdpSocket>,
}

/// A sandbox's network cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket does not do what is needed.
    #[error("a socket of the sandbox's network cannot be used: {0}")]
    Socket(#[from] io::Error),
}

/// A sandbox's network that is being served. Dropping it ends it, with every connection.
pub struct Network {
    shared: Arc<Shared>,
    allowance: Arc<Allowance>,
}

/// How long to wait when a connection cannot be accepted, for lack of descriptors as a rule.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

impl Network {
    /// Serves the sockets until [`Network::close`] or drop. `policy` may change at any time. `denials` should be read all the
    /// time; while it is full, counts gather here. `authority` is the one whose certificate the sandbox trusts.
    pub fn serve(
        sockets: Sockets,
        outside: Outside,
        authority: Authority,
        policy: watch::Receiver<Arc<Policy>>,
        denials: mpsc::Sender<Denial>,
        inner: Inner,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            outside,
            authority,
            denials: Denials::new(policy.clone(), denials),
            policy,
            inner,
            names: Mutex::new(Names::new()),
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        });
        let network = Self { shared, allowance: Arc::new(Allowance::new()) };
        for socket in sockets.dns {
            if socket.local_addr()?.is_ipv6() {
                // An IPv6 address that is local by its route alone is not one a datagram may come from otherwise.
                SockRef::from(&socket).set_freebind_v6(true)?;
            }
            let state = UdpSocketState::new((&socket).into())?;
            let (shared, allowance) = (Arc::clone(&network.shared), Arc::clone(&network.allowance));
            network.shared.tasks.spawn(dns_sockets::datagrams(socket, state, shared, allowance));
        }
        for listener in sockets.tcp {
            network.listen(listener)?;
        }
        network.shared.tasks.spawn(tell_denials(Arc::clone(&network.shared)));
        Ok(network)
    }

    /// Serves one more listener: a port that the rules have come to name ([`Policy::ports`]).
    pub fn listen(&self, listener: TcpListener) -> Result<(), Error> {
        listener.local_addr()?;
        let (shared, allowance) = (Arc::clone(&self.shared), Arc::clone(&self.allowance));
        self.shared.tasks.spawn(accept(listener, shared, allowance));
        Ok(())
    }

    /// The border, as hangar itself crosses it on the sandbox's behalf.
    #[must_use]
    pub fn behalf(&self) -> Behalf {
        Behalf::of(&self.shared)
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        CONNECTIONS_MAX - self.shared.places.available_permits()
    }

    /// Ends every connection and waits until nothing runs any more. The sockets are closed then.
    pub async fn close(self) {
        self.shared.closing.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.closing.cancel();
        self.shared.tasks.close();
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("connections", &self.connections()).finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, allowance: Arc<Allowance>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.closing.cancelled() => return,
        };
        let arrived = accepted.and_then(|(stream, _)| {
            let address = stream.local_addr()?;
            stream.set_nodelay(true)?;
            Ok((stream, address))
        });
        match arrived {
            Ok((stream, address)) => arrive(stream, address, &shared, &allowance),
            Err(error) => {
                tracing::debug!(%error, "a sandbox's connection could not be accepted");
                sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

fn arrive(stream: TcpStream, address: SocketAddr, shared: &Arc<Shared>, allowance: &Arc<Allowance>) {
    let port = address.port();
    let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
        shared.denials.count_unnamed(port, DenialReason::TooManyConnections);
        return splice::reset(stream);
    };
    let target = shared.target(address.ip());
    let crossing = Arc::new(Crossing::new(Arc::clone(shared), target, port, place));
    let allowance = Arc::clone(allowance);
    shared.tasks.spawn(async move {
        match port {
            DNS_PORT => dns_sockets::stream(stream, Arc::clone(&crossing.shared), allowance).await,
            HTTP_PORT => serve_http::plain(stream, crossing).await,
            HTTPS_PORT => tls::serve(stream, crossing).await,
            _ if crossing.injects() => tls::serve(stream, crossing).await,
            _ => splice::serve(stream, crossing).await,
        }
    });
}

async fn tell_denials(shared: Arc<Shared>) {
    let mut ticks = interval(DENIALS_LOOKED_AFTER);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => shared.denials.flush(),
            () = shared.closing.cancelled() => return shared.denials.flush(),
        }
    }
}
