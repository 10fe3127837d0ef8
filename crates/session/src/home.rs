//! Everything one session has beside its task: its folder, its tail, its blobs, its sandbox.

use std::sync::{Arc, Weak, atomic::AtomicBool};

use hangar_agent::Jobs;
use hangar_protocol::{Exhausted, Refusal, RefusalCode, SessionId, TurnId, UserId};
use hangar_store::StoreError;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    access::AccessList,
    blobs::Blobs,
    budgets::Meter,
    driver::Message,
    index::Index,
    log::{LogError, LogReader},
    ports::Ports,
    registry::Registry,
    sandbox_host::SandboxHost,
    sessions::WeakSessions,
    tail::Tail,
    working::Working,
};

/// Where a session's task is reached.
pub(crate) type Inbox = mpsc::Sender<Message>;

/// See the module's documentation.
pub(crate) struct Home {
    pub(crate) id: SessionId,
    pub(crate) owner: UserId,
    pub(crate) ports: Arc<Ports>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) blobs: Blobs,
    pub(crate) sandbox: SandboxHost,
    /// The agent's background commands; they end with the sandbox or the task.
    pub(crate) jobs: Jobs,
    /// Reads what the task writes.
    pub(crate) log: LogReader,
    pub(crate) meter: Meter,
    pub(crate) index: Index,
    pub(crate) working: Working,
    pub(crate) access: Arc<AccessList>,
    pub(crate) registry: Weak<Registry>,
    /// The way to other sessions.
    pub(crate) sessions: WeakSessions,
    /// Whether something waits to be said to the running turn. Follows the state, so that a turn need not ask the task at every step.
    pub(crate) steered: AtomicBool,
    /// Rung when something was heard of a session that this one's agent began, or somebody wants to say something to the running turn.
    pub(crate) heard: watch::Sender<()>,
    /// The last turn in which the gateway refused a request for a budget, and that budget: an external agent's turn waits then.
    pub(crate) refused: watch::Sender<Option<(TurnId, Exhausted)>>,
    /// Cancelled when the task has ended and everything is put away.
    pub(crate) over: CancellationToken,
}

impl Home {
    /// Takes the session off the register unless somebody is about to write to it. `true`: the task must end.
    pub(crate) fn try_sleep(&self, inbox: &mpsc::Receiver<Message>) -> bool {
        self.registry.upgrade().is_none_or(|registry| registry.try_sleep(&self.id, inbox))
    }

    /// The session is to be woken again: its log could not be written.
    pub(crate) fn cut_off(&self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.cut_off.note(&self.id);
        }
    }

    /// The log could not be written; the operator is told when that begins.
    pub(crate) fn log_failed(&self, error: &LogError) {
        let known = self.registry.upgrade().is_some_and(|registry| registry.cut_off.holds(&self.id));
        if known {
            tracing::debug!(%error, session = %self.id, "the log still cannot be written");
        } else {
            tracing::error!(%error, session = %self.id, "the log cannot be written; the session's task ends");
        }
    }

    /// The session is put right.
    pub(crate) fn goes_on(&self) {
        if self.registry.upgrade().is_some_and(|registry| registry.cut_off.forget(&self.id)) {
            tracing::info!(session = %self.id, "a session whose log could not be written goes on");
        }
    }

    /// Takes the session's task off the register.
    pub(crate) fn ended(&self, inbox: &Inbox) {
        if let Some(registry) = self.registry.upgrade() {
            registry.forget(&self.id, inbox);
        }
    }
}

/// What a person is told when a log cannot be used.
pub(crate) fn log_refusal(error: &LogError) -> Refusal {
    match error {
        LogError::Store(StoreError::DiskFull) => Refusal::new(
            RefusalCode::Unavailable,
            "The server's disk is full. Nothing was accepted, and nothing that was accepted before is lost.",
            "Free space in hangar's data directory, then send it again.",
        ),
        LogError::Store(StoreError::ReadOnly) => Refusal::new(
            RefusalCode::Unavailable,
            "The server's disk can only be read now. Nothing was accepted, and nothing that was accepted before is lost.",
            "Look why the system made the disk of hangar's data directory read-only, then send it again.",
        ),
        LogError::Json(_) | LogError::Fault(_) | LogError::Store(StoreError::Damaged(_)) => Refusal::new(
            RefusalCode::Internal,
            format!("The session's log is damaged: {error}."),
            "Other sessions are not affected. `hangar check` says how far it can be read, `hangar export` by an owner of the server saves that, and a backup may have it whole.",
        ),
        LogError::Store(
            error @ (StoreError::Newer { .. }
            | StoreError::Older { .. }
            | StoreError::File(_)
            | StoreError::Sqlite(_)
            | StoreError::Closed),
        ) => Refusal::new(
            RefusalCode::Unavailable,
            format!("The session's log cannot be used: {error}."),
            "Nothing was accepted. Send it again in a moment; the server's log has the cause.",
        ),
    }
}
