//! External agents: programs of other makers, which work inside the sandbox and are driven through the Agent Client Protocol.
//!
//! ```text
//!   turn ──session/prompt──▶ program in the sandbox ──asks──▶ model gateway
//!    ▲  │ ◀──session/update── its words, thoughts, calls, plan: events of the session, as of hangar's own agent
//!    │  │ ◀──session/request_permission── plugins' verdicts; held while the workspace is not at its commit
//!    │  │ ◀──its hook program, before each call── the same, once for each call; at a door of its own (`door.rs`)
//!    │  └──session/cancel── a stop, a budget that is used up, a time-out; then its whole process tree is ended
//!    └──── one program a turn: it loads the conversation that the one before left in its home, or is told what was said
//! ```
//!
//! The session owns the queue: a program is given one prompt, works with that author's name, and ends with the turn. So a turn that goes on
//! after a restart begins as every turn does.
//!
//! Architecture invariant: what an agent asks leave for is a courtesy. What it may do is decided by the sandbox, its border, the hold of its
//! workspace and the gateway. A call that a plugin refuses and that is made all the same ends the turn.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use hangar_protocol::{Exhausted, TurnId};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    Conversation,
    gateway::{GatewayToken, ModelWire},
    hooks::Bus,
    limits::TurnLimits,
};

mod asked;
mod calls;
mod door;
mod harness;
mod hooked;
mod leave;
mod peer;
mod seen;
mod start;
mod told;
mod turn;
mod words;

pub use door::HookDoor;
pub use harness::{Harness, Harnesses, HarnessesFault, MODEL_PLACE, TOKEN_PLACE, URL_PLACE};
pub use hooked::{HookFormat, hook_files};
pub use turn::run_harness_turn;

/// One line of a program. A longer one ends the turn.
pub const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Messages of a program in one turn.
pub const TURN_MESSAGES_MAX: u32 = 500_000;
/// Calls of a program in one turn.
pub const TURN_CALLS_MAX: usize = 5_000;
/// How much of a program's standard error is kept, for the words in which its end is told.
pub const COMPLAINTS_BYTES_MAX: usize = 4 * 1024;
/// How much of the transcript a program is told that cannot load its own conversation: the end of it.
pub const TOLD_BYTES_MAX: usize = 64 * 1024;
/// Pieces that may wait on each side between hangar and a program. When they are full, the side that writes waits.
pub const PIECES_AHEAD: usize = 16;

/// How long a program may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HarnessTimes {
    /// From its start until it can be given a prompt, its own conversation included.
    pub start_max: Duration,
    /// Between two messages while it works. A command of its own that runs for long may say nothing meanwhile.
    pub silence_max: Duration,
    /// From the wish that it stop to its answer; then it is ended.
    pub farewell_max: Duration,
    /// From a plugin's refusal of a call until it asks leave for it; one that does not ask makes the call without. Also from when a program with
    /// hooks tells of a call until its hook asks about it.
    pub leave_max: Duration,
    /// How long a question of a hook waits for the program to tell of the call, so that what it said before stands before it.
    pub notice_max: Duration,
}

impl Default for HarnessTimes {
    fn default() -> Self {
        Self {
            start_max: Duration::from_secs(120),
            silence_max: Duration::from_secs(30 * 60),
            farewell_max: Duration::from_secs(3),
            leave_max: Duration::from_secs(5),
            notice_max: Duration::from_millis(100),
        }
    }
}

/// What a turn of an external agent needs.
pub struct HarnessTurn {
    /// Everything said so far, with a turn open.
    pub conversation: Conversation,
    /// Which agent.
    pub harness: Harness,
    /// `provider/model` that it asks.
    pub model: String,
    /// Where its program comes from.
    pub programs: Arc<dyn Programs>,
    /// The budget for which the gateway refused a request, and the turn in which it did.
    pub refused: watch::Receiver<Option<(TurnId, Exhausted)>>,
    /// Where the hooks of its program ask.
    pub door: HookDoor,
    /// What watches over the turn.
    pub hooks: Bus,
    /// How much the turn may use.
    pub limits: TurnLimits,
    /// How long its program may take.
    pub times: HarnessTimes,
}

/// Where programs of agents run. The session's adapter starts them in its sandbox; this crate's tests do so in a directory.
#[async_trait]
pub trait Programs: Send + Sync {
    /// Starts a program in the workspace, which may still be read only.
    ///
    /// # Errors
    /// Why it cannot be started, for people.
    async fn start(&self, launch: Launch) -> Result<Program, String>;

    /// Returns once the workspace can be written, within the time that the session allows for that.
    ///
    /// # Errors
    /// Why it cannot, for people and for the agent.
    async fn writable(&self) -> Result<(), String>;
}

/// A program to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Which agent's.
    pub harness: Harness,
    /// `provider/model` that it asks.
    pub model: String,
    /// Added to the sandbox's own environment: whose commits these are.
    pub env: Vec<(String, String)>,
    /// What opens the door at which its hooks ask; `None` where it has none.
    pub hooks: Option<GatewayToken>,
}

/// A program with its arguments and its environment, ready to be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
}

/// Something of a program that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// From its standard output.
    Out(Bytes),
    /// From its standard error.
    Err(Bytes),
    /// It has ended, in words for people; nothing comes after.
    Ended(String),
}

/// A program that runs. Dropping it ends its whole process tree.
pub struct Program {
    /// To its standard input, which ends when this and its copies are dropped.
    pub input: mpsc::Sender<Bytes>,
    /// What it writes.
    pub output: mpsc::Receiver<Piece>,
    running: DropGuard,
    over: JoinHandle<()>,
}

impl Program {
    /// A program that a task serves: once `running` is cancelled, the task ends the process tree and then itself.
    #[must_use]
    pub fn new(
        input: mpsc::Sender<Bytes>,
        output: mpsc::Receiver<Piece>,
        running: CancellationToken,
        over: JoinHandle<()>,
    ) -> Self {
        Self { input, output, running: running.drop_guard(), over }
    }

    /// Its standard input, which ends when what is given is dropped.
    pub(crate) fn take_input(&mut self) -> mpsc::Sender<Bytes> {
        let (nobody, _) = mpsc::channel(1);
        std::mem::replace(&mut self.input, nobody)
    }

    /// Ends the whole process tree; the wish for it has been carried out when this returns.
    pub(crate) async fn end(self) {
        let Self { input, output, running, over } = self;
        drop((input, output, running));
        // A task that panicked has dropped what it held, which ends the tree as well.
        drop(over.await);
    }
}

/// Over which wire an agent asks, as its configuration says.
pub type HarnessWire = ModelWire;
