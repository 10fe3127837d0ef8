//! Saying something to the agent, changing what waits, stopping. Every request that adds or changes something has a request id, so a
//! connection that breaks before the answer is tried again without doing it twice.

use std::time::Duration;

use hangar_protocol::{
    PromptId, RequestId, SessionId,
    api::{MovedPrompt, PromptAccepted, PromptMode, PromptPatch, SaidPrompt, SteeredPrompt, StopAccepted, StopTurn},
};
use reqwest::{Method, RequestBuilder, Response};

use crate::{
    client::{Client, Pace},
    error::Error,
};

/// How often a request is made when the connection fails.
const TRIES_MAX: u32 = 3;
/// The pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

impl Client {
    /// `POST /sessions/{id}/prompts`: says something to the agent, in a turn of its own. When this answers, the prompt is on disk.
    pub async fn prompt(&self, id: &SessionId, text: &str) -> Result<PromptAccepted, Error> {
        self.say(id, text, PromptMode::Queue).await
    }

    /// `POST /sessions/{id}/prompts`: says something to the agent. When this answers, the prompt is on disk.
    pub async fn say(&self, id: &SessionId, text: &str, mode: PromptMode) -> Result<PromptAccepted, Error> {
        let said = SaidPrompt { request_id: Some(new_request_id()?), text: text.to_owned(), mode };
        let path = format!("/api/v1/sessions/{id}/prompts");
        self.json(self.again(|| self.request(Method::POST, &path).json(&said)).await?).await
    }

    /// `DELETE /sessions/{id}/prompts/{prompt}`: takes a waiting prompt back.
    pub async fn cancel_prompt(&self, id: &SessionId, prompt: PromptId) -> Result<(), Error> {
        let path = format!("/api/v1/sessions/{id}/prompts/{prompt}?request_id={}", new_request_id()?);
        self.again(|| self.request(Method::DELETE, &path)).await.map(drop)
    }

    /// `PATCH /sessions/{id}/prompts/{prompt}`: gives a waiting prompt other words.
    pub async fn edit_prompt(&self, id: &SessionId, prompt: PromptId, text: &str) -> Result<(), Error> {
        let patch = PromptPatch { request_id: Some(new_request_id()?), text: text.to_owned() };
        let path = format!("/api/v1/sessions/{id}/prompts/{prompt}");
        self.again(|| self.request(Method::PATCH, &path).json(&patch)).await.map(drop)
    }

    /// `POST /sessions/{id}/prompts/{prompt}/move`: puts a waiting prompt before another, or at the end of the queue.
    pub async fn move_prompt(&self, id: &SessionId, prompt: PromptId, before: Option<PromptId>) -> Result<(), Error> {
        let moved = MovedPrompt { request_id: Some(new_request_id()?), before };
        let path = format!("/api/v1/sessions/{id}/prompts/{prompt}/move");
        self.again(|| self.request(Method::POST, &path).json(&moved)).await.map(drop)
    }

    /// `POST /sessions/{id}/prompts/{prompt}/steer`: says a waiting prompt to the running turn.
    pub async fn steer_prompt(&self, id: &SessionId, prompt: PromptId) -> Result<(), Error> {
        let steered = SteeredPrompt { request_id: Some(new_request_id()?) };
        let path = format!("/api/v1/sessions/{id}/prompts/{prompt}/steer");
        self.again(|| self.request(Method::POST, &path).json(&steered)).await.map(drop)
    }

    /// `POST /sessions/{id}/stop`: ends the running turn; a conflict when nothing runs.
    pub async fn stop(&self, id: &SessionId) -> Result<StopAccepted, Error> {
        self.stop_turn(id, &StopTurn::default()).await
    }

    /// `POST /sessions/{id}/stop`: ends the turn that is named, or whichever runs, lets the prompts that wait go on or wait on, and stops the
    /// sessions that this one began or lets them be.
    pub async fn stop_turn(&self, id: &SessionId, stop: &StopTurn) -> Result<StopAccepted, Error> {
        let request = self.request(Method::POST, &format!("/api/v1/sessions/{id}/stop")).json(stop);
        self.json(self.send(request, Pace::Ordinary).await?).await
    }

    /// `POST /sessions/{id}/resume`: lets a paused queue go on. One that is not paused goes on already.
    pub async fn resume(&self, id: &SessionId) -> Result<(), Error> {
        let path = format!("/api/v1/sessions/{id}/resume");
        self.again(|| self.request(Method::POST, &path)).await.map(drop)
    }

    /// Sends a request that may be sent twice, again while nothing answers.
    async fn again(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, Error> {
        let mut tries = 1;
        loop {
            match self.send(request(), Pace::Ordinary).await {
                Err(Error::Unreachable { .. }) if tries < TRIES_MAX => tries += 1,
                answer => return answer,
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// A request id nobody else will choose: 128 random bits.
pub(crate) fn new_request_id() -> Result<RequestId, Error> {
    Ok(RequestId::try_from(format!("cli-{:032x}", rand::random::<u128>()))?)
}
