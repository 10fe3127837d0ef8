//! Where a session's sandbox may go.

use axum::{extract::State, http::StatusCode};
use hangar_protocol::{Command, SessionId, state::Place};

use crate::{
    answer::Answer,
    app::App,
    extract::{Named, Sent},
    gate::Asking,
};

/// Opens the network of a session's sandbox towards one host and port, for as long as the session lives. Addresses inside the
/// company, of the machine itself and of cloud metadata stay closed whatever their name.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/network/allow", tag = "sessions", params(("id" = SessionId, Path)), request_body = Place,
    responses((status = 204, description = "The way is open, also to what asks again from now on."))
)]
pub(crate) async fn allow_network(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(place): Sent<Place>,
) -> Answer<StatusCode> {
    app.sessions.command(&id, asking.wants(Command::AllowNetwork(place))).await?;
    Ok(StatusCode::NO_CONTENT)
}
