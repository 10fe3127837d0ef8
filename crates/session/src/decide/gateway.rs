//! When programs in the sandbox may ask models.

use hangar_protocol::{Cause, EventBody, SessionState, TurnId, state::TitleSource};

use super::{Decision, Effect};

/// Requests through the gateway in one turn.
pub const TURN_REQUESTS_MAX: u32 = 1_000;

/// A request is numbered and written down, unless its turn does not run, is being stopped, or has asked as often as a turn may. Whether its
/// budget allows it was asked before.
pub(super) fn asks(state: &SessionState, turn: TurnId, model: String) -> Decision {
    let open = state.running_turn().filter(|open| open.id == turn && open.stop_requested_by.is_none());
    let Some(open) = open.filter(|open| open.gateway_requests < TURN_REQUESTS_MAX) else { return Decision::default() };
    let body = EventBody::GatewayRequested { turn, request: open.gateway_requests + 1, model };
    // The first request of an external agent goes through here.
    let first = turn == TurnId(1) && open.gateway_requests == 0 && state.agent.is_some();
    let wants_title = first && state.title_from == TitleSource::Prompt;
    let effects = if wants_title { vec![Effect::WriteTitle] } else { Vec::new() };
    Decision { events: vec![(Cause::Turn { turn }, body)], effects, ..Decision::default() }
}

/// What was used up is counted, whether or not the turn has ended meanwhile.
pub(super) fn replied(state: &SessionState, turn: TurnId, request: u32, body: EventBody) -> Decision {
    let asked = state.turns.iter().any(|known| known.id == turn && (1..=known.gateway_requests).contains(&request));
    let events = if asked { vec![(Cause::Turn { turn }, body)] } else { Vec::new() };
    Decision { events, ..Decision::default() }
}
