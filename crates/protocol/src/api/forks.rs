//! Bodies of the routes by which a session becomes two, goes back, or is tried several times.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::{
    api::{NewPrompt, SessionSummary},
    ids::{RequestId, TurnId},
};

/// `POST /sessions/{id}/forks`: a session of one's own that has everything this one had after a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFork {
    /// After which turn; 0 for before the first. `None` takes everything up to now, for which nothing may be running.
    #[serde(default)]
    pub at_turn: Option<TurnId>,
    /// The first prompt of the fork; `None` lets it wait for one.
    #[serde(default)]
    pub prompt: Option<NewPrompt>,
    /// `provider/model`; `None` for the session's own.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub model: Option<String>,
    /// Its title; `None` for the session's own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub title: Option<String>,
}

/// `POST /sessions/{id}/rewind`: take files and conversation back to where they were after a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RewindRequest {
    /// After which turn; 0 for before the first.
    pub to_turn: TurnId,
    /// The client's id: sending the same again changes nothing. `None` lets the server choose.
    #[serde(default)]
    pub request_id: Option<RequestId>,
}

/// A [`RewindRequest`] whose id is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewind {
    /// After which turn; 0 for before the first.
    pub to_turn: TurnId,
    /// The client's id for it.
    pub request_id: RequestId,
}

/// `POST /sessions/{id}/attempts`: the same wish in several forks at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAttempts {
    /// The wish.
    pub prompt: NewPrompt,
    /// How many, 2 to 8.
    #[schema(minimum = 2, maximum = 8)]
    pub count: u32,
    /// `provider/model` of each in turn, begun anew where there are fewer than attempts; empty for the session's own.
    #[serde(default)]
    #[schema(max_items = 8)]
    pub models: Vec<String>,
}

/// One of several attempts at the same wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Attempt {
    /// The session that it is.
    #[serde(flatten)]
    pub session: SessionSummary,
    /// In which round of attempts.
    pub round: u32,
    /// It is the one that was chosen.
    pub kept: bool,
    /// `provider/model`.
    pub model: String,
    /// What it changed against the commit that the session began from; `None` while it runs, or where that cannot be found out.
    pub diff: Option<DiffStat>,
    /// What it cost in millionths of a US dollar, as far as prices are known.
    #[ts(type = "number")]
    pub cost_micro_usd: u64,
    /// Tokens it read and wrote.
    #[ts(type = "number")]
    pub tokens: u64,
    /// How long its turns took that have ended, in milliseconds.
    #[ts(type = "number")]
    pub duration_ms: u64,
}

/// How much a diff changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct DiffStat {
    /// Files.
    pub files: u32,
    /// Lines added.
    pub additions: u32,
    /// Lines removed.
    pub deletions: u32,
}
