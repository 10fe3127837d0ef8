//! What a budget that is used up leads to, and what follows when it is raised.

use hangar_protocol::{
    Budget, Cause, EventBody, Exhausted, Person, Refusal, RefusalCode, SessionState, TurnId, budget::BudgetScope,
    event::TurnOutcome,
};

use super::{Decision, Effect, children::raised_below, report::end_turn};

/// The agent has stopped at a boundary where nothing is lost; the turn stays open.
pub(super) fn paused(state: &SessionState, turn: TurnId, exhausted: Exhausted) -> Decision {
    let Some(open) = state.running_turn().filter(|open| open.id == turn) else { return Decision::default() };
    if let Some(by) = &open.stop_requested_by {
        return end_turn(state, turn, TurnOutcome::Stopped { by: by.clone() });
    }
    let event = (Cause::System, EventBody::TurnPaused { turn, exhausted });
    Decision { events: vec![event], ..Decision::default() }
}

pub(super) fn continue_turn(state: &SessionState, by: Person) -> Result<Decision, Refusal> {
    match state.open_turn() {
        Some(turn) if turn.paused.is_some() => Ok(continued(Cause::User { user: by.user }, turn.id)),
        Some(_) | None => Err(Refusal::new(
            RefusalCode::Conflict,
            "No turn of this session waits for a budget.",
            "There is nothing to continue.",
        )),
    }
}

/// Whoever may is let through to this by the server; the session only writes down who it was.
pub(super) fn set_budget(state: &SessionState, by: Person, budget: Budget) -> Decision {
    let cause = Cause::User { user: by.user.clone() };
    let mut decision = Decision { effects: raised_below(state, &by.user), ..Decision::default() };
    if state.budget != Some(budget) {
        decision.events.push((cause.clone(), EventBody::BudgetChanged { budget }));
    }
    let waits = state.open_turn().filter(|turn| {
        let own = turn.paused.as_ref().is_some_and(|exhausted| exhausted.scope == BudgetScope::Session);
        own && budget.reached_by(&state.spent_with_children()).is_none()
    });
    match waits {
        Some(turn) => decision.then(continued(cause, turn.id)),
        None => decision,
    }
}

pub(super) fn continued(cause: Cause, turn: TurnId) -> Decision {
    Decision {
        events: vec![(cause, EventBody::TurnContinued { turn })],
        effects: vec![Effect::RunTurn(turn)],
        ..Decision::default()
    }
}
