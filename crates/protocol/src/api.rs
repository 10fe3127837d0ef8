//! Bodies of the REST API under `/api/v1`. The routes themselves are listed in `docs/api.md` and `/api/v1/openapi.json`.

mod budgets;
mod forks;
mod images;
mod people;
mod prompts;
mod sandbox;

pub use budgets::{DayBudgets, SessionBudget};
pub use forks::{Attempt, DiffStat, NewAttempts, NewFork, Rewind, RewindRequest};
pub use images::{
    BuildInfo, BuildLog, BuildStatus, ImageInfo, ImportedImage, NewBuild, PoolInfo, RepoPool, SlotInfo, Warm, Warming,
};

pub use people::{
    InvitationInfo, InvitationSecret, InvitationView, Joined, NewInvitation, NewInvitationLink, RoleWish,
    VisibilityWish,
};
pub use prompts::{MovedPrompt, PromptMode, PromptPatch, SaidPrompt, SteeredPrompt, StopTurn};
pub use sandbox::SandboxRetry;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::{
    event::Event,
    ids::{Person, PromptId, RepoPath, RequestId, Seq, SessionId, TurnId, UserId},
    people::{Deletion, SessionRole, Visibility},
    refusal::Refusal,
    state::{PullRequestState, SessionState, SessionStatus},
};

/// The body of every answer whose status is 400 or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct ErrorBody {
    /// Why the request was not carried out.
    pub error: Refusal,
}

/// What a person may do on this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, people and settings included.
    Owner,
    /// Work with repositories and sessions.
    Member,
}

/// `GET /me`: who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Me {
    /// Login, name and address.
    #[serde(flatten)]
    pub person: Person,
    /// What they may do.
    pub role: Role,
}

/// `POST /sign-in`: trade a one-time link for a session cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The part of the link behind `#`.
    #[schema(max_length = 200)]
    pub code: String,
}

/// `POST /users`: let somebody in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Login, name and address.
    pub user: UserId,
    /// The name commits carry.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// The address commits carry.
    #[schema(min_length = 3, max_length = 200)]
    pub email: String,
    /// What they may do.
    pub role: Role,
}

/// A one-time sign-in link, shown once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct SignInLink {
    /// Open it in a browser. It works once.
    pub url: String,
    /// When it stops working: milliseconds since 1970-01-01 UTC.
    #[ts(type = "number")]
    pub expires_ms: u64,
}

/// `POST /tokens`: a personal access token for scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for, in the person's words.
    #[schema(min_length = 1, max_length = 100)]
    pub label: String,
}

/// A personal access token as it is listed: without the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct TokenInfo {
    /// Its number.
    pub id: u32,
    /// What it is for.
    pub label: String,
    /// When it was made: milliseconds since 1970-01-01 UTC.
    #[ts(type = "number")]
    pub created_ms: u64,
    /// When it was last used, likewise; `None` for never.
    #[ts(type = "number | null")]
    pub used_ms: Option<u64>,
}

/// A personal access token, the one time it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct CreatedToken {
    /// As it will be listed.
    #[serde(flatten)]
    pub info: TokenInfo,
    /// The secret: send it as `Authorization: Bearer …`, or as the password of git.
    pub secret: String,
}

/// A repository hangar knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct RepoInfo {
    /// `owner/name`.
    pub repo: RepoPath,
    /// The branch that pull requests go to by default.
    pub default_branch: String,
    /// Where stock git can clone it from.
    pub clone_url: String,
    /// When it was added: milliseconds since 1970-01-01 UTC.
    #[ts(type = "number")]
    pub created_ms: u64,
}

/// `POST /repos`: bring a repository into the embedded forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRepo {
    /// Its name here.
    pub repo: RepoPath,
    /// Where to copy it from: an `https://` address git can clone without a password, or a directory of the server's machine (owners only).
    /// `None` makes an empty repository with one commit.
    #[schema(max_length = 2000)]
    pub source: Option<String>,
}

/// A prompt that a repository has ready: whoever begins a prompt with `/NAME` says what its file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct SavedPrompt {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// What it is for, one line.
    pub description: String,
    /// What may come after the name, where its file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub hint: Option<String>,
}

