//! What becomes of a prompt while it waits: other words, another place, taken back, said to the running turn; and the queue goes on.

use axum::{extract::State, http::StatusCode};
use hangar_protocol::{
    Command, PromptId, RequestId, SessionId,
    api::{MovedPrompt, PromptPatch, SteeredPrompt},
};
use hangar_session::random_request_id;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    answer::Answer,
    app::App,
    extract::{Asked, MaybeSent, Named, Sent},
    gate::Asking,
};

/// Gives a waiting prompt other words. Its author or the session's owner may.
#[utoipa::path(
    patch, path = "/api/v1/sessions/{id}/prompts/{prompt}", tag = "sessions", request_body = PromptPatch,
    params(("id" = SessionId, Path), ("prompt" = PromptId, Path, description = "The prompt's number.")),
    responses((status = 204, description = "It has the new words."))
)]
pub(crate) async fn edit_prompt(
    State(app): State<App>,
    asking: Asking,
    Named((id, prompt)): Named<(SessionId, PromptId)>,
    Sent(PromptPatch { request_id, text }): Sent<PromptPatch>,
) -> Answer<StatusCode> {
    let request_id = request_id.unwrap_or_else(random_request_id);
    done(&app, &id, asking, Command::EditPrompt { prompt, request_id, text }).await
}

/// What `DELETE` takes behind `?`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelPrompt {
    /// The client's id: sending the same again changes nothing. Without one, a second time is a conflict.
    #[param(value_type = Option<RequestId>)]
    request_id: Option<RequestId>,
}

/// Takes back a prompt that has not begun. Its author or the session's owner may.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}/prompts/{prompt}", tag = "sessions",
    params(("id" = SessionId, Path), ("prompt" = PromptId, Path, description = "The prompt's number."), CancelPrompt),
    responses((status = 204, description = "It will not be worked on."))
)]
pub(crate) async fn cancel_prompt(
    State(app): State<App>,
    asking: Asking,
    Named((id, prompt)): Named<(SessionId, PromptId)>,
    Asked(CancelPrompt { request_id }): Asked<CancelPrompt>,
) -> Answer<StatusCode> {
    done(&app, &id, asking, Command::CancelPrompt { prompt, request_id }).await
}

/// Puts a waiting prompt before another one, or at the end of the queue. Its author or the session's owner may.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/prompts/{prompt}/move", tag = "sessions", request_body(content = Option<MovedPrompt>),
    params(("id" = SessionId, Path), ("prompt" = PromptId, Path, description = "The prompt's number.")),
    responses((status = 204, description = "It has the new place."))
)]
pub(crate) async fn move_prompt(
    State(app): State<App>,
    asking: Asking,
    Named((id, prompt)): Named<(SessionId, PromptId)>,
    MaybeSent(MovedPrompt { request_id, before }): MaybeSent<MovedPrompt>,
) -> Answer<StatusCode> {
    let request_id = request_id.unwrap_or_else(random_request_id);
    done(&app, &id, asking, Command::MovePrompt { prompt, request_id, before }).await
}

/// Says a waiting prompt to the running turn, before its next request to the model. Its author or the session's owner may.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/prompts/{prompt}/steer", tag = "sessions",
    request_body(content = Option<SteeredPrompt>),
    params(("id" = SessionId, Path), ("prompt" = PromptId, Path, description = "The prompt's number.")),
    responses((status = 204, description = "The running turn hears it; should it end before, the next turn begins with it."))
)]
pub(crate) async fn steer_prompt(
    State(app): State<App>,
    asking: Asking,
    Named((id, prompt)): Named<(SessionId, PromptId)>,
    MaybeSent(SteeredPrompt { request_id }): MaybeSent<SteeredPrompt>,
) -> Answer<StatusCode> {
    let request_id = request_id.unwrap_or_else(random_request_id);
    done(&app, &id, asking, Command::SteerPrompt { prompt, request_id }).await
}

/// Lets a paused queue go on. One that is not paused goes on already.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/resume", tag = "sessions", params(("id" = SessionId, Path)),
    responses((status = 204, description = "The next prompt's turn begins, if one waits."))
)]
pub(crate) async fn resume_queue(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<StatusCode> {
    done(&app, &id, asking, Command::Resume).await
}

async fn done(app: &App, id: &SessionId, asking: Asking, command: Command) -> Answer<StatusCode> {
    app.sessions.command(id, asking.wants(command)).await?;
    Ok(StatusCode::NO_CONTENT)
}
