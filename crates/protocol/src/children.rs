//! Sessions that the agent of another session began, as the two logs tell of each other.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::{
    budget::{Budget, Spent},
    ids::{CallId, RepoPath, Seq, SessionId, TurnId, UserId},
    limits::{self, clip},
    state::PullRequestState,
};

/// The call that began a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Parent {
    /// The session whose agent made it.
    pub session: SessionId,
    /// In which of its turns: the author of that turn's prompt began this session.
    pub turn: TurnId,
    /// The call.
    pub call: CallId,
    /// How many sessions are above this one: 1 for the child of one that a person began.
    pub depth: u32,
    /// On which files it began.
    #[serde(default)]
    pub files: ChildFiles,
}

/// On which files a session begins that another one's agent begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChildFiles {
    /// A branch's, as it is at the forge.
    #[default]
    Branch,
    /// Those of the session above, as they were in its sandbox then: what was not committed, too.
    Workspace,
}

/// How far a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChildPhase {
    /// A turn runs, or is about to.
    Working,
    /// Its turn waits for a budget.
    Paused,
    /// Its last turn ended well.
    Done,
    /// Its last turn ended with a question.
    Asking,
    /// Somebody stopped its last turn.
    Stopped,
    /// Its last turn could not go on.
    Failed,
}

impl ChildPhase {
    /// Whether its last turn is over.
    #[must_use]
    pub fn is_over(self) -> bool {
        match self {
            Self::Working | Self::Paused => false,
            Self::Done | Self::Asking | Self::Stopped | Self::Failed => true,
        }
    }

    /// The word that people and models are told.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Asking => "asking",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// A child, as the state of the session that began it remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct ChildState {
    /// The session that it is.
    pub session: SessionId,
    /// In which turn it was begun.
    pub turn: TurnId,
    /// By which call.
    pub call: CallId,
    /// The repository it works on.
    pub repo: RepoPath,
    /// What it was called at its beginning.
    pub title: String,
    /// What it may use up, as far as that is limited.
    pub share: Budget,
    /// How far it is.
    pub phase: ChildPhase,
    /// The beginning of its agent's last words, or why it failed or waits.
    pub words: String,
    /// Its newest pull request.
    pub pull_request: Option<PullRequestState>,
    /// What it had used up when it was last heard of, with those that it began itself.
    pub spent: Spent,
    /// After which of its own events that was.
    pub as_of: Seq,
    /// Who stopped this session and thereby the child, until that is heard to have ended.
    pub stop_requested_by: Option<UserId>,
}

impl ChildState {
    /// Whether somebody who knows `known` of this child learns something. What is older than that tells nothing.
    #[must_use]
    pub fn is_news_to(&self, known: &Self) -> bool {
        let Self { phase, words, pull_request, as_of, .. } = self;
        let differs = known.phase != *phase || known.pull_request != *pull_request || known.words != shortened(words);
        *as_of > known.as_of && differs
    }
}

/// The beginning of a child's words, as the state keeps it.
#[must_use]
pub(crate) fn shortened(words: &str) -> String {
    clip(words, limits::STATE_PROMPT_CHARS_MAX)
}