/// A model the server can use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct ModelInfo {
    /// `provider/model`, as sessions name it.
    pub id: String,
    /// What people should know: a scripted model says here that it is one.
    pub note: String,
    /// Whether new sessions use it unless they say otherwise.
    pub default: bool,
}

/// An external agent that can work in a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct AgentInfo {
    /// Its id, as sessions name it.
    pub id: String,
    /// `provider/model` that it asks unless a session says otherwise; `None` for the server's default.
    pub model: Option<String>,
}

/// Where a session works: part of [`NewSession`], and what `Command::Create` carries once the forge has resolved it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct RepoTarget {
    /// The session's id.
    pub session: SessionId,
    /// The repository.
    pub repo: RepoPath,
    /// The branch its pull request goes to.
    pub base_branch: String,
    /// The commit it starts from (40 hex digits).
    pub base_commit: String,
    /// The branch it may push.
    pub branch: String,
    /// `provider/model`.
    pub model: String,
    /// The external agent that works in it; `None` for hangar's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub agent: Option<String>,
    /// Shown in lists.
    pub title: String,
    /// Who may see it.
    pub visibility: Visibility,
}

/// `POST /sessions`: begin a session, most often with its first prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// The repository.
    pub repo: RepoPath,
    /// The branch to start from; `None` for the repository's default.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub base_branch: Option<String>,
    /// `provider/model`; `None` for the server's default.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub model: Option<String>,
    /// An external agent of this server, by its id; `None` for hangar's own.
    #[serde(default)]
    #[schema(max_length = 40)]
    pub agent: Option<String>,
    /// The first prompt; `None` opens a session that waits for one.
    #[serde(default)]
    pub prompt: Option<NewPrompt>,
    /// Who may see it; `None` for the server's default.
    #[serde(default)]
    pub visibility: Option<Visibility>,
}

/// The first prompt of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPrompt {
    /// The client's id: sending the same again adds nothing. `None` lets the server choose.
    #[serde(default)]
    pub request_id: Option<RequestId>,
    /// The words, at most 256 KiB.
    #[schema(min_length = 1, max_length = 262144)]
    pub text: String,
}

/// The answer to an accepted prompt. When it is sent, the prompt is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct PromptAccepted {
    /// Its number.
    pub prompt: PromptId,
    /// The session's last event after it.
    pub seq: Seq,
}

/// The answer to a stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct StopAccepted {
    /// The turn that is being stopped.
    pub turn: TurnId,
}

/// `PATCH /sessions/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionPatch {
    /// The new title.
    #[schema(min_length = 1, max_length = 200)]
    pub title: String,
}

/// A session as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct SessionSummary {
    /// Its id.
    pub id: SessionId,
    /// The repository it works on.
    pub repo: RepoPath,
    /// Its title.
    pub title: String,
    /// Who began it.
    pub owner: UserId,
    /// What it is doing.
    pub status: SessionStatus,
    /// When it began: milliseconds since 1970-01-01 UTC.
    #[ts(type = "number")]
    pub created_ms: u64,
    /// When something last happened in it.
    #[ts(type = "number")]
    pub updated_ms: u64,
    /// The newest pull request, where there is one.
    pub pull_request: Option<PullRequestState>,
    /// Who may see it.
    #[serde(default)]
    pub visibility: Visibility,
    /// Who has a role of their own in it.
    #[serde(default)]
    pub members: BTreeMap<UserId, SessionRole>,
    /// Since when it is put away, likewise.
    #[serde(default)]
    #[ts(type = "number | null")]
    pub archived_ms: Option<u64>,
    /// Whether it was deleted, and until when it can be taken back.
    #[serde(default)]
    pub deleted: Option<Deletion>,
    /// The session whose agent began it; not there where a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub parent: Option<SessionId>,
    /// What is wrong with its log on disk; not there where it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub damaged: Option<String>,
    /// Where what was looked for stands in it; only in the answer to a search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub found: Option<Found>,
}

impl SessionSummary {
    /// A state as lists show it.
    #[must_use]
    pub fn of(state: &SessionState) -> Self {
        Self {
            id: state.id.clone(),
            repo: state.repo.clone(),
            title: state.title.clone(),
            owner: state.owner.clone(),
            status: state.status,
            created_ms: state.created_ms,
            updated_ms: state.updated_ms,
            pull_request: state.pull_requests.last().cloned(),
            visibility: state.visibility,
            members: state.members.clone(),
            archived_ms: state.archived_ms,
            deleted: state.deleted.clone(),
            parent: state.parent.as_ref().map(|parent| parent.session.clone()),
            damaged: None,
            found: None,
        }
    }
}

