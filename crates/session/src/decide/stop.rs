//! Ending the running turn, and letting the queue wait or go on.

use hangar_protocol::{
    Cause, EventBody, Person, Refusal, RefusalCode, SessionState, TurnId,
    api::StopAccepted,
    command::{AfterStop, Reach},
    event::TurnOutcome,
};

use super::{
    Answer, Decision, Effect,
    children::{stop_below, works_below},
    prompt::begin_turn,
    report::{close_turn, end_turn},
};

/// Ends the running turn, once. What is asked again about a turn that is named is answered like the first time; asked of whichever
/// runs, a second time is a conflict. A queue that is to wait can be told so while the turn is being stopped.
pub(super) fn stop(
    state: &SessionState,
    by: Person,
    named: Option<TurnId>,
    then: AfterStop,
    reach: Reach,
) -> Result<Decision, Refusal> {
    let pauses = then == AfterStop::Pause && state.queue_paused_by.is_none();
    if let Some(turn) = named.and_then(|named| state.turns.iter().find(|known| known.id == named))
        && turn.stop_requested_by.is_some()
        && !(pauses && turn.outcome.is_none())
    {
        return Ok(Decision { answer: Answer::Stop(StopAccepted { turn: turn.id }), ..Decision::default() });
    }
    let Some(turn) = state.open_turn() else {
        let last = state.last_turn().filter(|last| named.is_none_or(|named| named == last.id));
        if let Some(last) = last.filter(|_| works_below(state, reach)) {
            return Ok(stop_what_is_below(state, by, last.id));
        }
        return Err(Refusal::new(
            RefusalCode::Conflict,
            "Nothing is running in this session.",
            "There is nothing to stop.",
        ));
    };
    if let Some(named) = named.filter(|named| *named != turn.id) {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            format!("Turn {named} is not running."),
            format!("Turn {} is. Stop that one, or leave the turn out.", turn.id),
        ));
    }
    let cause = Cause::User { user: by.user.clone() };
    let mut decision = Decision { answer: Answer::Stop(StopAccepted { turn: turn.id }), ..Decision::default() };
    match &turn.stop_requested_by {
        Some(first) if !pauses => {
            return Err(Refusal::new(
                RefusalCode::Conflict,
                format!("{first} has stopped this turn already."),
                "It ends within a second.",
            ));
        }
        Some(_) => {}
        None => {
            let stop = EventBody::StopRequested { turn: turn.id, by: by.user.clone(), reach };
            decision.events.push((cause.clone(), stop));
            decision.effects.push(Effect::StopTurn(turn.id));
            decision.effects.extend(stop_below(state, reach, &by.user));
        }
    }
    if pauses {
        decision.events.push((cause, EventBody::QueuePaused { by: by.user.clone() }));
    }
    if turn.paused.is_none() {
        return Ok(decision);
    }
    // It waits for a budget: nobody works on it who could end it.
    let outcome = TurnOutcome::Stopped { by: by.user };
    let ended = if pauses { close_turn(state, turn.id, outcome) } else { end_turn(state, turn.id, outcome) };
    decision.effects.retain(|effect| *effect != Effect::StopTurn(turn.id));
    let answer = decision.answer.clone();
    Ok(Decision { answer, ..decision.then(ended) })
}

/// Nothing runs but sessions that this one's agent began.
fn stop_what_is_below(state: &SessionState, by: Person, last: TurnId) -> Decision {
    let reach = Reach::WithChildren;
    let effects = stop_below(state, reach, &by.user);
    let stop = EventBody::StopRequested { turn: last, by: by.user.clone(), reach };
    let answer = Answer::Stop(StopAccepted { turn: last });
    Decision { events: vec![(Cause::User { user: by.user }, stop)], effects, answer }
}

/// Lets a paused queue go on; one that is not paused goes on already.
pub(super) fn resume(state: &SessionState, by: Person) -> Decision {
    let mut decision = Decision::default();
    if state.queue_paused_by.is_none() {
        return decision;
    }
    decision.events.push((Cause::User { user: by.user.clone() }, EventBody::QueueResumed { by: by.user }));
    if let Some(first) = state.queue().next().filter(|_| state.open_turn().is_none()) {
        begin_turn(state, first.id, first.author.clone(), &mut decision.events, &mut decision.effects);
    }
    decision
}
