//! `POST /mcp`: the tools over Streamable HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::{
    Extension,
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use hangar_client::Client;
use hangar_protocol::RefusalCode;
use rmcp::transport::{
    StreamableHttpServerConfig, StreamableHttpService, streamable_http_server::session::never::NeverSessionManager,
};
use tokio_util::sync::CancellationToken;

use super::SessionTools;
use crate::{
    answer::Refused,
    gate::{Asking, Credential},
};

/// The service for a server that listens at `address`, until `stop`. Whoever asks has been let in by their token before.
///
/// # Errors
/// When no client of the server's own API can be made.
pub(crate) fn service(
    address: SocketAddr,
    body_bytes_max: usize,
    stop: &CancellationToken,
) -> Result<StreamableHttpService<SessionTools, NeverSessionManager>, hangar_client::Error> {
    let own = Client::stranger(&format!("http://{}", reachable(address)))?;
    let config = StreamableHttpServerConfig::default()
        // Nothing is kept of a client: its next request may come after a restart.
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(body_bytes_max)
        // The door to the whole server has looked at both.
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_cancellation_token(stop.child_token());
    Ok(StreamableHttpService::new(move || Ok(SessionTools::of_whoever_asks(own.clone())), Default::default(), config))
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

/// Lets in who has sent a token; a browser's cookie does not count here, since pages of others could make a browser send it along.
pub(crate) async fn token_only(Extension(asking): Extension<Asking>, request: Request, next: Next) -> Response {
    match asking.credential {
        Credential::Token(_) => next.run(request).await,
        Credential::Cookie(_) => Refused::new(
            RefusalCode::Unauthenticated,
            "The tools are for those who send a token.",
            "Make one with `hangar token create`, and let your agent send `Authorization: Bearer hgr_…`.",
        )
        .into_response(),
    }
}
