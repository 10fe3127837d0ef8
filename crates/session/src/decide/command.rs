//! What a person's command leads to.

use hangar_protocol::{
    Cause, Command, EventBody, ModelUsage, Person, Refusal, RefusalCode, SessionState,
    api::OpenPullRequest,
    limits,
    state::{Place, PullRequestStatus},
};

use super::{
    Answer, Decision, Effect, budget, forks::keep_attempt, life, people, prompt, queue, sandbox, stop, who_may,
};

pub(super) fn decide_command(state: &SessionState, by: Person, command: Command) -> Result<Decision, Refusal> {
    who_may::check(state, &by, &command)?;
    match command {
        Command::Create(_) => Err(Refusal::new(
            RefusalCode::Conflict,
            "This session exists already.",
            "Start a new one to work on something else.",
        )),
        Command::Prompt { request_id, text } => prompt::add(state, by, request_id, text),
        Command::Steer { request_id, text } => prompt::steer(state, by, request_id, text),
        Command::PromptAndResume { request_id, text } => prompt::add_and_resume(state, by, request_id, text),
        Command::CancelPrompt { prompt, request_id } => queue::cancel(state, by, prompt, request_id),
        Command::EditPrompt { prompt, request_id, text } => queue::edit(state, by, prompt, request_id, text),
        Command::MovePrompt { prompt, request_id, before } => queue::put_before(state, by, prompt, request_id, before),
        Command::SteerPrompt { prompt, request_id } => queue::steer(state, by, prompt, request_id),
        Command::Stop { turn, then, reach } => stop::stop(state, by, turn, then, reach),
        Command::Resume => Ok(stop::resume(state, by)),
        Command::ContinueTurn => budget::continue_turn(state, by),
        Command::SetBudget(wanted) => Ok(budget::set_budget(state, by, wanted)),
        Command::Rename { title } => {
            check_title(&title)?;
            Ok(Decision { events: vec![(Cause::User { user: by.user }, titled(title))], ..Decision::default() })
        }
        Command::AllowNetwork(place) => allow_network(state, by, place),
        Command::RetrySandbox { begin_at } => sandbox::retry(state, by, begin_at),
        Command::KeepAttempt { session } => keep_attempt(state, by, &session),
        Command::OpenPullRequest(request) => open_pull_request(state, by, request),
        Command::SetRole { person, role } => people::set_role(state, &by, person, role),
        Command::RemoveMember { user } => people::remove_member(state, &by, user),
        Command::TakeOwnership => people::take_ownership(state, by),
        Command::SetVisibility { visibility } => Ok(people::set_visibility(state, &by, visibility)),
        Command::Invite { role, hash, expires_ms, now_ms } => people::invite(state, by, role, hash, expires_ms, now_ms),
        Command::RevokeInvitation { invitation } => people::revoke(state, &by, invitation),
        Command::Join { hash, now_ms } => people::join(state, by, &hash, now_ms),
        Command::Archive => life::archive(state, by),
        Command::Unarchive => Ok(life::unarchive(state, by)),
        Command::Delete { purge_ms } => Ok(life::delete(state, by, purge_ms)),
        Command::Restore => life::restore(state, by),
    }
}

/// A title that a person gives costs nothing.
fn titled(title: String) -> EventBody {
    EventBody::TitleChanged { title, usage: ModelUsage::default(), cost_micro_usd: None }
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

pub(crate) fn check_title(title: &str) -> Result<(), Refusal> {
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
