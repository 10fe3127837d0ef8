//! What a hook program and its host say to each other: an external agent in a sandbox asks before a call of its own.
//!
//! One request of HTTP for each call, to the address in [`URL_VARIABLE`] with the token in [`TOKEN_VARIABLE`]: a [`Question`] as JSON, answered
//! by an [`Answer`] with status 200. Any other status refuses, with words as its body.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where hook programs and what belongs to them are inside a sandbox. Read only.
pub const HOOKS: &str = "/opt/hangar/hooks";
/// The name of the program there.
pub const PROGRAM: &str = "hangar-hook";
/// The argument of the program for agents that go on to judge a call by themselves unless their hook says that it is allowed: Claude Code asks a
/// model of its own, at the session's cost. Others take the word for a fault, and are told nothing.
pub const SAYS_ALLOW: &str = "says-allow";
/// The variable with the address at which is asked.
pub const URL_VARIABLE: &str = "HANGAR_HOOKS_URL";
/// The variable with the token that opens it.
pub const TOKEN_VARIABLE: &str = "HANGAR_HOOKS_TOKEN";
/// Largest question: what an agent gives its hook, arguments included.
pub const QUESTION_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Largest answer: changed arguments are as large as any.
pub const ANSWER_BYTES_MAX: usize = 6 * 1024 * 1024;
/// How long a question may be held, in seconds: longer than a sync may take.
pub const HELD_S_MAX: u64 = 15 * 60;
/// How long an agent is told to wait for the program, in seconds. It answers before, so that no agent goes on without an answer.
pub const PATIENCE_S: u64 = HELD_S_MAX + 300;

/// A call that an agent is about to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The tool, as the agent calls it.
    pub tool_name: String,
    /// Its arguments.
    #[serde(default)]
    pub tool_input: Value,
    /// The agent's name for the call, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_use_id: Option<String>,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Answer {
    /// It is made.
    Allow,
    /// It is made with these arguments.
    Change {
        /// All of them.
        input: Value,
    },
    /// It is not made.
    Deny {
        /// Why, for the model.
        words: String,
    },
}
