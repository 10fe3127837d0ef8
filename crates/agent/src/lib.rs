//! One turn of an agent: model stream → tools → hooks. External agents are driven by [`acp`].
//!
//! [`run_turn`] works on the open turn of a [`Conversation`] (a pure fold over a session's events) until the model has
//! nothing more to do. It knows a sandbox only as [`Workspace`], which it asks [`Sandboxes`] for when the first tool needs
//! one, and it reports through [`TurnSink`], which makes every event durable before the effect that follows it.
//!
//! Architecture invariant: no import of session, sandbox, forge or server; no file and no clock of a session. Everything
//! a turn knows comes from its log, so that the same log gives the same request to the model, byte for byte.

pub mod acp;
pub mod conversation;
pub mod gateway;
pub mod hooks;
mod instructions;
pub mod jobs;
pub mod limits;
pub mod mcp;
pub mod models;
pub mod others;
mod prompt;
pub mod provider;
pub mod scripted;
pub mod sink;
pub mod title;
pub mod tools;
pub mod turn;
pub mod web;
pub mod workspace;

pub use conversation::Conversation;
pub use hooks::{Bus, Hook, ToolCall, ToolResult, Verdict};
pub use jobs::Jobs;
pub use models::{Model, ModelConfig, Models, Secret};
pub use sink::{TurnOver, TurnSink};
pub use tools::Tell;
pub use turn::{TurnEnd, TurnInput, run_turn};
pub use workspace::{SandboxPath, Sandboxes, Workspace, WorkspaceError};
