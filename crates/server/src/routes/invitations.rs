//! Links by which people become members of a session.

use axum::{Json, extract::State, http::StatusCode};
use hangar_protocol::{
    Command, InvitationId, RefusalCode, SessionId,
    api::{InvitationInfo, InvitationSecret, InvitationView, Joined, NewInvitation, NewInvitationLink},
    limits::{INVITATION_LIFE_S, INVITATION_LIFE_S_MAX},
    people::InvitationState,
};
use hangar_session::decide::no_invitation;

use crate::{
    answer::{Answer, Refused},
    app::App,
    extract::{Named, Sent},
    gate::Asking,
    people::{hash_hex, mint, now_ms},
};

/// The invitations that are open, without their secrets.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}/invitations", tag = "people in sessions", params(("id" = SessionId, Path)),
    responses((status = 200, body = Vec<InvitationInfo>))
)]
pub(crate) async fn list_invitations(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<Json<Vec<InvitationInfo>>> {
    app.seen(&asking, &id).await?;
    let now_ms = now_ms();
    let invitations = app.sessions.state(&id).await?.invitations.into_iter();
    Ok(Json(invitations.filter(|known| known.expires_ms > now_ms).map(info).collect()))
}

/// Makes a link by which people become members. Its secret is in this answer and nowhere else. Owners of the session only.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/invitations", tag = "people in sessions", params(("id" = SessionId, Path)),
    request_body = NewInvitation, responses((status = 201, body = NewInvitationLink))
)]
pub(crate) async fn invite(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(NewInvitation { role, expires_in_s }): Sent<NewInvitation>,
) -> Answer<(StatusCode, Json<NewInvitationLink>)> {
    let life_s = expires_in_s.unwrap_or(INVITATION_LIFE_S);
    if !(1..=INVITATION_LIFE_S_MAX).contains(&life_s) {
        return Err(Refused::new(
            RefusalCode::BadRequest,
            format!("An invitation cannot be open for {life_s} s."),
            format!("Write 1 to {INVITATION_LIFE_S_MAX}: 30 days at most."),
        ));
    }
    let secret = mint("")?;
    let (hash, now_ms) = (hash_hex(&secret), now_ms());
    let expires_ms = now_ms + u64::from(life_s) * 1000;
    let wish = Command::Invite { role, hash: hash.clone(), expires_ms, now_ms };
    app.sessions.command(&id, asking.wants(wish)).await?;
    let state = app.sessions.state(&id).await?;
    let made = state.invitations.into_iter().find(|known| known.hash == hash).ok_or_else(no_invitation)?;
    // Behind `#`, the secret is not sent when the page is fetched, and stands in nobody's log.
    let url = format!("{}/join/{id}#{secret}", app.url);
    Ok((StatusCode::CREATED, Json(NewInvitationLink { info: info(made), url })))
}

/// Takes an invitation back. Owners of the session only.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}/invitations/{invitation}", tag = "people in sessions",
    params(("id" = SessionId, Path), ("invitation" = InvitationId, Path, description = "The invitation's number.")),
    responses((status = 204, description = "Its link lets nobody in any more."))
)]
pub(crate) async fn revoke_invitation(
    State(app): State<App>,
    asking: Asking,
    Named((id, invitation)): Named<(SessionId, InvitationId)>,
) -> Answer<StatusCode> {
    app.sessions.command(&id, asking.wants(Command::RevokeInvitation { invitation })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a link invites to. Changes nothing.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/invitations/look", tag = "people in sessions", params(("id" = SessionId, Path)),
    request_body = InvitationSecret, responses((status = 200, body = InvitationView))
)]
pub(crate) async fn look_at_invitation(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(InvitationSecret { secret }): Sent<InvitationSecret>,
) -> Answer<Json<InvitationView>> {
    let (hash, now_ms) = (hash_hex(&secret), now_ms());
    let state = app.sessions.state(&id).await.map_err(as_no_invitation)?;
    let mut open = state.invitations.iter().filter(|known| known.expires_ms > now_ms && state.deleted.is_none());
    let InvitationState { role, by, expires_ms, .. } =
        open.find(|known| known.hash == hash).cloned().ok_or_else(no_invitation)?;
    let has = state.role_of(&asking.account.person.user);
    let (title, repo) = (state.title.clone(), state.repo.clone());
    Ok(Json(InvitationView { session: id, title, repo, by, role, has, expires_ms }))
}

/// Accepts an invitation. It never takes anything away: who may do more already stays as they are.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/join", tag = "people in sessions", params(("id" = SessionId, Path)),
    request_body = InvitationSecret, responses((status = 200, body = Joined))
)]
pub(crate) async fn join(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(InvitationSecret { secret }): Sent<InvitationSecret>,
) -> Answer<Json<Joined>> {
    let wish = Command::Join { hash: hash_hex(&secret), now_ms: now_ms() };
    app.sessions.command(&id, asking.wants(wish)).await.map_err(as_no_invitation)?;
    let role = app.seen(&asking, &id).await?;
    Ok(Json(Joined { session: id, role }))
}

/// A session that there is not answers like a link that does not work.
fn as_no_invitation(refusal: hangar_protocol::Refusal) -> hangar_protocol::Refusal {
    if refusal.code == RefusalCode::NotFound { no_invitation() } else { refusal }
}

fn info(InvitationState { id, role, by, expires_ms, hash: _ }: InvitationState) -> InvitationInfo {
    InvitationInfo { id, role, by, expires_ms }
}
