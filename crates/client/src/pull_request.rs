//! The pull request of a session.

use hangar_protocol::{
    SessionId,
    api::{MergeMethod, MergePullRequest, OpenPullRequest, PullRequestView},
    state::PullRequestState,
};
use reqwest::Method;
use serde::Serialize;

use crate::{
    client::{Client, Pace},
    error::Error,
};

/// What a review says. The body of `POST /sessions/{id}/pull-request/reviews` is this with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may be merged. Its own author is refused.
    Approve,
    /// Not like this.
    RequestChanges,
    /// Just words.
    Comment,
}

#[derive(Serialize)]
struct NewReview<'a> {
    verdict: Verdict,
    body: &'a str,
}

impl Client {
    /// `POST /sessions/{id}/pull-request`: commits what is not committed, pushes, and opens a pull request in the asking
    /// person's name.
    pub async fn open_pull_request(
        &self,
        session: &SessionId,
        request: &OpenPullRequest,
    ) -> Result<PullRequestState, Error> {
        self.post(&path(session), request, Pace::Slow).await
    }

    /// `GET /sessions/{id}/pull-request`: the newest pull request with commits, reviews, checks and diff.
    pub async fn pull_request(&self, session: &SessionId) -> Result<PullRequestView, Error> {
        self.json(self.send(self.request(Method::GET, &path(session)), Pace::Slow).await?).await
    }

    /// `POST /sessions/{id}/pull-request/merge`.
    pub async fn merge_pull_request(
        &self,
        session: &SessionId,
        method: MergeMethod,
    ) -> Result<PullRequestState, Error> {
        self.post(&format!("{}/merge", path(session)), &MergePullRequest { method }, Pace::Slow).await
    }

    /// `POST /sessions/{id}/pull-request/reviews`: `body` is Markdown.
    pub async fn review_pull_request(&self, session: &SessionId, verdict: Verdict, body: &str) -> Result<(), Error> {
        let request = self.request(Method::POST, &format!("{}/reviews", path(session)));
        self.send(request.json(&NewReview { verdict, body }), Pace::Ordinary).await.map(drop)
    }
}

fn path(session: &SessionId) -> String {
    format!("/api/v1/sessions/{session}/pull-request")
}
