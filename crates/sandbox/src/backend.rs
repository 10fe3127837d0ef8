//! The seam below the engine: what makes a sandbox's body, and what can be done to one from outside.
//!
//! ```text
//!   Engine ──create──▶ Backend::make ──▶ Made { guest's stream, Body, Border }
//!                                             │             │
//!                                   Link (every backend)    pause · resume · snapshot · kill
//! ```
//!
//! Whatever happens *inside* a sandbox goes over the guest's stream and is the same on every backend.

use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{border::Border, error::Error, frozen::Frozen, spec::SandboxSpec};

/// Which kind of wall stands around a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendKind {
    /// Linux namespaces over the host's kernel.
    #[default]
    Namespace,
    /// gVisor: a kernel of its own in user space.
    Gvisor,
    /// A container of a Docker daemon.
    Docker,
    /// A virtual machine.
    Vm,
}

impl BackendKind {
    /// All of them, in the order of docs/backends.md.
    pub const ALL: [Self; 4] = [Self::Namespace, Self::Gvisor, Self::Docker, Self::Vm];

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name, as in hangar.toml.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Gvisor => "gvisor",
            Self::Docker => "docker",
            Self::Vm => "vm",
        }
    }
}

/// What a backend can do on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an independent ability that a test or a caller asks for by name"
)]
pub struct Capabilities {
    /// Which it is.
    pub kind: BackendKind,
    /// It works as an ordinary user on this machine, and does so now.
    pub rootless: bool,
    /// Sandboxes can be paused and resumed.
    pub pause: bool,
    /// The changes of a running sandbox can become a layer.
    pub snapshot: bool,
    /// Any number of sandboxes can start from the same layers.
    pub fork: bool,
    /// Sandboxes are made ahead of need and bound to a root when claimed.
    pub late_bound: bool,
    /// Connections from inside arrive at a [`Border`].
    pub border: bool,
    /// The root is made of layers without copying them.
    pub layers: bool,
    /// Limits on memory, processor and processes are enforced.
    pub limits: bool,
    /// The workspace of a running sandbox can be held read only ([`Body::hold`]).
    pub hold: bool,
}

/// What came of an attempt to hold a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nobody in the sandbox can write to it until it is released.
    Held,
    /// Somebody has a file there open for writing; nothing has changed.
    InUse,
}

/// Unclaimed sandboxes and how well they served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotCounts {
    /// Waiting to be claimed.
    pub ready: usize,
    /// Made since the engine started.
    pub made: u64,
    /// Sandboxes that found one waiting.
    pub hits: u64,
    /// Sandboxes for which one had to be made.
    pub misses: u64,
}

/// Makes sandboxes of one kind.
pub trait Backend: Send + Sync + 'static {
    /// What it can do here.
    fn capabilities(&self) -> Capabilities;

    /// How many sandboxes stand ready.
    fn slots(&self) -> SlotCounts;

    /// Makes one and waits until its guest has claimed it. Cancel-safe: dropping the future leaves nothing behind.
    fn make<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Made, Error>>;

    /// Takes away what the backend itself has on the machine; every sandbox has ended. Blocks.
    fn close(&self);
}

/// A sandbox, as a backend hands it over.
pub struct Made {
    /// From the guest, beginning with the first frame behind [`Reply::Claimed`](hangar_protocol::guest::Reply::Claimed).
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// To the guest.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// The rest of it.
    pub body: Box<dyn Body>,
    /// Where its connections arrive.
    pub border: Option<Border>,
}

/// A sandbox seen from outside. Dropping it ends the sandbox and waits for nothing.
pub trait Body: Send + Sync + 'static {
    /// How often limits have been hit since it was made.
    fn readings(&self) -> Readings;

    /// The directory of the host that holds everything it has written, if the engine is to keep the disk limits by counting it.
    fn changes(&self) -> Option<&Path>;

    /// Directories with earlier changes that count as well: snapshots that are not layers yet.
    fn frozen(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Kills it. Does not wait.
    fn kill(&self);

    /// Becomes ready when its first process has ended.
    fn ended(&self) -> BoxFuture<'_, ()>;

    /// Takes away what is left once it has ended: no process, mount or control group stays.
    fn clear(&self) -> BoxFuture<'_, ()>;

    /// Stops every process where it is.
    fn pause(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Lets them go on.
    fn resume(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Makes the workspace read only for every process of the sandbox, at once, those included that have begun before. Commands of
    /// [`Sandbox::sync_stream`](crate::Sandbox::sync_stream) alone can write to it.
    fn hold(&self) -> BoxFuture<'_, Result<Hold, Error>> {
        Box::pin(async { Err(Error::cannot_hold("of this sandbox", "only `namespace` can")) })
    }

    /// Makes it writable again, at once.
    fn release(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Err(Error::cannot_hold("of this sandbox", "only `namespace` can")) })
    }

    /// Freezes the changes as a layer's tree. `busy`: the guest's process is not the only one.
    fn snapshot(&self, busy: bool) -> BoxFuture<'_, Result<Frozen, Error>>;
}

/// How often limits were hit since a sandbox was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// Processes killed because memory ran out.
    pub oom_kills: u64,
    /// Processes that were not made because there were too many.
    pub processes_refused: u64,
}
