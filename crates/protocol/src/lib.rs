//! The words hangar is written in.
//!
//! Everything that two parts of hangar say to each other is a type of this crate: ids, the [`Command`]s a client may send, the
//! [`Event`]s a session's log is made of, [`SessionState::apply`] which folds a log into what is true now, the [`Frame`]s
//! a stream carries, the bodies of the REST API ([`api`]), and the frames a sandbox's guest speaks ([`guest`]).
//!
//! Architecture invariant: no I/O, no async, no clock, no randomness. The same fold runs in the server, the command line
//! and (in TypeScript, pinned by the fixtures under `fixtures/`) in every browser.

pub mod api;
pub mod command;
pub mod conversation;
pub mod event;
pub mod frame;
pub mod guest;
pub mod ids;
pub mod limits;
pub mod refusal;
pub mod state;

pub use command::Command;
pub use conversation::{Block, ModelUsage, StopReason, TodoItem, TodoStatus};
pub use event::{Cause, Event, EventBody};
pub use frame::Frame;
pub use ids::{CallId, Person, PromptId, RepoPath, RequestId, Seq, SessionId, TurnId, UserId};
pub use refusal::{Refusal, RefusalCode};
pub use state::SessionState;
