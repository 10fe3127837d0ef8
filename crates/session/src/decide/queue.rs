//! Changing the queue: other words, another place, out of it, or into the running turn. A prompt's author and owners of the session may.
//!
//! Each is looked up by its request id first, so that one which is sent again is answered like the first time, whatever has become of
//! the prompt since.

use hangar_protocol::{
    Cause, EventBody, Person, PromptId, Refusal, RefusalCode, RequestId, SessionRole, SessionState,
    state::{Asked, PromptState, PromptStatus},
};

use super::{
    Decision,
    prompt::{check_text, used_otherwise},
};

pub(super) fn cancel(
    state: &SessionState,
    by: Person,
    prompt: PromptId,
    request_id: Option<RequestId>,
) -> Result<Decision, Refusal> {
    if let Some(id) = &request_id
        && seen(state, &by, id, &Asked::Cancel(prompt))?
    {
        return Ok(Decision::default());
    }
    waiting(state, &by, prompt, "cancel")?;
    Ok(written(by, |_| EventBody::PromptCancelled { prompt, request_id }))
}

pub(super) fn edit(
    state: &SessionState,
    by: Person,
    prompt: PromptId,
    request_id: RequestId,
    text: String,
) -> Result<Decision, Refusal> {
    check_text(&text)?;
    if seen(state, &by, &request_id, &Asked::Edit(prompt, &text))? {
        return Ok(Decision::default());
    }
    waiting(state, &by, prompt, "edit")?;
    Ok(written(by, |by| EventBody::PromptEdited { prompt, request_id, by: by.user, text }))
}

pub(super) fn put_before(
    state: &SessionState,
    by: Person,
    prompt: PromptId,
    request_id: RequestId,
    before: Option<PromptId>,
) -> Result<Decision, Refusal> {
    if seen(state, &by, &request_id, &Asked::Move(prompt, before))? {
        return Ok(Decision::default());
    }
    queued(waiting(state, &by, prompt, "move")?)?;
    if let Some(place) = before {
        let known = state.prompt(place).ok_or_else(|| no_prompt(place))?;
        begun(known)?;
        queued(known)?;
        if place == prompt {
            return Err(Refusal::new(
                RefusalCode::BadRequest,
                format!("Prompt {prompt} cannot be moved before itself."),
                "Name another waiting prompt.",
            ));
        }
    }
    Ok(written(by, |by| EventBody::PromptMoved { prompt, request_id, by: by.user, before }))
}

pub(super) fn steer(
    state: &SessionState,
    by: Person,
    prompt: PromptId,
    request_id: RequestId,
) -> Result<Decision, Refusal> {
    if seen(state, &by, &request_id, &Asked::Steer(prompt))? {
        return Ok(Decision::default());
    }
    queued(waiting(state, &by, prompt, "send")?)?;
    if state.open_turn().is_none() {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            "No turn runs that it could be said to.",
            "Let the queue go on: it has a turn of its own then.",
        ));
    }
    Ok(written(by, |by| EventBody::SteerRequested { prompt, request_id: Some(request_id), by: by.user }))
}

fn written(by: Person, body: impl FnOnce(Person) -> EventBody) -> Decision {
    let cause = Cause::User { user: by.user.clone() };
    Decision { events: vec![(cause, body(by))], ..Decision::default() }
}

/// Whether this very request was carried out before. An id that was used for something else is a conflict.
fn seen(state: &SessionState, by: &Person, request_id: &RequestId, asked: &Asked<'_>) -> Result<bool, Refusal> {
    if let Some(known) = state.requests.iter().find(|known| known.request_id == *request_id) {
        let same = known.by == by.user && known.fingerprint == asked.fingerprint();
        return if same { Ok(true) } else { Err(used_otherwise(request_id)) };
    }
    if state.prompts.iter().any(|known| known.request_id == *request_id) {
        return Err(used_otherwise(request_id));
    }
    Ok(false)
}

/// The prompt, if it waits and is this person's to change.
fn waiting<'a>(state: &'a SessionState, by: &Person, prompt: PromptId, verb: &str) -> Result<&'a PromptState, Refusal> {
    let known = state.prompt(prompt).ok_or_else(|| no_prompt(prompt))?;
    if known.author != by.user && state.role_of(&by.user) != Some(SessionRole::Owner) {
        return Err(Refusal::new(
            RefusalCode::Forbidden,
            format!("Prompt {prompt} is {}'s.", known.author),
            format!("Its author or the session's owner can {verb} it."),
        ));
    }
    begun(known)?;
    Ok(known)
}

fn no_prompt(prompt: PromptId) -> Refusal {
    Refusal::new(
        RefusalCode::NotFound,
        format!("This session has no prompt {prompt}."),
        "Look at its queue for the prompts that wait.",
    )
}

/// Refuses a prompt that does not wait any more.
fn begun(known: &PromptState) -> Result<(), Refusal> {
    let prompt = known.id;
    match known.status {
        PromptStatus::Queued | PromptStatus::Steering => Ok(()),
        PromptStatus::Taken => Err(Refusal::new(
            RefusalCode::Conflict,
            format!("The agent has begun to work on prompt {prompt}."),
            "Stop the turn instead.",
        )),
        PromptStatus::Steered => Err(Refusal::new(
            RefusalCode::Conflict,
            format!("Prompt {prompt} was said to the running turn already."),
            "Say what is to be different, or stop the turn.",
        )),
        PromptStatus::Cancelled => {
            Err(Refusal::new(RefusalCode::Conflict, format!("Prompt {prompt} was cancelled before."), ""))
        }
    }
}

/// Refuses a prompt that goes to the running turn next: it has no place in the queue any more.
fn queued(known: &PromptState) -> Result<(), Refusal> {
    if known.status == PromptStatus::Steering {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            format!("Prompt {} is about to be said to the agent.", known.id),
            "It can be edited or cancelled until then.",
        ));
    }
    Ok(())
}
