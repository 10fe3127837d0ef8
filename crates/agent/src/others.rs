//! The other sessions that a turn can reach: those that its agent begins, and those that its author may see.

use std::time::Duration;

use async_trait::async_trait;
use hangar_protocol::{CallId, ChildState, RepoPath, SessionId};

use crate::tools::Tell;

/// A session that an agent wants to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnWish {
    /// The repository; `None` for the same one.
    pub repo: Option<RepoPath>,
    /// What it starts from.
    pub start: StartFrom,
    /// What is to be done there.
    pub prompt: String,
    /// What people see in lists; `None` for the prompt's first words.
    pub title: Option<String>,
    /// `provider/model`; `None` for this session's.
    pub model: Option<String>,
    /// How much of what is left of this session's budget it may use up, in percent.
    pub budget_percent: u32,
}

/// What a session starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// A branch; `None` for the repository's default.
    Branch(Option<String>),
    /// The files of this session as they are in its sandbox.
    Workspace,
}

/// A session as an agent is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionReport {
    /// Its id.
    pub session: SessionId,
    /// The repository it works on.
    pub repo: RepoPath,
    /// The branch it may push.
    pub branch: String,
    /// Its title.
    pub title: String,
    /// What it is doing, in a word.
    pub phase: String,
    /// The last words of its agent, or why it failed or waits.
    pub words: String,
    /// What it changed, in words; `None` where nothing is known to be changed.
    pub changes: Option<String>,
    /// Its newest pull request, in words.
    pub pull_request: Option<String>,
}

/// An attempt at a session's wish, as an agent is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptReport {
    /// The session that it is.
    pub report: SessionReport,
    /// What it changed, as a patch; `None` while it works, or where that cannot be found out.
    pub patch: Option<String>,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitWish {
    /// These children; none for those that were begun in this turn and all that are at work.
    pub sessions: Vec<SessionId>,
    /// How many of them must have ended.
    pub until: Until,
    /// How long.
    pub patience: Duration,
}

/// How many of several must have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// Each of them.
    #[default]
    All,
    /// Any of them.
    Any,
}

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOver {
    /// They have ended.
    Ended,
    /// The time is over.
    Patience,
    /// Somebody wants to say something to this turn.
    Called,
}

/// What came of a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// Why it is over.
    pub over: WaitOver,
    /// Those that were waited for, as they are now.
    pub sessions: Vec<SessionReport>,
}

/// The way to other sessions, in the name of the turn's author. What is asked about a session that the author may not see is answered as
/// about one that there is not.
#[async_trait]
pub trait OtherSessions: Send + Sync {
    /// Begins a session. The same call begins one session, however often it is made.
    ///
    /// # Errors
    /// Words for the model: a limit is reached, there is no such repository, branch or model, nothing is left of the budget.
    async fn spawn_session(&self, call: &CallId, wish: SpawnWish) -> Result<ChildState, Tell>;

    /// The sessions that this one's agent began, oldest first.
    ///
    /// # Errors
    /// Words for the model when this session is being closed.
    async fn children(&self) -> Result<Vec<ChildState>, Tell>;

    /// A session that the author may see.
    ///
    /// # Errors
    /// Words for the model: there is no such session.
    async fn session_status(&self, session: &SessionId) -> Result<SessionReport, Tell>;

    /// Says something to a child: its running turn hears it, else it begins a turn. The same call says it once.
    ///
    /// # Errors
    /// Words for the model: it is no child of this session, or does not take it.
    async fn message_session(&self, call: &CallId, session: &SessionId, text: String) -> Result<(), Tell>;

    /// Stops a child, with those that it began.
    ///
    /// # Errors
    /// Words for the model: it is no child of this session, or nothing of it runs.
    async fn cancel_session(&self, session: &SessionId) -> Result<(), Tell>;

    /// The attempts of the newest round at this session's wish that the author may see, oldest first.
    ///
    /// # Errors
    /// Words for the model: there are none.
    async fn attempts(&self) -> Result<Vec<AttemptReport>, Tell>;

    /// Chooses an attempt and stops the others of its round.
    ///
    /// # Errors
    /// Words for the model: it is no attempt of this session, or another was chosen.
    async fn keep_attempt(&self, session: &SessionId) -> Result<(), Tell>;

    /// Waits for children.
    ///
    /// # Errors
    /// Words for the model: one is no child of this session, or there is nothing to wait for.
    async fn wait_sessions(&self, wish: WaitWish) -> Result<Waited, Tell>;
}
