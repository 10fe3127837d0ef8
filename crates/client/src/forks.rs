//! Forks, ways back, and attempts at the same wish.

use hangar_protocol::{
    SessionId, SessionState, TurnId,
    api::{Attempt, NewAttempts, NewFork, PromptAccepted, RewindRequest, SessionSummary},
};
use reqwest::Method;

use crate::{
    client::{Client, Pace},
    error::Error,
    prompts::new_request_id,
};

impl Client {
    /// `POST /sessions/{id}/forks`: begins a session with everything that this one had after a turn.
    pub async fn fork(&self, id: &SessionId, fork: &NewFork) -> Result<SessionSummary, Error> {
        self.post(&format!("/api/v1/sessions/{id}/forks"), fork, Pace::Slow).await
    }

    /// `POST /sessions/{id}/rewind`: takes files and conversation back to where they were after a turn; 0 for before the first.
    pub async fn rewind(&self, id: &SessionId, to_turn: TurnId) -> Result<SessionState, Error> {
        let wish = RewindRequest { to_turn, request_id: Some(new_request_id()?) };
        self.post(&format!("/api/v1/sessions/{id}/rewind"), &wish, Pace::Slow).await
    }

    /// `POST /sessions/{id}/attempts`: gives the same wish to several forks at once.
    pub async fn begin_attempts(&self, id: &SessionId, attempts: &NewAttempts) -> Result<Vec<Attempt>, Error> {
        self.post(&format!("/api/v1/sessions/{id}/attempts"), attempts, Pace::Slow).await
    }

    /// `GET /sessions/{id}/attempts`: the attempts side by side, the newest round first.
    pub async fn attempts(&self, id: &SessionId) -> Result<Vec<Attempt>, Error> {
        let request = self.request(Method::GET, &format!("/api/v1/sessions/{id}/attempts"));
        self.json(self.send(request, Pace::Slow).await?).await
    }

    /// `POST /sessions/{id}/attempts/judge`: lets the session's agent compare the newest round and choose one; a conflict where there are none.
    pub async fn judge_attempts(&self, id: &SessionId) -> Result<PromptAccepted, Error> {
        let request = self.request(Method::POST, &format!("/api/v1/sessions/{id}/attempts/judge"));
        self.json(self.send(request, Pace::Ordinary).await?).await
    }

    /// `POST /sessions/{id}/attempts/{attempt}/keep`: chooses an attempt; the others of its round are stopped.
    pub async fn keep_attempt(&self, id: &SessionId, attempt: &SessionId) -> Result<Vec<Attempt>, Error> {
        let request = self.request(Method::POST, &format!("/api/v1/sessions/{id}/attempts/{attempt}/keep"));
        self.json(self.send(request, Pace::Slow).await?).await
    }
}
