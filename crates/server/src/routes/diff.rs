//! What a session changed.

use axum::{Json, extract::State};
use hangar_protocol::{SessionId, api::SessionDiff};

use crate::{answer::Answer, app::App, extract::Named, gate::Asking};

/// What the session changed against the commit it started from, committed or not.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}/diff", tag = "sessions", params(("id" = SessionId, Path)),
    responses((status = 200, body = SessionDiff))
)]
pub(crate) async fn session_diff(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<Json<SessionDiff>> {
    app.seen(&asking, &id).await?;
    Ok(Json(app.sessions.diff(&id).await?))
}
