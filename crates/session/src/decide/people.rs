//! Members, invitations, visibility. Who may change them stands in `who_may.rs`.

use std::collections::BTreeMap;

use hangar_protocol::{
    Cause, EventBody, InvitationId, Person, Refusal, RefusalCode, SessionRole, SessionState, UserId, Visibility,
    limits, people::role_in,
};

use super::Decision;

pub(super) fn set_role(
    state: &SessionState,
    by: &Person,
    person: Person,
    role: SessionRole,
) -> Result<Decision, Refusal> {
    let cause = by_person(by);
    let body = match state.members.get(&person.user) {
        Some(known) if *known == role => return Ok(Decision::default()),
        Some(_) => {
            if role < SessionRole::Owner {
                keep_an_owner(state, &person.user)?;
            }
            EventBody::RoleChanged { user: person.user.clone(), role, invitation: None }
        }
        None => {
            check_room(state)?;
            EventBody::MemberAdded { person: person.clone(), role, invitation: None }
        }
    };
    let mut members = state.members.clone();
    members.insert(person.user, role);
    Ok(with_lost_prompts(state, by, body, cause, state.visibility, &members))
}

pub(super) fn remove_member(state: &SessionState, by: &Person, user: UserId) -> Result<Decision, Refusal> {
    if !state.members.contains_key(&user) {
        return Err(Refusal::new(
            RefusalCode::NotFound,
            format!("{user} has no role of their own in this session."),
            format!("`hangar members {}` lists those who have.", state.id),
        ));
    }
    keep_an_owner(state, &user)?;
    let mut members = state.members.clone();
    members.remove(&user);
    let body = EventBody::MemberRemoved { user };
    Ok(with_lost_prompts(state, by, body, by_person(by), state.visibility, &members))
}

pub(super) fn take_ownership(state: &SessionState, by: Person) -> Result<Decision, Refusal> {
    if state.members.get(&by.user) == Some(&SessionRole::Owner) {
        return Ok(Decision::default());
    }
    if !state.members.contains_key(&by.user) {
        check_room(state)?;
    }
    Ok(one(by_person(&by), EventBody::OwnershipTaken { person: by }))
}

pub(super) fn set_visibility(state: &SessionState, by: &Person, visibility: Visibility) -> Decision {
    if state.visibility == visibility {
        return Decision::default();
    }
    let body = EventBody::VisibilityChanged { visibility };
    with_lost_prompts(state, by, body, by_person(by), visibility, &state.members)
}

pub(super) fn invite(
    state: &SessionState,
    by: Person,
    role: SessionRole,
    hash: String,
    expires_ms: u64,
    now_ms: u64,
) -> Result<Decision, Refusal> {
    let open = state.invitations.iter().filter(|known| known.expires_ms > now_ms).count();
    if open >= limits::OPEN_INVITATIONS_MAX {
        return Err(Refusal::new(
            RefusalCode::TooMany,
            format!("{} invitations to this session are open already.", limits::OPEN_INVITATIONS_MAX),
            "Take one back, or use one that is open.",
        ));
    }
    let invitation = InvitationId(state.invitations_made + 1);
    let body = EventBody::InvitationMade { invitation, role, by: by.user.clone(), hash, expires_ms };
    Ok(one(by_person(&by), body))
}

pub(super) fn revoke(state: &SessionState, by: &Person, invitation: InvitationId) -> Result<Decision, Refusal> {
    if !state.invitations.iter().any(|known| known.id == invitation) {
        return Err(Refusal::new(
            RefusalCode::NotFound,
            format!("Invitation {invitation} of this session is not open."),
            "It has expired, was used up, was taken back, or was never made.",
        ));
    }
    Ok(one(by_person(by), EventBody::InvitationRevoked { invitation }))
}

/// Accepting never takes anything away: who may do more already stays as they are.
pub(super) fn join(state: &SessionState, by: Person, hash: &str, now_ms: u64) -> Result<Decision, Refusal> {
    let open = state.invitations.iter().find(|known| known.hash == hash && known.expires_ms > now_ms);
    let Some(invitation) = open else { return Err(no_invitation()) };
    let (role, accepted) = (invitation.role, Some(invitation.id));
    // Whoever was let in is there by the word of whoever invited them.
    let cause = Cause::User { user: invitation.by.clone() };
    match state.members.get(&by.user) {
        Some(has) if *has >= role => Ok(Decision::default()),
        Some(_) => Ok(one(cause, EventBody::RoleChanged { user: by.user, role, invitation: accepted })),
        None => {
            check_room(state)?;
            Ok(one(cause, EventBody::MemberAdded { person: by, role, invitation: accepted }))
        }
    }
}

/// What is told of an invitation that does not let anybody in, and of a session that there is not.
#[must_use]
pub fn no_invitation() -> Refusal {
    Refusal::new(
        RefusalCode::NotFound,
        "This invitation does not work: it has expired, was used up, was taken back, or was never made.",
        "Ask whoever gave it to you for a new one.",
    )
}

/// The change, and the waiting prompts of those who may not prompt any more: what they asked for is not begun.
fn with_lost_prompts(
    state: &SessionState,
    by: &Person,
    body: EventBody,
    cause: Cause,
    visibility: Visibility,
    members: &BTreeMap<UserId, SessionRole>,
) -> Decision {
    let lost =
        state.queue().filter(|prompt| role_in(visibility, members, &prompt.author) < Some(SessionRole::Prompter));
    let lost: Vec<_> = lost
        .map(|prompt| (by_person(by), EventBody::PromptCancelled { prompt: prompt.id, request_id: None }))
        .collect();
    let events = std::iter::once((cause, body)).chain(lost).collect();
    Decision { events, ..Decision::default() }
}

/// A session that nobody owns could not be mended from inside.
fn keep_an_owner(state: &SessionState, user: &UserId) -> Result<(), Refusal> {
    if state.owners().any(|owner| owner != user) || !state.owners().any(|owner| owner == user) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::Conflict,
        format!("{user} is the only owner of this session."),
        "Make somebody else an owner first.",
    ))
}

fn check_room(state: &SessionState) -> Result<(), Refusal> {
    if state.members.len() < limits::MEMBERS_MAX {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::TooMany,
        format!("{} people have a role of their own in this session already.", limits::MEMBERS_MAX),
        "Remove some who do not need it any more.",
    ))
}

fn by_person(by: &Person) -> Cause {
    Cause::User { user: by.user.clone() }
}

fn one(cause: Cause, body: EventBody) -> Decision {
    Decision { events: vec![(cause, body)], ..Decision::default() }
}
