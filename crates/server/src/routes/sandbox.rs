//! A session's sandbox that has failed.

use axum::{extract::State, http::StatusCode};
use hangar_protocol::{Command, SessionId, api::SandboxRetry};

use crate::{
    answer::Answer,
    app::App,
    extract::{Named, Sent},
    gate::Asking,
};

/// Makes the sandbox of a session once more that has failed. Where the newest commits of the base branch cannot be had, `begin_at: image` lets the session begin at the
/// commit of its image instead (`image_commit` of the session); that is its base from then on.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/sandbox/retry", tag = "sessions", params(("id" = SessionId, Path)), request_body = SandboxRetry,
    responses((status = 204, description = "It is being made; the session's events say what comes of it."))
)]
pub(crate) async fn retry_sandbox(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(SandboxRetry { begin_at }): Sent<SandboxRetry>,
) -> Answer<StatusCode> {
    app.sessions.command(&id, asking.wants(Command::RetrySandbox { begin_at })).await?;
    Ok(StatusCode::NO_CONTENT)
}
