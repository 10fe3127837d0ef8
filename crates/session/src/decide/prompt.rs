//! What somebody says to the agent: a prompt for a turn of its own, or words for the turn that runs.

use hangar_protocol::{
    Cause, EventBody, Person, PromptId, Refusal, RefusalCode, RequestId, Seq, SessionState, TurnId, UserId,
    api::PromptAccepted,
    limits::{self, QUEUED_PROMPTS_MAX},
    state::{PromptState, fingerprint},
};

use super::{Answer, Decision, Effect, life};

/// A prompt at the end of the queue; its turn begins at once where nothing runs and nothing is paused.
pub(super) fn add(state: &SessionState, by: Person, request_id: RequestId, text: String) -> Result<Decision, Refusal> {
    match accept(state, by, request_id, text)? {
        Accepted::Before(decision) => Ok(decision),
        Accepted::Now(added) if may_begin(state) => Ok(added.beginning(state)),
        Accepted::Now(added) => Ok(added.waiting(state)),
    }
}

/// Words for the running turn. Where none runs they are a prompt as any other.
pub(super) fn steer(
    state: &SessionState,
    by: Person,
    request_id: RequestId,
    text: String,
) -> Result<Decision, Refusal> {
    if state.open_turn().is_none() {
        return add(state, by, request_id, text);
    }
    match accept(state, by, request_id, text)? {
        Accepted::Before(decision) => Ok(decision),
        Accepted::Now(mut added) => {
            added.push(EventBody::SteerRequested { prompt: added.prompt, request_id: None, by: added.by.clone() });
            Ok(added.waiting(state))
        }
    }
}

/// A prompt with which a paused queue goes on. It is the first then: whoever stopped the agent to say something means this.
pub(super) fn add_and_resume(
    state: &SessionState,
    by: Person,
    request_id: RequestId,
    text: String,
) -> Result<Decision, Refusal> {
    let mut added = match accept(state, by, request_id, text)? {
        Accepted::Before(decision) => return Ok(decision),
        Accepted::Now(added) => added,
    };
    let runs = state.open_turn().is_some();
    if state.queue_paused_by.is_some() {
        if runs {
            // The turn is being stopped: what is to be said to it is first when it has ended.
            added.push(EventBody::SteerRequested { prompt: added.prompt, request_id: None, by: added.by.clone() });
        }
        added.push(EventBody::QueueResumed { by: added.by.clone() });
    }
    Ok(if runs { added.waiting(state) } else { added.beginning(state) })
}

/// Begins a prompt's turn, after the last one.
pub(super) fn begin_turn(
    state: &SessionState,
    prompt: PromptId,
    author: UserId,
    events: &mut Vec<(Cause, EventBody)>,
    effects: &mut Vec<Effect>,
) {
    let turn = TurnId(state.turns.last().map_or(1, |last| last.id.0 + 1));
    events.push((Cause::User { user: author }, EventBody::TurnStarted { turn, prompt }));
    effects.push(Effect::RunTurn(turn));
}

fn may_begin(state: &SessionState) -> bool {
    state.open_turn().is_none() && state.queue_paused_by.is_none()
}

/// What came of a prompt that was sent.
enum Accepted {
    /// It was accepted before, and is answered like then.
    Before(Decision),
    /// It is new.
    Now(Added),
}

/// A prompt that is being added.
struct Added {
    prompt: PromptId,
    by: UserId,
    events: Vec<(Cause, EventBody)>,
}

impl Added {
    fn push(&mut self, body: EventBody) {
        self.events.push((Cause::User { user: self.by.clone() }, body));
    }

    fn waiting(self, state: &SessionState) -> Decision {
        self.answered(state, Vec::new())
    }

    fn beginning(mut self, state: &SessionState) -> Decision {
        let mut effects = Vec::new();
        begin_turn(state, self.prompt, self.by.clone(), &mut self.events, &mut effects);
        self.answered(state, effects)
    }

    fn answered(self, state: &SessionState, effects: Vec<Effect>) -> Decision {
        let seq = Seq(state.seq.0 + self.events.len() as u64);
        Decision { events: self.events, effects, answer: Answer::Prompt(PromptAccepted { prompt: self.prompt, seq }) }
    }
}

fn accept(state: &SessionState, by: Person, request_id: RequestId, text: String) -> Result<Accepted, Refusal> {
    check_text(&text)?;
    if let Some(known) = state.prompts.iter().find(|known| known.request_id == request_id) {
        return repeat(state, known, &by, &text).map(Accepted::Before);
    }
    if state.requests.iter().any(|known| known.request_id == request_id) {
        return Err(used_otherwise(&request_id));
    }
    if state.queue().count() >= QUEUED_PROMPTS_MAX {
        return Err(Refusal::new(
            RefusalCode::TooMany,
            format!("{QUEUED_PROMPTS_MAX} prompts are waiting in this session already."),
            "Wait for a turn to end, or cancel a waiting prompt.",
        ));
    }
    let number = u32::try_from(state.prompts.len()).unwrap_or(u32::MAX);
    if number >= limits::SESSION_PROMPTS_MAX {
        return Err(Refusal::new(
            RefusalCode::TooMany,
            format!("A session takes at most {} prompts.", limits::SESSION_PROMPTS_MAX),
            "Start a new session.",
        ));
    }
    // Whoever says something to a session that was put away takes it out again.
    let events = life::unarchive(state, by.clone()).events;
    let mut added = Added { prompt: PromptId(number + 1), by: by.user.clone(), events };
    if !state.participants.iter().any(|known| known.user == by.user) {
        check_room_for_one_more(state)?;
        added.push(EventBody::ParticipantJoined { person: by.clone() });
    }
    added.push(EventBody::PromptAdded { prompt: added.prompt, request_id, author: by.user, text });
    Ok(Accepted::Now(added))
}

fn repeat(state: &SessionState, known: &PromptState, by: &Person, text: &str) -> Result<Decision, Refusal> {
    if known.author == by.user && known.fingerprint == fingerprint(text) {
        let answer = Answer::Prompt(PromptAccepted { prompt: known.id, seq: state.seq });
        return Ok(Decision { answer, ..Decision::default() });
    }
    Err(Refusal::new(
        RefusalCode::Conflict,
        format!("The request id {} was used for another prompt.", known.request_id),
        "Send the new prompt with a new request id.",
    ))
}

/// An id that was used for something else.
pub(super) fn used_otherwise(request_id: &RequestId) -> Refusal {
    Refusal::new(
        RefusalCode::Conflict,
        format!("The request id {request_id} was used for another request."),
        "Send the new request with a new id.",
    )
}

/// Refuses a prompt that is empty or too long.
pub(super) fn check_text(text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::new(RefusalCode::BadRequest, "The prompt is empty.", "Say what you would like to have."));
    }
    if text.len() > limits::PROMPT_BYTES_MAX {
        return Err(Refusal::new(
            RefusalCode::TooLarge,
            format!("The prompt has {} bytes; {} are allowed.", text.len(), limits::PROMPT_BYTES_MAX),
            "Put long material into a file of the repository and name it in the prompt.",
        ));
    }
    Ok(())
}

fn check_room_for_one_more(state: &SessionState) -> Result<(), Refusal> {
    if state.participants.len() < limits::PARTICIPANTS_MAX {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::TooMany,
        format!("{} people take part in this session already.", limits::PARTICIPANTS_MAX),
        "Start a new session.",
    ))
}
