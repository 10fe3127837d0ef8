//! Takes connections and serves them until the server is told to stop.

use std::{net::SocketAddr, pin::pin, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

/// How long a client may take to send a request's head, so that one who sends nothing holds no connection for long.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// How long what was sent may stay unacknowledged by the peer's machine, in milliseconds (`TCP_USER_TIMEOUT`, RFC 5482).
const UNACKNOWLEDGED_MAX_MS: u32 = 60_000;
/// How long open requests may take to end once the server was told to stop.
const FAREWELL_MAX: Duration = Duration::from_secs(10);
/// Pause after the machine had no descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// When connections end.
#[derive(Clone, Default)]
struct Ends {
    /// After the request that is being answered.
    soon: CancellationToken,
    /// At once.
    now: CancellationToken,
}

/// Serves until `stop`, then waits for what is open, at most [`FAREWELL_MAX`].
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let open = TaskTracker::new();
    let ends = Ends { soon: stop.clone(), now: CancellationToken::new() };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((connection, from)) => {
                    open.spawn(serve_one(connection, from, router.clone(), ends.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    open.close();
    if timeout(FAREWELL_MAX, open.wait()).await.is_err() {
        tracing::warn!(connections = open.len(), "some requests did not end in time and are cut off");
        ends.now.cancel();
        open.wait().await;
    }
}

async fn serve_one(connection: TcpStream, from: SocketAddr, router: Router, ends: Ends) {
    // Streamed frames are small and must not wait for one another. A socket that refuses is slower, nothing else.
    let _ = connection.set_nodelay(true);
    // The kernel gives up a peer that acknowledges nothing: cables are pulled without a farewell.
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&connection, UNACKNOWLEDGED_MAX_MS);
    let service = TowerToHyperService::new(router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(from));
        request.map(axum::body::Body::new)
    }));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(connection), service).with_upgrades());
    let outcome = tokio::select! {
        outcome = &mut serving => outcome,
        () = ends.soon.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = &mut serving => outcome,
                () = ends.now.cancelled() => return,
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}
