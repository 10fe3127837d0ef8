//! The words hangar is written in.
//!
//! Everything that two parts of hangar say to each other is a type of this crate: ids, the [`Command`]s a client may send, the
//! [`Event`]s a session's log is made of, [`SessionState::apply`] which folds a log into what is true now, the [`Frame`]s
//! a stream carries, the bodies of the REST API ([`api`]), and the frames a sandbox's guest speaks ([`guest`]).
//!
//! Architecture invariant: no I/O, no async, no clock, no randomness. The same fold runs in the server, the command line
//! and (in TypeScript, pinned by the fixtures under `fixtures/`) in every browser.
//!
//! The feature `words` (on by default) is everything but [`guest`]; the guest itself builds without it, so that an edit of
//! the words does not rebuild it and it stays small.

#[cfg(feature = "words")]
pub mod api;
#[cfg(feature = "words")]
pub mod budget;
#[cfg(feature = "words")]
pub mod children;
#[cfg(feature = "words")]
pub mod command;
#[cfg(feature = "words")]
pub mod conversation;
#[cfg(feature = "words")]
pub mod event;
#[cfg(feature = "words")]
pub mod frame;
pub mod guest;
#[cfg(feature = "words")]
pub mod ids;
#[cfg(feature = "words")]
pub mod kinds;
#[cfg(feature = "words")]
pub mod limits;
#[cfg(feature = "words")]
pub mod people;
#[cfg(feature = "words")]
pub mod plugin;
#[cfg(feature = "words")]
pub mod refusal;
#[cfg(feature = "words")]
pub mod source;
#[cfg(feature = "words")]
pub mod state;

#[cfg(feature = "words")]
pub use budget::{Budget, Exhausted, Spent};
#[cfg(feature = "words")]
pub use children::{ChildFiles, ChildPhase, ChildState, Parent};
#[cfg(feature = "words")]
pub use command::Command;
#[cfg(feature = "words")]
pub use conversation::{Block, ModelUsage, Question, StopReason, TodoItem, TodoStatus};
#[cfg(feature = "words")]
pub use event::{Cause, Event, EventBody, EventKind, GatewayOutcome};
#[cfg(feature = "words")]
pub use frame::Frame;
#[cfg(feature = "words")]
pub use ids::{CallId, Person, PromptId, RepoPath, RequestId, Seq, SessionId, TurnId, UserId};
#[cfg(feature = "words")]
pub use kinds::Kinds;
#[cfg(feature = "words")]
pub use people::{InvitationId, SessionRole, Visibility};
#[cfg(feature = "words")]
pub use plugin::{HookPoint, OnFailure, Permission, PluginDecision};
#[cfg(feature = "words")]
pub use refusal::{Refusal, RefusalCode};
#[cfg(feature = "words")]
pub use state::SessionState;
