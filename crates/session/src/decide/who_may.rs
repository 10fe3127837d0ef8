//! Who may do what: the one place where a command is held against the role of the person it came from.
//!
//! The table in `docs/sessions.md` is this function; a test compares them.

use hangar_protocol::{Command, Person, Refusal, RefusalCode, SessionId, SessionRole, SessionState, UserId};

use super::people::no_invitation;

/// The least role that a command of `by` needs; `None`: the command brings its own right, and also somebody may send it who does not see the session.
#[must_use]
pub fn needed(by: &Person, command: &Command) -> Option<SessionRole> {
    match command {
        // Refused whoever asks: the session is there already.
        Command::Create(_) => Some(SessionRole::Viewer),
        // Another's prompt needs an owner: see `queue.rs`, which knows whose it is.
        Command::CancelPrompt { .. }
        | Command::EditPrompt { .. }
        | Command::MovePrompt { .. }
        | Command::SteerPrompt { .. } => Some(SessionRole::Prompter),
        Command::Prompt { .. }
        | Command::Steer { .. }
        | Command::PromptAndResume { .. }
        | Command::Stop { .. }
        | Command::Resume
        | Command::KeepAttempt { .. }
        | Command::ContinueTurn
        | Command::RetrySandbox { .. }
        | Command::Rename { .. }
        | Command::AllowNetwork(_)
        | Command::OpenPullRequest(_) => Some(SessionRole::Prompter),
        // The server has asked whether this is one of its owners; a session that they do not see they can take over.
        Command::SetBudget(_) => Some(SessionRole::Viewer),
        Command::RemoveMember { user } if *user == by.user => Some(SessionRole::Viewer),
        Command::RemoveMember { .. }
        | Command::SetRole { .. }
        | Command::SetVisibility { .. }
        | Command::Invite { .. }
        | Command::RevokeInvitation { .. }
        | Command::Archive
        | Command::Unarchive
        | Command::Delete { .. }
        | Command::Restore => Some(SessionRole::Owner),
        // The link's secret is the right.
        Command::Join { .. } => None,
        // The server has asked whether this is one of its owners.
        Command::TakeOwnership => None,
    }
}

/// Refuses what the person may not do, and everything but its restoration in a session that was deleted.
pub(super) fn check(state: &SessionState, by: &Person, command: &Command) -> Result<(), Refusal> {
    if let Some(needed) = needed(by, command) {
        check_role(state, &by.user, needed)?;
    }
    match (&state.deleted, command) {
        (None, _) | (Some(_), Command::Restore | Command::TakeOwnership) => Ok(()),
        // Whoever only holds a link learns no more of this session than of one that there is not.
        (Some(_), Command::Join { .. }) => Err(no_invitation()),
        (Some(_), _) => check_kept(state),
    }
}

/// Refuses who has a lesser role than this in the session.
pub(super) fn check_role(state: &SessionState, user: &UserId, needed: SessionRole) -> Result<(), Refusal> {
    let Some(role) = state.role_of(user) else { return Err(no_session(&state.id)) };
    if role >= needed {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::Forbidden,
        format!("You are a {} of this session; this takes a {}.", role.word(), needed.word()),
        ask_an_owner(state),
    ))
}

/// Refuses whatever is done to a session that was deleted.
pub(crate) fn check_kept(state: &SessionState) -> Result<(), Refusal> {
    let Some(deletion) = &state.deleted else { return Ok(()) };
    Err(Refusal::new(
        RefusalCode::Conflict,
        format!("{} deleted this session.", deletion.by),
        format!("`hangar undelete {}` takes it back until it is removed for good.", state.id),
    ))
}

/// What somebody is told of a session that is not there, or that they may not see: the two look the same.
pub(crate) fn no_session(id: &SessionId) -> Refusal {
    Refusal::new(
        RefusalCode::NotFound,
        format!("There is no session {id}."),
        "`hangar sessions` lists those that you can see.",
    )
}

fn ask_an_owner(state: &SessionState) -> String {
    /// How many owners are named.
    const NAMED_MAX: usize = 3;
    let owners: Vec<&str> = state.owners().take(NAMED_MAX).map(|owner| owner.as_str()).collect();
    format!("Ask an owner of the session: {}.", owners.join(", "))
}
