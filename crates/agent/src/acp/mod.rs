//! Agents that are programs of their own, driven inside the sandbox through the Agent Client Protocol.
//!
//! ```text
//!   turn ──session/prompt──▶ program in the sandbox ──asks──▶ model gateway
//!    ▲  │ ◀──session/update── its words, calls, plan: events of the session, as of hangar's own agent
//!    │  │ ◀──request_permission── plugins' verdicts
//!    │  └──session/cancel── a stop, a budget that is used up
//!    └──── one process a turn: it loads the conversation that the turn before left in its home, or is told what was said
//! ```
//!
//! The session owns the queue: an agent is given one prompt at a time, and what people say meanwhile follows when it has answered. A turn that
//! goes on after a restart starts the program again, so that recovery is the way every turn begins.
//!
//! Architecture invariant: what an agent asks leave for is a courtesy. What it may do is decided by the sandbox, its border and the gateway.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use hangar_protocol::{AgentKind, Exhausted};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::DropGuard;

use crate::{Conversation, hooks::Bus, limits::TurnLimits, models::Model};

mod calls;
mod codex;
mod peer;
mod turn;
mod words;

pub use codex::{INSTALLED_BELOW, Package, package_of};
pub use turn::run_external_turn;

/// Where agents' programs come from.
#[async_trait]
pub trait Programs: Send + Sync {
    /// Starts a program in the workspace, with these variables besides the sandbox's own.
    ///
    /// # Errors
    /// Why it cannot be started, for people.
    async fn start(&self, command: Vec<String>, env: Vec<(String, String)>) -> Result<Program, String>;
}

/// A program that runs. Dropping it ends its whole process tree.
pub struct Program {
    /// To its standard input.
    pub input: mpsc::Sender<Bytes>,
    /// Lines of its standard output.
    pub output: mpsc::Receiver<Bytes>,
    /// The end of what it wrote to its standard error.
    pub complaints: Complaints,
    /// Ends it.
    pub running: DropGuard,
}

/// The end of what a program wrote to its standard error.
#[derive(Clone, Debug, Default)]
pub struct Complaints(Arc<Mutex<String>>);

/// How much of it is kept.
const COMPLAINTS_BYTES_MAX: usize = 4 * 1024;

impl Complaints {
    /// Adds what it wrote.
    pub fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_str(&String::from_utf8_lossy(bytes));
        let mut start = kept.len().saturating_sub(COMPLAINTS_BYTES_MAX);
        while !kept.is_char_boundary(start) {
            start += 1;
        }
        drop(kept.drain(..start));
    }

    /// Its last line.
    pub(crate) fn last(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    }
}

/// What a turn of an external agent needs.
pub struct ExternalTurn {
    /// Everything said so far, with a turn open.
    pub conversation: Conversation,
    /// Which agent.
    pub agent: AgentKind,
    /// The agent's own name for its conversation, as the log has it.
    pub known: Option<String>,
    /// What it asks.
    pub model: Arc<Model>,
    /// The name by which the gateway knows the model.
    pub model_name: String,
    /// Where its program comes from.
    pub programs: Arc<dyn Programs>,
    /// The budget for which the gateway refused a request of this turn.
    pub exhausted: watch::Receiver<Option<Exhausted>>,
    /// What watches over the turn.
    pub hooks: Bus,
    /// How much the turn may use.
    pub limits: TurnLimits,
}
