//! Put a session away, delete it, and take it back.

use axum::{Json, extract::State, http::StatusCode};
use hangar_protocol::{Command, RefusalCode, SessionId, people::Deletion};

use crate::{
    answer::{Answer, Refused},
    app::App,
    extract::Named,
    gate::Asking,
    people::now_ms,
};

/// Milliseconds of an hour.
const HOUR_MS: u64 = 3_600_000;

/// Puts a session away: lists leave it out, and the next prompt takes it out again. Owners of the session only.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/archive", tag = "sessions", params(("id" = SessionId, Path)),
    responses((status = 204, description = "It is put away."))
)]
pub(crate) async fn archive_session(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<StatusCode> {
    app.sessions.command(&id, asking.wants(Command::Archive)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a session out of the archive. Owners of the session only.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/unarchive", tag = "sessions", params(("id" = SessionId, Path)),
    responses((status = 204, description = "It is listed again."))
)]
pub(crate) async fn unarchive_session(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<StatusCode> {
    app.sessions.command(&id, asking.wants(Command::Unarchive)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a session: what runs is stopped, and after `sessions.restorable_hours` it is removed for good. Until then `undelete` takes it back. Owners of
/// the session only.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = SessionId, Path)),
    responses((status = 200, body = Deletion))
)]
pub(crate) async fn delete_session(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<Json<Deletion>> {
    let now_ms = now_ms();
    let purge_ms = now_ms + u64::from(app.config.sessions.restorable_hours) * HOUR_MS;
    app.sessions.command(&id, asking.wants(Command::Delete { purge_ms })).await?;
    // It may be gone already.
    Ok(Json(Deletion { by: asking.account.person.user.clone(), deleted_ms: now_ms, purge_ms }))
}

/// Takes a deleted session back. Prompts that waited go on. Owners of the session only.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/undelete", tag = "sessions", params(("id" = SessionId, Path)),
    responses((status = 204, description = "It is as it was."))
)]
pub(crate) async fn undelete_session(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<StatusCode> {
    app.sessions.command(&id, asking.wants(Command::Restore)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What may not be done to a session that was deleted, at places that no command passes.
pub(super) fn must_be_there(state: &hangar_protocol::SessionState) -> Answer<()> {
    match &state.deleted {
        None => Ok(()),
        Some(deletion) => Err(Refused::new(
            RefusalCode::Conflict,
            format!("{} deleted this session.", deletion.by),
            format!("`hangar undelete {}` takes it back until it is removed for good.", state.id),
        )),
    }
}
