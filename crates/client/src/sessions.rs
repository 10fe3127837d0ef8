//! Sessions: begin, look, rename.

use hangar_protocol::{
    Budget, Seq, SessionId, SessionState,
    api::{DayBudgets, EventPage, NewSession, SandboxRetry, SessionBudget, SessionDiff, SessionPatch, SessionSummary},
    state::Place,
};
use reqwest::Method;

use crate::{
    client::{Client, Pace},
    error::Error,
};

impl Client {
    /// `GET /sessions?q=`: the newest sessions in which all these words are found, newest first, each with where.
    pub async fn search_sessions(&self, words: &str) -> Result<Vec<SessionSummary>, Error> {
        let request = self.request(Method::GET, "/api/v1/sessions").query(&[("q", words)]);
        self.json(self.send(request, Pace::Ordinary).await?).await
    }
    /// `POST /sessions`: begins a session. When this answers, the session and its first prompt are on disk.
    pub async fn create_session(&self, session: &NewSession) -> Result<SessionSummary, Error> {
        self.post("/api/v1/sessions", session, Pace::Ordinary).await
    }

    /// `GET /sessions/{id}`: what is true of a session now.
    pub async fn session(&self, id: &SessionId) -> Result<SessionState, Error> {
        self.get(&format!("/api/v1/sessions/{id}")).await
    }

    /// `PATCH /sessions/{id}`: gives a session another title.
    pub async fn rename_session(&self, id: &SessionId, title: &str) -> Result<(), Error> {
        let request = self.request(Method::PATCH, &format!("/api/v1/sessions/{id}"));
        self.send(request.json(&SessionPatch { title: title.to_owned() }), Pace::Ordinary).await.map(drop)
    }

    /// `GET /sessions/{id}/events`: a page of history after `after`, at most `limit` events.
    pub async fn events(&self, id: &SessionId, after: Seq, limit: u32) -> Result<EventPage, Error> {
        self.get(&format!("/api/v1/sessions/{id}/events?after={after}&limit={limit}")).await
    }

    /// `GET /sessions/{id}/events`: the last events before `before`, in order, at most `limit`.
    pub async fn events_before(&self, id: &SessionId, before: Seq, limit: u32) -> Result<EventPage, Error> {
        self.get(&format!("/api/v1/sessions/{id}/events?before={before}&limit={limit}")).await
    }

    /// `POST /sessions/{id}/typing`: lets others know that a prompt is being typed. It holds for 5 seconds.
    pub async fn typing(&self, id: &SessionId) -> Result<(), Error> {
        let request = self.request(Method::POST, &format!("/api/v1/sessions/{id}/typing"));
        self.send(request, Pace::Ordinary).await.map(drop)
    }

    /// `POST /sessions/{id}/sandbox/retry`: makes the session's sandbox once more; a conflict where it has not failed.
    pub async fn retry_sandbox(&self, id: &SessionId, retry: SandboxRetry) -> Result<(), Error> {
        let request = self.request(Method::POST, &format!("/api/v1/sessions/{id}/sandbox/retry")).json(&retry);
        self.send(request, Pace::Ordinary).await.map(drop)
    }

    /// `POST /sessions/{id}/network/allow`: opens the network of the session's sandbox towards a host and port.
    pub async fn allow_network(&self, id: &SessionId, place: &Place) -> Result<(), Error> {
        let request = self.request(Method::POST, &format!("/api/v1/sessions/{id}/network/allow")).json(place);
        self.send(request, Pace::Ordinary).await.map(drop)
    }

    /// `GET /sessions/{id}/budget`: what the session used up, and may.
    pub async fn budget(&self, id: &SessionId) -> Result<SessionBudget, Error> {
        self.get(&format!("/api/v1/sessions/{id}/budget")).await
    }

    /// `PUT /sessions/{id}/budget`: gives the session another budget. Owners of the server may.
    pub async fn set_budget(&self, id: &SessionId, budget: &Budget) -> Result<(), Error> {
        let request = self.request(Method::PUT, &format!("/api/v1/sessions/{id}/budget")).json(budget);
        self.send(request, Pace::Ordinary).await.map(drop)
    }

    /// `POST /sessions/{id}/continue`: lets a turn go on that waits for its budget; a conflict when none does.
    pub async fn continue_turn(&self, id: &SessionId) -> Result<(), Error> {
        let request = self.request(Method::POST, &format!("/api/v1/sessions/{id}/continue"));
        self.send(request, Pace::Ordinary).await.map(drop)
    }

    /// `GET /budgets`: what was used up today.
    pub async fn day_budgets(&self) -> Result<DayBudgets, Error> {
        self.get("/api/v1/budgets").await
    }

    /// `GET /sessions/{id}/diff`: what the session changed against the commit it began from.
    pub async fn diff(&self, id: &SessionId) -> Result<SessionDiff, Error> {
        self.json(self.send(self.request(Method::GET, &format!("/api/v1/sessions/{id}/diff")), Pace::Slow).await?).await
    }

    /// `GET /sessions/{id}/blobs/{sha256}`: a tool's whole output.
    pub async fn blob(&self, id: &SessionId, sha256: &str) -> Result<Vec<u8>, Error> {
        let request = self.request(Method::GET, &format!("/api/v1/sessions/{id}/blobs/{sha256}"));
        let response = self.send(request, Pace::Ordinary).await?;
        let body = response.bytes().await.map_err(|error| Error::transport(self.url(), &error))?;
        Ok(body.to_vec())
    }
}
