//! Tell those who have a session open that somebody is typing.

use axum::{extract::State, http::StatusCode};
use hangar_protocol::SessionId;

use crate::{answer::Answer, app::App, extract::Named, gate::Asking};

/// Tells those who have the session open that you are typing a prompt. It holds for 5 seconds; sent again within 2 seconds, it tells
/// nothing new. It wakes nobody and is not kept.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/typing", tag = "sessions", params(("id" = SessionId, Path)),
    responses((status = 204, description = "It was told."))
)]
pub(crate) async fn note_typing(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<StatusCode> {
    app.sessions.typing(&id, &asking.account.person).await?;
    Ok(StatusCode::NO_CONTENT)
}
