//! A session's pull request: open, look at, review, merge. Everything is done in the name of the person who asks.

use axum::{Json, extract::State, http::StatusCode};
use hangar_forge::{
    LocalForge, MergeMethod as ForgeMerge, MergeWish, NewReview as ForgeReview, Pull, PullState, ReviewState,
};
use hangar_protocol::{
    Command, RefusalCode, SessionId, SessionRole, SessionState,
    api::{MergeMethod, MergePullRequest, OpenPullRequest, PullRequestView},
    state::{PullRequestState, PullRequestStatus},
};
use hangar_session::Reply;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{prompts::strange, pull_request_page, repos::forge_path, session_life::must_be_there};
use crate::{
    answer::{Answer, Refused},
    app::App,
    doorkeeper::forge_user,
    extract::{MaybeSent, Named, Sent},
    gate::Asking,
};

/// Commits what is not committed, pushes, and opens a pull request in the asking person's name.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/pull-request", tag = "pull requests", params(("id" = SessionId, Path)),
    request_body = Option<OpenPullRequest>, responses((status = 201, body = PullRequestState))
)]
pub(crate) async fn open_pull_request(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    MaybeSent(wish): MaybeSent<OpenPullRequest>,
) -> Answer<(StatusCode, Json<PullRequestState>)> {
    match app.sessions.command(&id, asking.wants(Command::OpenPullRequest(wish))).await? {
        Reply::PullRequest(opened) => Ok((StatusCode::CREATED, Json(opened))),
        other @ (Reply::Prompt(_) | Reply::Stop(_) | Reply::Done) => Err(strange(&other)),
    }
}

/// The session's newest pull request with commits, reviews, checks and diff.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}/pull-request", tag = "pull requests", params(("id" = SessionId, Path)),
    responses((status = 200, body = PullRequestView))
)]
pub(crate) async fn show_pull_request(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<Json<PullRequestView>> {
    app.seen(&asking, &id).await?;
    let (state, pull) = newest(&app, &id).await?;
    Ok(Json(pull_request_page::view(&app.forge, &state, &pull).await?))
}

/// Merges the session's newest pull request in the asking person's name.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/pull-request/merge", tag = "pull requests", params(("id" = SessionId, Path)),
    request_body = MergePullRequest, responses((status = 200, body = PullRequestState))
)]
pub(crate) async fn merge_pull_request(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(MergePullRequest { method }): Sent<MergePullRequest>,
) -> Answer<Json<PullRequestState>> {
    if app.seen(&asking, &id).await? < SessionRole::Prompter {
        return Err(Refused::new(
            RefusalCode::Forbidden,
            "You are a viewer of this session; merging its pull request takes a prompter.",
            "Ask an owner of the session.",
        ));
    }
    let (state, pull) = newest(&app, &id).await?;
    must_be_there(&state)?;
    let path = forge_path(&state.repo)?;
    let method = match method {
        MergeMethod::Merge => ForgeMerge::Merge,
        MergeMethod::Squash => ForgeMerge::Squash,
    };
    let wish = MergeWish { method, title: None, message: None, expected_head: Some(pull.head.1.clone()) };
    let commit = app.forge.merge_pull(&path, pull.number, wish, &forge_user(&asking.account)?).await?;
    tracing::info!(by = %asking.account.person.user, repo = %state.repo, number = pull.number, %commit, "merged");
    let merged = app.forge.pull(&path, pull.number).await?;
    Ok(Json(pull_request_page::state(&app.forge, &state, &merged).await?))
}

/// What a review says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It may be merged. Whoever opened it or prompted the session is refused.
    Approve,
    /// Not like this.
    RequestChanges,
    /// Just words.
    Comment,
}

/// A review.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewReview {
    /// What it says.
    verdict: Verdict,
    /// Markdown; needed for everything but an approval.
    #[serde(default)]
    #[schema(max_length = 65536)]
    body: String,
}

/// Reviews the session's newest pull request. Nobody approves work they asked for themselves.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/pull-request/reviews", tag = "pull requests", params(("id" = SessionId, Path)),
    request_body = NewReview, responses((status = 201, body = PullRequestState))
)]
pub(crate) async fn review_pull_request(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(NewReview { verdict, body }): Sent<NewReview>,
) -> Answer<(StatusCode, Json<PullRequestState>)> {
    app.seen(&asking, &id).await?;
    let (state, pull) = newest(&app, &id).await?;
    must_be_there(&state)?;
    if pull.state != PullState::Open {
        return Err(Refused::new(
            RefusalCode::Conflict,
            format!("Pull request #{} is not open any more.", pull.number),
            "Only open ones are reviewed.",
        ));
    }
    let asker = &asking.account.person.user;
    if verdict == Verdict::Approve && state.prompts.iter().any(|prompt| prompt.author == *asker) {
        return Err(Refused::new(
            RefusalCode::Forbidden,
            "You prompted this session, so its work is yours.",
            "Ask a colleague who did not take part to approve it.",
        ));
    }
    let review = match verdict {
        Verdict::Approve => ReviewState::Approved,
        Verdict::RequestChanges => ReviewState::ChangesRequested,
        Verdict::Comment => ReviewState::Commented,
    };
    let new = ForgeReview { state: review, body, commit: None };
    let path = forge_path(&state.repo)?;
    app.forge.create_review(&path, pull.number, new, &forge_user(&asking.account)?).await?;
    Ok((StatusCode::CREATED, Json(pull_request_page::state(&app.forge, &state, &pull).await?)))
}

/// The session and its newest pull request, as the forge has it.
async fn newest(app: &App, id: &SessionId) -> Answer<(SessionState, Pull)> {
    let state = app.sessions.state(id).await?;
    let Some(known) = state.pull_requests.last() else {
        return Err(Refused::new(
            RefusalCode::NotFound,
            "This session has no pull request yet.",
            "Open one: `POST` to the same address, or `hangar pr`.",
        ));
    };
    let pull = find(&app.forge, &state, known.number).await?;
    Ok((state, pull))
}

async fn find(forge: &LocalForge, state: &SessionState, number: u32) -> Answer<Pull> {
    Ok(forge.pull(&forge_path(&state.repo)?, number.into()).await?)
}

/// How the forge's word for a pull request's state is spelled in the API.
pub(super) fn status(pull: &Pull) -> (PullRequestStatus, Option<String>) {
    match &pull.state {
        PullState::Open => (PullRequestStatus::Open, None),
        PullState::Closed { .. } => (PullRequestStatus::Closed, None),
        PullState::Merged { commit, .. } => (PullRequestStatus::Merged, Some(commit.to_string())),
    }
}
