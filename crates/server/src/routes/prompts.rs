//! Say something to the agent, take it back, stop the agent.

use axum::{Json, extract::State, http::StatusCode};
use hangar_protocol::{
    Command, PromptId, RefusalCode, SessionId,
    api::{NewPrompt, PromptAccepted, StopAccepted},
};
use hangar_session::{Reply, random_request_id};

use crate::{
    answer::{Answer, Refused},
    app::App,
    extract::{Named, Sent},
    gate::Asking,
};

/// Says something to the agent. When it is answered, the prompt is on disk.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/prompts", tag = "sessions", params(("id" = SessionId, Path)), request_body = NewPrompt,
    responses((status = 202, body = PromptAccepted))
)]
pub(crate) async fn add_prompt(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(NewPrompt { request_id, text }): Sent<NewPrompt>,
) -> Answer<(StatusCode, Json<PromptAccepted>)> {
    let request_id = request_id.unwrap_or_else(random_request_id);
    match app.sessions.command(&id, asking.wants(Command::Prompt { request_id, text })).await? {
        Reply::Prompt(accepted) => Ok((StatusCode::ACCEPTED, Json(accepted))),
        other @ (Reply::Stop(_) | Reply::PullRequest(_) | Reply::Done) => Err(strange(&other)),
    }
}

/// Takes back a prompt that has not begun. Its author or the session's owner may.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}/prompts/{prompt}", tag = "sessions",
    params(("id" = SessionId, Path), ("prompt" = PromptId, Path, description = "The prompt's number.")),
    responses((status = 204, description = "It will not be worked on."))
)]
pub(crate) async fn cancel_prompt(
    State(app): State<App>,
    asking: Asking,
    Named((id, prompt)): Named<(SessionId, PromptId)>,
) -> Answer<StatusCode> {
    app.sessions.command(&id, asking.wants(Command::CancelPrompt { prompt })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the running turn now.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/stop", tag = "sessions", params(("id" = SessionId, Path)),
    responses((status = 202, body = StopAccepted))
)]
pub(crate) async fn stop_turn(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<(StatusCode, Json<StopAccepted>)> {
    match app.sessions.command(&id, asking.wants(Command::Stop)).await? {
        Reply::Stop(accepted) => Ok((StatusCode::ACCEPTED, Json(accepted))),
        other @ (Reply::Prompt(_) | Reply::PullRequest(_) | Reply::Done) => Err(strange(&other)),
    }
}

/// A command was answered with another command's reply: our fault, whatever it was.
pub(super) fn strange(reply: &Reply) -> Refused {
    tracing::error!(?reply, "a session answered another question");
    Refused::new(RefusalCode::Internal, "The server failed.", "Its log has the cause.")
}
