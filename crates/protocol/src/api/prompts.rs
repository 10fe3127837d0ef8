//! What is said to the agent, and what becomes of it while it waits.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::{
    command::{AfterStop, Reach},
    ids::{PromptId, RequestId, TurnId},
};

/// `POST /sessions/{id}/prompts`: say something to the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaidPrompt {
    /// The client's id: sending the same again adds nothing. `None` lets the server choose.
    #[serde(default)]
    pub request_id: Option<RequestId>,
    /// The words, at most 256 KiB.
    #[schema(min_length = 1, max_length = 262144)]
    pub text: String,
    /// When the agent hears it.
    #[serde(default)]
    pub mode: PromptMode,
}

/// When the agent hears a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromptMode {
    /// In a turn of its own, after those that wait.
    #[default]
    Queue,
    /// Before the running turn's next request to the model; as `queue` where no turn runs.
    Steer,
    /// As `queue`, and where the queue is paused it goes on, with this prompt first.
    Resume,
}

/// `PATCH /sessions/{id}/prompts/{prompt}`: other words for a prompt that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptPatch {
    /// The client's id: sending the same again changes nothing. `None` lets the server choose.
    #[serde(default)]
    pub request_id: Option<RequestId>,
    /// The new words, at most 256 KiB.
    #[schema(min_length = 1, max_length = 262144)]
    pub text: String,
}

/// `POST /sessions/{id}/prompts/{prompt}/move`: another place in the queue for a prompt that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MovedPrompt {
    /// The client's id: sending the same again changes nothing. `None` lets the server choose.
    #[serde(default)]
    pub request_id: Option<RequestId>,
    /// The waiting prompt that it comes before; `None` for the end of the queue.
    #[serde(default)]
    pub before: Option<PromptId>,
}

/// `POST /sessions/{id}/prompts/{prompt}/steer`: say a prompt that waits to the running turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SteeredPrompt {
    /// The client's id: sending the same again changes nothing. `None` lets the server choose.
    #[serde(default)]
    pub request_id: Option<RequestId>,
}

/// `POST /sessions/{id}/stop`: end the running turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopTurn {
    /// The turn that is meant: sent again after that turn is stopped, it changes nothing. `None` for whichever runs.
    #[serde(default)]
    pub turn: Option<TurnId>,
    /// What becomes of the prompts that wait.
    #[serde(default)]
    pub then: AfterStop,
    /// Whether the sessions that this one began are stopped with it.
    #[serde(default)]
    pub reach: Reach,
}
