//! What a person's command leads to.

use hangar_protocol::{
    Cause, Command, EventBody, Person, PromptId, Refusal, RefusalCode, RequestId, Seq, SessionState, TurnId,
    api::{OpenPullRequest, PromptAccepted, StopAccepted},
    event::TurnOutcome,
    limits::{self, QUEUED_PROMPTS_MAX},
    state::{Place, PromptState, PromptStatus, PullRequestStatus, fingerprint},
};

use super::{Answer, Decision, Effect, budget, report::end_turn};

pub(super) fn decide_command(state: &SessionState, by: Person, command: Command) -> Result<Decision, Refusal> {
    match command {
        Command::Create(_) => Err(Refusal::new(
            RefusalCode::Conflict,
            "This session exists already.",
            "Start a new one to work on something else.",
        )),
        Command::Prompt { request_id, text } => add_prompt(state, by, request_id, text),
        Command::CancelPrompt { prompt } => cancel_prompt(state, &by, prompt),
        Command::Stop => stop(state, by),
        Command::ContinueTurn => budget::continue_turn(state, by),
        Command::SetBudget(wanted) => Ok(budget::set_budget(state, by, wanted)),
        Command::Rename { title } => {
            check_title(&title)?;
            Ok(Decision {
                events: vec![(Cause::User { user: by.user }, EventBody::TitleChanged { title })],
                ..Decision::default()
            })
        }
        Command::AllowNetwork(place) => allow_network(state, by, place),
        Command::OpenPullRequest(request) => open_pull_request(state, by, request),
    }
}

fn add_prompt(state: &SessionState, by: Person, request_id: RequestId, text: String) -> Result<Decision, Refusal> {
    check_prompt(&text)?;
    if let Some(known) = state.prompts.iter().find(|known| known.request_id == request_id) {
        return repeat_prompt(state, known, &by, &text);
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
    let cause = Cause::User { user: by.user.clone() };
    let mut events = Vec::with_capacity(3);
    if !state.participants.iter().any(|known| known.user == by.user) {
        check_room_for_one_more(state)?;
        events.push((cause.clone(), EventBody::ParticipantJoined { person: by.clone() }));
    }
    let prompt = PromptId(number + 1);
    events.push((cause.clone(), EventBody::PromptAdded { prompt, request_id, author: by.user, text }));
    let mut effects = Vec::new();
    if state.open_turn().is_none() {
        let turn = next_turn(state);
        events.push((cause, EventBody::TurnStarted { turn, prompt }));
        effects.push(Effect::RunTurn(turn));
    }
    let seq = Seq(state.seq.0 + events.len() as u64);
    Ok(Decision { events, effects, answer: Answer::Prompt(PromptAccepted { prompt, seq }) })
}

fn repeat_prompt(state: &SessionState, known: &PromptState, by: &Person, text: &str) -> Result<Decision, Refusal> {
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

fn cancel_prompt(state: &SessionState, by: &Person, prompt: PromptId) -> Result<Decision, Refusal> {
    let Some(known) = state.prompts.iter().find(|known| known.id == prompt) else {
        return Err(Refusal::new(
            RefusalCode::NotFound,
            format!("This session has no prompt {prompt}."),
            "Look at its queue for the prompts that wait.",
        ));
    };
    if known.author != by.user && state.owner != by.user {
        return Err(Refusal::new(
            RefusalCode::Forbidden,
            format!("Prompt {prompt} is {}'s.", known.author),
            "Its author or the session's owner can cancel it.",
        ));
    }
    match known.status {
        PromptStatus::Queued => Ok(Decision {
            events: vec![(Cause::User { user: by.user.clone() }, EventBody::PromptCancelled { prompt })],
            ..Decision::default()
        }),
        PromptStatus::Taken => Err(Refusal::new(
            RefusalCode::Conflict,
            format!("The agent has begun to work on prompt {prompt}."),
            "Stop the turn instead.",
        )),
        PromptStatus::Cancelled => {
            Err(Refusal::new(RefusalCode::Conflict, format!("Prompt {prompt} was cancelled before."), ""))
        }
    }
}

fn stop(state: &SessionState, by: Person) -> Result<Decision, Refusal> {
    let Some(turn) = state.open_turn() else {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            "Nothing is running in this session.",
            "There is nothing to stop.",
        ));
    };
    if let Some(first) = &turn.stop_requested_by {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            format!("{first} has stopped this turn already."),
            "It ends within a second.",
        ));
    }
    let answer = Answer::Stop(StopAccepted { turn: turn.id });
    let requested = EventBody::StopRequested { turn: turn.id, by: by.user.clone() };
    let asked = Decision { events: vec![(Cause::User { user: by.user.clone() }, requested)], ..Decision::default() };
    if turn.paused.is_some() {
        // Nobody works on it who could end it.
        let ended = asked.then(end_turn(state, turn.id, TurnOutcome::Stopped { by: by.user }));
        return Ok(Decision { answer, ..ended });
    }
    Ok(Decision { effects: vec![Effect::StopTurn(turn.id)], answer, ..asked })
}

