//! Who has a role of their own in a session, and who may see it.

use axum::{extract::State, http::StatusCode};
use hangar_protocol::{
    Command, SessionId, UserId,
    api::{RoleWish, VisibilityWish},
};

use crate::{
    answer::Answer,
    app::App,
    extract::{Named, Sent},
    gate::Asking,
};

/// Gives somebody a role of their own in a session, or another one. Owners of the session only.
#[utoipa::path(
    put, path = "/api/v1/sessions/{id}/members/{user}", tag = "people in sessions",
    params(("id" = SessionId, Path), ("user" = UserId, Path, description = "The login.")), request_body = RoleWish,
    responses((status = 204, description = "They have it."))
)]
pub(crate) async fn set_role(
    State(app): State<App>,
    asking: Asking,
    Named((id, user)): Named<(SessionId, UserId)>,
    Sent(RoleWish { role }): Sent<RoleWish>,
) -> Answer<StatusCode> {
    app.seen(&asking, &id).await?;
    let person = app.people.user(&user).await?.person;
    app.sessions.command(&id, asking.wants(Command::SetRole { person, role })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes somebody's own role away. Owners of the session may, and everybody for themselves.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}/members/{user}", tag = "people in sessions",
    params(("id" = SessionId, Path), ("user" = UserId, Path, description = "The login.")),
    responses((status = 204, description = "They have none any more."))
)]
pub(crate) async fn remove_member(
    State(app): State<App>,
    asking: Asking,
    Named((id, user)): Named<(SessionId, UserId)>,
) -> Answer<StatusCode> {
    app.sessions.command(&id, asking.wants(Command::RemoveMember { user })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the asking person an owner of the session, also of one that they do not see. Owners of the server only; the session's log says it.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/take", tag = "people in sessions", params(("id" = SessionId, Path)),
    responses((status = 204, description = "They are an owner of it."))
)]
pub(crate) async fn take_ownership(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<StatusCode> {
    asking.account.must_be_owner("take over a session")?;
    app.sessions.command(&id, asking.wants(Command::TakeOwnership)).await?;
    tracing::info!(by = %asking.account.person.user, session = %id, "an owner of the server took a session over");
    Ok(StatusCode::NO_CONTENT)
}

/// Opens a session to everybody of the server, or to its members alone. Owners of the session only.
#[utoipa::path(
    put, path = "/api/v1/sessions/{id}/visibility", tag = "people in sessions", params(("id" = SessionId, Path)),
    request_body = VisibilityWish, responses((status = 204, description = "It counts from now on, also for those who follow it."))
)]
pub(crate) async fn set_visibility(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(VisibilityWish { visibility }): Sent<VisibilityWish>,
) -> Answer<StatusCode> {
    app.sessions.command(&id, asking.wants(Command::SetVisibility { visibility })).await?;
    Ok(StatusCode::NO_CONTENT)
}
