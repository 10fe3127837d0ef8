//! `POST /mcp`: the tools over Streamable HTTP.

use std::{io, sync::Arc};

use axum::{
    Extension,
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use hangar_protocol::RefusalCode;
use rmcp::transport::{
    StreamableHttpServerConfig, StreamableHttpService, streamable_http_server::session::never::NeverSessionManager,
};
use tokio_util::sync::CancellationToken;

use super::SessionTools;
use crate::{
    answer::Refused,
    gate::{Asking, Credential},
    own_api::OwnApi,
};

/// The service, until `stop`. Whoever asks has been let in by their token before.
pub(crate) fn service(
    api: Arc<OwnApi>,
    body_bytes_max: usize,
    stop: &CancellationToken,
) -> StreamableHttpService<SessionTools, NeverSessionManager> {
    let tools = move || Ok(SessionTools::of_whoever_asks(api.client().map_err(io::Error::other)?));
    let config = StreamableHttpServerConfig::default()
        // Nothing is kept of a client: its next request may come after a restart.
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(body_bytes_max)
        // The door to the whole server has looked at both.
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_cancellation_token(stop.child_token());
    StreamableHttpService::new(tools, Default::default(), config)
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
