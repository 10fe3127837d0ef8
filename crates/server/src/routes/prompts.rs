//! Say something to the agent, stop the agent.

use axum::{Json, extract::State, http::StatusCode};
use hangar_protocol::{
    Command, RefusalCode, SessionId,
    api::{PromptAccepted, PromptMode, SaidPrompt, StopAccepted, StopTurn},
};
use hangar_session::{Reply, random_request_id};

use crate::{
    answer::{Answer, Refused},
    app::App,
    extract::{MaybeSent, Named, Sent},
    gate::Asking,
    saved_prompts,
};

/// Says something to the agent: in a turn of its own, to the turn that runs, or with a paused queue going on. When it is answered, the
/// prompt is on disk. One that begins with the name of a saved prompt of the repository says what that says.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/prompts", tag = "sessions", params(("id" = SessionId, Path)), request_body = SaidPrompt,
    responses((status = 202, body = PromptAccepted))
)]
pub(crate) async fn add_prompt(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(SaidPrompt { request_id, text, mode }): Sent<SaidPrompt>,
) -> Answer<(StatusCode, Json<PromptAccepted>)> {
    let text = in_full(&app, &asking, &id, text).await?;
    let request_id = request_id.unwrap_or_else(random_request_id);
    let command = match mode {
        PromptMode::Queue => Command::Prompt { request_id, text },
        PromptMode::Steer => Command::Steer { request_id, text },
        PromptMode::Resume => Command::PromptAndResume { request_id, text },
    };
    match app.sessions.command(&id, asking.wants(command)).await? {
        Reply::Prompt(accepted) => Ok((StatusCode::ACCEPTED, Json(accepted))),
        other @ (Reply::Stop(_) | Reply::PullRequest(_) | Reply::Done) => Err(strange(&other)),
    }
}

/// A prompt with the words of the saved one that it begins with the name of.
async fn in_full(app: &App, asking: &Asking, id: &SessionId, text: String) -> Answer<String> {
    if !saved_prompts::may_be_one(&text) {
        return Ok(text);
    }
    app.seen(asking, id).await?;
    let state = app.sessions.state(id).await?;
    Ok(saved_prompts::in_full(&app.forge, &state.repo, &state.base_commit, text).await?)
}

/// Ends the running turn now, lets the prompts that wait go on or wait on, and stops the sessions that this one began unless told not to.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/stop", tag = "sessions", params(("id" = SessionId, Path)),
    request_body(content = Option<StopTurn>),
    responses((status = 202, body = StopAccepted))
)]
pub(crate) async fn stop_turn(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    MaybeSent(StopTurn { turn, then, reach }): MaybeSent<StopTurn>,
) -> Answer<(StatusCode, Json<StopAccepted>)> {
    match app.sessions.command(&id, asking.wants(Command::Stop { turn, then, reach })).await? {
        Reply::Stop(accepted) => Ok((StatusCode::ACCEPTED, Json(accepted))),
        other @ (Reply::Prompt(_) | Reply::PullRequest(_) | Reply::Done) => Err(strange(&other)),
    }
}

/// A command was answered with another command's reply: our fault, whatever it was.
pub(super) fn strange(reply: &Reply) -> Refused {
    tracing::error!(?reply, "a session answered another question");
    Refused::new(RefusalCode::Internal, "The server failed.", "Its log has the cause.")
}
