//! What passes between hangar and a model, in hangar's own words.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::{ids::CallId, plugin::Permission};

/// One piece of a model's reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// Words for the people in the session.
    Text {
        /// Markdown.
        text: String,
    },
    /// What the model thought, where its provider shows it.
    Reasoning {
        /// Readable form; empty where the provider gives none.
        text: String,
        /// The provider's own block, replayed untouched in the next request.
        #[ts(type = "unknown")]
        provider: serde_json::Value,
    },
    /// The model wants a tool to run.
    ToolCall {
        /// The model's name for this call.
        call: CallId,
        /// The tool.
        name: String,
        /// Arguments, as the tool's JSON schema describes them.
        #[ts(type = "unknown")]
        input: serde_json::Value,
    },
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It had nothing more to say.
    EndTurn,
    /// It waits for tool results.
    ToolUse,
    /// It reached the output limit.
    MaxTokens,
    /// It refused, or a filter did.
    Refusal,
}

/// Tokens of one or more model requests, as the provider counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct ModelUsage {
    /// Tokens read, without those that came from a cache.
    #[ts(type = "number")]
    pub input_tokens: u64,
    /// Tokens written.
    #[ts(type = "number")]
    pub output_tokens: u64,
    /// Tokens read from the provider's prompt cache.
    #[ts(type = "number")]
    pub cache_read_tokens: u64,
    /// Tokens written to the provider's prompt cache.
    #[ts(type = "number")]
    pub cache_write_tokens: u64,
}

impl ModelUsage {
    /// Tokens of every kind together.
    #[must_use]
    pub fn total(&self) -> u64 {
        let parts = [self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// Adds `other` to this sum.
    pub fn add(&mut self, other: ModelUsage) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cache_read_tokens = self.cache_read_tokens.saturating_add(other.cache_read_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(other.cache_write_tokens);
    }
}

/// What an agent asks the people of its session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Question {
    /// The question, at most [`crate::limits::QUESTION_CHARS_MAX`] characters.
    pub text: String,
    /// Answers that it would understand, one line each (at most [`crate::limits::QUESTION_CHOICES_MAX`]). People may say something else.
    pub choices: Vec<String>,
    /// What the answer [`Permission::ALLOW`] allows, where a plugin wants to know and not the agent.
    #[serde(default)]
    pub permission: Option<Permission>,
}

/// An entry of the agent's to-do list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct TodoItem {
    /// What is to be done, one line.
    pub text: String,
    /// How far it is.
    pub status: TodoStatus,
}

/// How far an entry of the to-do list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TodoStatus {
    /// Not begun.
    Pending,
    /// Being worked on.
    InProgress,
    /// Done.
    Done,
}
