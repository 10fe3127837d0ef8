//! What a report leads to. Nothing here can be refused: it has happened.

use hangar_agent::{conversation::INTERRUPTED_CALL, tools::is_repeatable};
use hangar_protocol::{
    Cause, EventBody, ModelUsage, SessionState, TurnId,
    event::{PullRequestChange, SandboxPhase, ToolStatus, TurnOutcome},
    state::{OpenCall, Place, PullRequestStatus, TitleSource},
};

use super::{Answer, Decision, Effect, Report, TURN_RESUMES_MAX, budget, children, gateway, prompt::begin_turn};

pub(super) fn decide_report(state: &SessionState, report: Report) -> Decision {
    match report {
        Report::Agent { turn, body } => agent_wrote(state, turn, body),
        Report::StepBegins { turn } => say_steers(state, turn),
        Report::GatewayAsks { turn, model } => gateway::asks(state, turn, model),
        Report::GatewayReplied { turn, request, outcome, usage, cost_micro_usd, first_byte_ms, duration_ms } => {
            let body =
                EventBody::GatewayReplied { turn, request, outcome, usage, cost_micro_usd, first_byte_ms, duration_ms };
            gateway::replied(state, turn, request, body)
        }
        Report::Titled { title, usage, cost_micro_usd } => titled(state, title, usage, cost_micro_usd),
        Report::TurnOver { turn, outcome } => turn_over(state, turn, outcome),
        Report::TurnPaused { turn, exhausted } => budget::paused(state, turn, exhausted),
        Report::Sandbox { phase, detail, duration_ms } => {
            event(Cause::Sandbox, EventBody::SandboxChanged { phase, detail, duration_ms })
        }
        Report::Files { files, more } => event(Cause::Sandbox, EventBody::FilesChanged { files, more }),
        Report::Pushed { branch, old, new } => event(Cause::Forge, EventBody::BranchPushed { branch, old, new }),
        Report::PushRefused { reason } => event(Cause::Forge, EventBody::PushRefused { reason }),
        Report::PullRequestOpened { number, title, author, url } => {
            if state.pull_requests.iter().any(|known| known.number == number) {
                return Decision::default();
            }
            event(Cause::Forge, EventBody::PullRequestOpened { number, title, author, url })
        }
        Report::PullRequestChanged { number, change } => pull_request_changed(state, number, change),
        Report::Woken { reason } => woken(state, reason),
        Report::ImageChosen { image, commit, age_ms } => match &state.image {
            Some(_) => Decision::default(),
            None => event(Cause::System, EventBody::ImageChosen { image, commit, age_ms }),
        },
        Report::SnapshotTaken { snapshot, turn, guarantee, files, bytes, duration_ms } => {
            event(Cause::System, EventBody::SnapshotTaken { snapshot, turn, guarantee, files, bytes, duration_ms })
        }
        Report::NetworkDenied { place: Place { host, port }, reason, approvable, count } => {
            event(Cause::Sandbox, EventBody::NetworkDenied { host, port, reason, approvable, count })
        }
        Report::Forked { into, turn, purpose, by } => {
            if state.forks.iter().any(|known| known.session == into) {
                return Decision::default();
            }
            event(Cause::User { user: by }, EventBody::SessionForked { into, turn, purpose })
        }
        Report::Child(news) => children::heard(state, *news),
        Report::StoppedFromAbove { by } => children::stopped_from_above(state, by),
        Report::BudgetAboveRaised { by } => children::budget_above_raised(state, by),
        Report::Warning { text } => event(Cause::System, EventBody::Warning { text }),
    }
}

fn event(cause: Cause, body: EventBody) -> Decision {
    Decision { events: vec![(cause, body)], ..Decision::default() }
}

/// An agent may only write into the turn that is running; what comes late from one that was cut off is dropped.
fn agent_wrote(state: &SessionState, turn: TurnId, body: EventBody) -> Decision {
    match state.open_turn() {
        Some(open) if open.id == turn => {
            let effects = if wants_title(state, &body) { vec![Effect::WriteTitle] } else { Vec::new() };
            Decision { effects, ..event(Cause::Turn { turn }, body) }
        }
        Some(_) | None => Decision::default(),
    }
}

/// The title is written when the session's first request is on its way, so that it never waits for the title's.
fn wants_title(state: &SessionState, body: &EventBody) -> bool {
    let first = matches!(body, EventBody::ModelRequested { turn: TurnId(1), step: 1, .. });
    // Whoever began a child gave it one.
    first && state.title_from == TitleSource::Prompt && state.parent.is_none()
}

/// Whoever gave the session a title meanwhile knows better.
fn titled(state: &SessionState, title: String, usage: ModelUsage, cost_micro_usd: Option<u64>) -> Decision {
    match state.title_from {
        TitleSource::Prompt => event(Cause::System, EventBody::TitleChanged { title, usage, cost_micro_usd }),
        TitleSource::Model | TitleSource::Person => Decision::default(),
    }
}

/// Says what waits for it to the running turn. Not while a call is open: a model refuses words between a call and its result.
fn say_steers(state: &SessionState, turn: TurnId) -> Decision {
    let hears = state.running_turn().is_some_and(|open| open.id == turn && open.stop_requested_by.is_none());
    if !hears || !state.open_calls.is_empty() {
        return Decision::default();
    }
    let said = state
        .steers()
        .map(|steer| (Cause::User { user: steer.author.clone() }, EventBody::PromptSteered { prompt: steer.id, turn }));
    Decision { events: said.collect(), ..Decision::default() }
}

