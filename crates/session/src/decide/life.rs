//! Archive, delete, and back.
//!
//! ```text
//!              archive                        delete                        the time has come
//!   current ◀───────────▶ archived    either ─────────▶ deleted ──────────────────────────────▶ removed
//!          unarchive, prompt                  ◀─────────
//!                                              restore
//! ```

use hangar_protocol::{
    Cause, EventBody, Person, Refusal, RefusalCode, SessionState, command::Reach, event::TurnOutcome, people::Deletion,
};

use super::{
    Decision, Effect,
    children::{stop_below, works_below},
    prompt::begin_turn,
    report::end_turn,
};

pub(super) fn archive(state: &SessionState, by: Person) -> Result<Decision, Refusal> {
    if state.archived_ms.is_some() {
        return Ok(Decision::default());
    }
    if state.open_turn().is_some() || state.queue().next().is_some() {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            "This session is at work.",
            "Wait until nothing runs and nothing waits, or stop it first.",
        ));
    }
    Ok(Decision { events: vec![(cause(by), EventBody::SessionArchived)], ..Decision::default() })
}

pub(super) fn unarchive(state: &SessionState, by: Person) -> Decision {
    let events = state.archived_ms.map(|_| (cause(by), EventBody::SessionUnarchived)).into_iter().collect();
    Decision { events, ..Decision::default() }
}

/// Stops what runs, here and below; what waits stays where it is until somebody takes the session back.
pub(super) fn delete(state: &SessionState, by: Person, purge_ms: u64) -> Decision {
    let mut decision = Decision::default();
    let (user, reach) = (by.user.clone(), Reach::WithChildren);
    if let Some(turn) = state.open_turn().filter(|turn| turn.stop_requested_by.is_none()) {
        let stop = EventBody::StopRequested { turn: turn.id, by: user.clone(), reach };
        decision.events.push((Cause::User { user: user.clone() }, stop));
        decision.effects.push(Effect::StopTurn(turn.id));
    } else if let Some(last) = state.last_turn().filter(|_| works_below(state, reach)) {
        let stop = EventBody::StopRequested { turn: last.id, by: user.clone(), reach };
        decision.events.push((Cause::User { user: user.clone() }, stop));
    }
    decision.effects.extend(stop_below(state, reach, &user));
    decision.events.push((cause(by), EventBody::SessionDeleted { by: user.clone(), purge_ms }));
    match state.open_turn().filter(|turn| turn.paused.is_some()) {
        None => decision,
        // Nobody works on it who could end it.
        Some(turn) => {
            decision.effects.retain(|effect| *effect != Effect::StopTurn(turn.id));
            let deletion = Deletion { by: user.clone(), deleted_ms: state.updated_ms, purge_ms };
            let deleted = SessionState { deleted: Some(deletion), ..state.clone() };
            decision.then(end_turn(&deleted, turn.id, TurnOutcome::Stopped { by: user }))
        }
    }
}

/// Takes a deleted session back. The next prompt that waits begins, unless the turn that was stopped has not ended yet: its end begins it.
pub(super) fn restore(state: &SessionState, by: Person) -> Result<Decision, Refusal> {
    if state.deleted.is_none() {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            "This session is not deleted.",
            "There is nothing to take back.",
        ));
    }
    let mut decision = Decision { events: vec![(cause(by), EventBody::SessionRestored)], ..Decision::default() };
    if state.open_turn().is_none()
        && let Some(waiting) = state.queue().next().filter(|_| state.queue_paused_by.is_none())
    {
        begin_turn(state, waiting.id, waiting.author.clone(), &mut decision.events, &mut decision.effects);
    }
    Ok(decision)
}

fn cause(by: Person) -> Cause {
    Cause::User { user: by.user }
}
