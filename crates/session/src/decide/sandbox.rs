//! What a person can choose when a session's sandbox has failed.

use hangar_protocol::{
    Cause, EventBody, Person, Refusal, RefusalCode, SessionState, command::BeginAt, event::SandboxPhase,
};

use super::{Decision, Effect};

/// The sandbox is made again; where it is to begin at the image's commit, that is the session's base from now on.
pub(super) fn retry(state: &SessionState, by: Person, begin_at: BeginAt) -> Result<Decision, Refusal> {
    if state.sandbox != SandboxPhase::Failed {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            "The sandbox of this session has not failed.",
            "There is nothing to try again.",
        ));
    }
    let events = match begin_at {
        BeginAt::Base => Vec::new(),
        BeginAt::Image => {
            let moved = EventBody::BaseChanged { commit: other_beginning(state)?, by: by.user.clone() };
            vec![(Cause::User { user: by.user }, moved)]
        }
    };
    Ok(Decision { events, effects: vec![Effect::MakeSandbox], ..Decision::default() })
}

/// The image's commit, as long as nothing stands on the session's own.
fn other_beginning(state: &SessionState) -> Result<String, Refusal> {
    let nothing_done = state.pushed.is_none() && state.snapshots.is_empty();
    state.image_commit.clone().filter(|_| nothing_done).ok_or_else(|| {
        Refusal::new(
            RefusalCode::Conflict,
            "This session cannot begin at the commit of its image: it has no image, began there anyway, or has work that stands on its own commit.",
            "Try again from its own commit, or start a new session.",
        )
    })
}