fn turn_over(state: &SessionState, turn: TurnId, outcome: TurnOutcome) -> Decision {
    match state.open_turn() {
        Some(open) if open.id == turn => end_turn(state, turn, outcome),
        Some(_) | None => Decision::default(),
    }
}

/// Ends the open turn, and begins the next prompt's turn where one waits and the queue is not paused.
pub(super) fn end_turn(state: &SessionState, turn: TurnId, outcome: TurnOutcome) -> Decision {
    // Before the next turn: what the sandbox is asked first, it does first.
    let mut decision = close_turn(state, turn, outcome);
    // In a deleted session nothing begins; what waits goes on if somebody takes the session back.
    let goes_on = state.queue_paused_by.is_none() && state.deleted.is_none();
    if let Some(waiting) = state.queue().next().filter(|_| goes_on) {
        begin_turn(state, waiting.id, waiting.author.clone(), &mut decision.events, &mut decision.effects);
    }
    decision
}

/// Ends the open turn and closes its calls.
pub(super) fn close_turn(state: &SessionState, turn: TurnId, outcome: TurnOutcome) -> Decision {
    let mut events = interrupt_calls(state, turn, "The turn ended before this tool did.");
    events.push((Cause::Turn { turn }, EventBody::TurnEnded { turn, outcome }));
    Decision { events, effects: vec![Effect::Snapshot(turn)], answer: Answer::Done }
}

/// Calls that began are answered as interrupted.
fn interrupt_calls(state: &SessionState, turn: TurnId, why: &str) -> Vec<(Cause, EventBody)> {
    interrupt(state, turn, why, |_| true)
}

fn interrupt(
    state: &SessionState,
    turn: TurnId,
    why: &str,
    which: impl Fn(&OpenCall) -> bool,
) -> Vec<(Cause, EventBody)> {
    let started = state.open_calls.iter().filter(|open| open.turn == turn && open.started && which(open));
    started
        .map(|open| {
            let finished = EventBody::ToolFinished {
                turn,
                call: open.call.clone(),
                status: ToolStatus::Interrupted,
                output: why.to_owned(),
                blob: None,
                image: None,
                duration_ms: 0,
            };
            (Cause::System, finished)
        })
        .collect()
}

fn pull_request_changed(state: &SessionState, number: u32, change: PullRequestChange) -> Decision {
    let Some(known) = state.pull_requests.iter().find(|known| known.number == number) else {
        return Decision::default();
    };
    // The forge may tell the same thing twice; once is enough for the log.
    let told = match (&change, known.status) {
        (PullRequestChange::Merged { .. }, PullRequestStatus::Merged)
        | (PullRequestChange::Closed { .. }, PullRequestStatus::Closed)
        | (PullRequestChange::Reopened { .. }, PullRequestStatus::Open) => true,
        (PullRequestChange::Synchronized { .. } | PullRequestChange::Reviewed { .. }, _)
        | (PullRequestChange::Merged { .. }, PullRequestStatus::Open | PullRequestStatus::Closed)
        | (PullRequestChange::Closed { .. }, PullRequestStatus::Open | PullRequestStatus::Merged)
        | (PullRequestChange::Reopened { .. }, PullRequestStatus::Closed | PullRequestStatus::Merged) => false,
    };
    if told { Decision::default() } else { event(Cause::Forge, EventBody::PullRequestChanged { number, change }) }
}

/// Puts a session right whose task had ended without tidying up.
fn woken(state: &SessionState, reason: String) -> Decision {
    let mut decision = Decision { effects: children::stops_owed(state), ..Decision::default() };
    if matches!(state.sandbox, SandboxPhase::Preparing | SandboxPhase::Syncing | SandboxPhase::Ready) {
        let detail = format!("{reason}; the workspace's files are kept");
        let gone = EventBody::SandboxChanged { phase: SandboxPhase::Absent, detail, duration_ms: 0 };
        decision.events.push((Cause::System, gone));
    }
    let Some(turn) = state.open_turn() else {
        return decision;
    };
    if let Some(by) = &turn.stop_requested_by {
        let ended = end_turn(state, turn.id, TurnOutcome::Stopped { by: by.clone() });
        return decision.then(ended);
    }
    if turn.paused.is_some() {
        return decision;
    }
    if turn.resumes >= TURN_RESUMES_MAX {
        let why = format!(
            "{reason}; this turn was resumed {TURN_RESUMES_MAX} times already. Look at the server's log for what ends it, then prompt again."
        );
        return decision.then(end_turn(state, turn.id, TurnOutcome::Failed { reason: why }));
    }
    // Those that may be made twice are made again.
    let cut_off = |open: &OpenCall| !is_repeatable(&open.name);
    decision.events.extend(interrupt(state, turn.id, INTERRUPTED_CALL, cut_off));
    decision.events.push((Cause::System, EventBody::TurnResumed { turn: turn.id, reason }));
    decision.effects.push(Effect::RunTurn(turn.id));
    decision
}

impl Decision {
    pub(super) fn then(mut self, next: Decision) -> Decision {
        self.events.extend(next.events);
        self.effects.extend(next.effects);
        Decision { answer: next.answer, ..self }
    }
}