fn allow_network(state: &SessionState, by: Person, place: Place) -> Result<Decision, Refusal> {
    check_host(&place)?;
    if state.allowed.contains(&place) {
        return Ok(Decision::default());
    }
    if state.allowed.len() >= limits::STATE_PLACES_MAX {
        return Err(Refusal::new(
            RefusalCode::TooMany,
            format!("{} places were opened for this session already.", limits::STATE_PLACES_MAX),
            "Allow what is needed this often in the repository's `.hangar/environment.toml`.",
        ));
    }
    let allowed = EventBody::NetworkAllowed { host: place.host.clone(), port: place.port, by: by.user.clone() };
    Ok(Decision {
        events: vec![(Cause::User { user: by.user }, allowed)],
        effects: vec![Effect::OpenNetwork(place)],
        ..Decision::default()
    })
}

fn open_pull_request(state: &SessionState, by: Person, request: OpenPullRequest) -> Result<Decision, Refusal> {
    if let Some(title) = &request.title {
        check_title(title)?;
    }
    if request.body.as_ref().is_some_and(|body| body.len() > limits::PULL_REQUEST_BODY_BYTES_MAX) {
        return Err(Refusal::new(
            RefusalCode::TooLarge,
            format!("The text of a pull request may have {} bytes.", limits::PULL_REQUEST_BODY_BYTES_MAX),
            "Shorten it.",
        ));
    }
    if let Some(turn) = state.open_turn() {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            format!("Turn {} is still running.", turn.id),
            "Wait for it, or stop it first.",
        ));
    }
    if let Some(open) = state.pull_requests.iter().find(|known| known.status == PullRequestStatus::Open) {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            format!("Pull request #{} of this session is open: {}", open.number, open.url),
            "New commits on the session's branch join it by themselves.",
        ));
    }
    Ok(Decision { events: Vec::new(), effects: vec![Effect::OpenPullRequest { by, request }], answer: Answer::Later })
}

fn next_turn(state: &SessionState) -> TurnId {
    TurnId(state.turns.last().map_or(1, |last| last.id.0 + 1))
}

/// Refuses a prompt that is empty or too long.
fn check_prompt(text: &str) -> Result<(), Refusal> {
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

/// Refuses what is no single name or address: a person opens the places that were asked for, not patterns.
fn check_host(place: &Place) -> Result<(), Refusal> {
    let fits = !place.host.is_empty()
        && place.host.len() <= limits::HOST_BYTES_MAX
        && place
            .host
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_' | ':'));
    if fits && place.port > 0 {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::BadRequest,
        "This is not a host name and port.",
        "Name one host in small letters and a port from 1 to 65535, such as example.org and 443.",
    ))
}

pub(super) fn check_title(title: &str) -> Result<(), Refusal> {
    let chars = title.chars().count();
    if title.trim().is_empty() || chars > limits::TITLE_CHARS_MAX || title.contains(char::is_control) {
        return Err(Refusal::new(
            RefusalCode::BadRequest,
            "This title cannot be used.",
            format!("Use 1 to {} characters on one line.", limits::TITLE_CHARS_MAX),
        ));
    }
    Ok(())
}