/// The place in a session that fits best what was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Found {
    /// Which place.
    pub place: FoundPlace,
    /// Some words of it, in order; put together they are one text.
    pub pieces: Vec<FoundPiece>,
}

/// Where something was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FoundPlace {
    /// In the title.
    Title,
    /// In a prompt.
    Prompt {
        /// Which.
        prompt: PromptId,
    },
    /// In the name of somebody who took part.
    Participant {
        /// Who.
        user: UserId,
    },
    /// In the path of a file that was changed.
    Path,
}

/// Some words of a place where something was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct FoundPiece {
    /// The words.
    pub text: String,
    /// Whether they are what was looked for.
    pub matched: bool,
}

/// A page of history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema)]
pub struct EventPage {
    /// In order.
    pub events: Vec<Event>,
    /// The log's last sequence number when the page was read; more can be fetched while it is larger than the last event's.
    pub head: Seq,
    /// How far was looked for events: with `after`, go on after it; with `before`, go on before it, until it is 1. It differs from the
    /// last (or first) event where `kinds` leaves events out.
    pub looked_at: Seq,
}

/// `POST /sessions/{id}/pull-request`. Without a title the session's is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenPullRequest {
    /// At most 200 characters.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub title: Option<String>,
    /// Markdown, at most 64 KiB.
    #[serde(default)]
    #[schema(max_length = 65536)]
    pub body: Option<String>,
}

/// How a pull request is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MergeMethod {
    /// A merge commit.
    Merge,
    /// All commits as one.
    Squash,
}

/// `POST /sessions/{id}/pull-request/merge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MergePullRequest {
    /// How.
    pub method: MergeMethod,
}

/// The page of a pull request in one answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct PullRequestView {
    /// Number, state, author, address.
    #[serde(flatten)]
    pub state: PullRequestState,
    /// Markdown.
    pub body: String,
    /// The branch it comes from.
    pub head_branch: String,
    /// The branch it goes to.
    pub base_branch: String,
    /// Whether it can be merged without conflict; `None` while that is being found out.
    pub mergeable: Option<bool>,
    /// Its commits, oldest first, at most 250.
    pub commits: Vec<CommitInfo>,
    /// Its reviews, oldest first, at most 100.
    pub reviews: Vec<ReviewInfo>,
    /// Its checks, at most 100.
    pub checks: Vec<CheckInfo>,
    /// What it changes.
    pub diff: SessionDiff,
}

/// A commit of a pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct CommitInfo {
    /// 40 hex digits.
    pub sha: String,
    /// The whole message.
    pub message: String,
    /// Author's name.
    pub author_name: String,
    /// Author's address.
    pub author_email: String,
}

/// A review of a pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct ReviewInfo {
    /// Login.
    pub by: String,
    /// `APPROVED`, `CHANGES_REQUESTED` or `COMMENTED`.
    pub verdict: String,
    /// Markdown.
    pub body: String,
}

/// A check of a pull request's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct CheckInfo {
    /// Its name.
    pub name: String,
    /// `queued`, `in_progress`, `success`, `failure`, `neutral` …
    pub status: String,
}

/// What a session changed against the commit it started from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct SessionDiff {
    /// The files.
    pub files: Vec<FileDiff>,
    /// Files left out because the limit (3,000 files, 8 MiB) was reached.
    pub omitted: u32,
}

/// A file's part of a diff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct FileDiff {
    /// Its path now, or before its removal.
    pub path: String,
    /// Its path before, where it was renamed.
    pub old_path: Option<String>,
    /// `added`, `modified`, `removed` or `renamed`.
    pub status: String,
    /// Lines added.
    pub additions: u32,
    /// Lines removed.
    pub deletions: u32,
    /// Hunks in unified form; `None` for binary files and for those that are too large to show.
    pub patch: Option<String>,
}

/// `GET /healthz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Health {
    /// Always `ok`; a server that is not does not answer.
    pub status: String,
    /// hangar's version.
    pub version: String,
}
