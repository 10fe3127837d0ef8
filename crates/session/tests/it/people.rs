//! Members, invitations, visibility: a story each.

use hangar_protocol::{
    Cause, Command, EventBody, InvitationId, RefusalCode, SessionRole, Visibility, event::TurnOutcome, limits,
};

use crate::decide::{Story, person};

const PRIVATE: Command = Command::SetVisibility { visibility: Visibility::Private };

fn role(user: &str, role: SessionRole) -> Command {
    Command::SetRole { person: person(user), role }
}

fn invite(secret: &str, role: SessionRole, expires_ms: u64) -> Command {
    Command::Invite { role, hash: secret.repeat(64), expires_ms, now_ms: 10 }
}

fn join(secret: &str, now_ms: u64) -> Command {
    Command::Join { hash: secret.repeat(64), now_ms }
}

#[test]
fn an_invitation_lets_in_in_the_name_of_whoever_made_it() {
    let mut story = Story::new();
    story.command("ann", PRIVATE).unwrap();
    story.command("ann", invite("1", SessionRole::Viewer, 100)).unwrap();
    story.written.clear();
    assert_eq!(story.command("bob", join("2", 50)), Err(RefusalCode::NotFound));
    assert_eq!(story.command("bob", join("1", 100)), Err(RefusalCode::NotFound), "it has expired");
    let joined = story.command("bob", join("1", 99)).unwrap();
    let added =
        EventBody::MemberAdded { person: person("bob"), role: SessionRole::Viewer, invitation: Some(InvitationId(1)) };
    assert_eq!(joined.events, [(Cause::User { user: "ann".parse().unwrap() }, added)]);
    assert_eq!(story.prompt("bob", "r1", "go"), Err(RefusalCode::Forbidden));
    story.written.clear();
    story.command("bob", join("1", 99)).unwrap();
    story.check(&[]);
}

#[test]
fn an_invitation_never_takes_anything_away() {
    let mut story = Story::new();
    story.command("ann", invite("1", SessionRole::Viewer, 100)).unwrap();
    story.command("ann", role("bob", SessionRole::Owner)).unwrap();
    story.written.clear();
    story.command("bob", join("1", 50)).unwrap();
    story.check(&[]);
    story.command("ann", role("cy", SessionRole::Viewer)).unwrap();
    story.command("ann", invite("2", SessionRole::Prompter, 100)).unwrap();
    story.command("cy", join("2", 50)).unwrap();
    story.check(&["member_added", "invitation_made", "role_changed"]);
    assert_eq!(story.state.members[&"cy".parse().unwrap()], SessionRole::Prompter);
}

#[test]
fn an_owners_link_works_once_and_one_that_was_taken_back_never() {
    let mut story = Story::new();
    story.command("ann", invite("1", SessionRole::Owner, 100)).unwrap();
    story.command("bob", join("1", 50)).unwrap();
    assert_eq!(story.command("cy", join("1", 50)), Err(RefusalCode::NotFound));
    story.command("bob", invite("2", SessionRole::Viewer, 100)).unwrap();
    story.command("ann", Command::RevokeInvitation { invitation: InvitationId(2) }).unwrap();
    assert_eq!(story.command("cy", join("2", 50)), Err(RefusalCode::NotFound));
    let again = Command::RevokeInvitation { invitation: InvitationId(2) };
    assert_eq!(story.command("ann", again), Err(RefusalCode::NotFound));
}

#[test]
fn only_so_many_invitations_are_open_and_expired_ones_do_not_count() {
    let mut story = Story::new();
    for _ in 0..limits::OPEN_INVITATIONS_MAX {
        story.command("ann", invite("1", SessionRole::Viewer, 11)).unwrap();
    }
    assert_eq!(story.command("ann", invite("2", SessionRole::Viewer, 100)), Err(RefusalCode::TooMany));
    let later = Command::Invite { role: SessionRole::Viewer, hash: "2".repeat(64), expires_ms: 100, now_ms: 11 };
    story.command("ann", later).unwrap();
    assert_eq!(story.state.invitations_made as usize, limits::OPEN_INVITATIONS_MAX + 1);
}

#[test]
fn somebody_always_owns_a_session() {
    let mut story = Story::new();
    let leave = |user: &str| Command::RemoveMember { user: user.parse().unwrap() };
    assert_eq!(story.command("ann", leave("ann")), Err(RefusalCode::Conflict));
    assert_eq!(story.command("ann", role("ann", SessionRole::Viewer)), Err(RefusalCode::Conflict));
    assert_eq!(story.command("ann", leave("bob")), Err(RefusalCode::NotFound));
    story.command("ann", role("bob", SessionRole::Owner)).unwrap();
    story.command("ann", leave("ann")).unwrap();
    story.command("bob", PRIVATE).unwrap();
    assert_eq!(story.prompt("ann", "r1", "go"), Err(RefusalCode::NotFound), "who began it may be gone");
    story.command("jane", Command::TakeOwnership).unwrap();
    story.check(&["member_added", "member_removed", "visibility_changed", "ownership_taken"]);
    assert_eq!(story.state.role_of(&"jane".parse().unwrap()), Some(SessionRole::Owner));
}

#[test]
fn what_somebody_asked_for_who_may_not_prompt_any_more_is_not_begun() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    story.prompt("bob", "r2", "then this").unwrap();
    story.prompt("cy", "r3", "then that").unwrap();
    story.command("ann", role("cy", SessionRole::Prompter)).unwrap();
    story.written.clear();
    story.command("ann", PRIVATE).unwrap();
    story.check(&["visibility_changed", "prompt_cancelled"]);
    story.command("ann", role("cy", SessionRole::Viewer)).unwrap();
    story.check(&["role_changed", "prompt_cancelled"]);
    story.end(1, TurnOutcome::Done);
    story.check(&["turn_ended"]);
}
