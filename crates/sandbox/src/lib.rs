//! Sandboxes: where a session's commands run and its files live.
//!
//! ```text
//!   Engine::new(config) ──create(spec)──▶ Sandbox ──exec · read · write · watch …──▶ guest (process 1 inside)
//!         │                                  │
//!         │ Backend: makes bodies            │ keeper: one task, watches limits and the end
//!         ▼                                  ▼
//!     namespace/ (slots, claims)           Health
//! ```
//!
//! What is inside a sandbox is reached through its guest, the same on every backend; what is done to it from outside goes through [`Body`].
//!
//! Architecture invariants:
//! * No mount ever appears in the host's mount namespace: everything is built in threads that have their own.
//! * The host never opens a path inside a sandbox. Files are read and written by the guest, with the sandbox's rights. The one exception is
//!   `disk.rs`, which counts sizes and follows no link.
//! * The guest is not trusted: whatever it answers is bounded and can harm its own sandbox only.
//! * When hangar dies in any way, the kernel ends every sandbox; what stays are directories that the next start sweeps.

mod adopt;
pub mod backend;
mod backends;
pub mod bench;
mod border;
mod disk;
pub mod doctor;
mod engine;
mod error;
mod exec;
mod frozen;
mod guard;
mod guest_socket;
mod ids;
mod keeper;
pub mod layers;
mod link;
mod namespace;
mod outgoing;
mod random;
mod sandbox;
mod spec;
#[doc(hidden)]
pub mod steps;
pub mod toolchains;
mod watch;

pub use adopt::adopt;
pub use backend::{Backend, BackendKind, Body, Capabilities, Hold, Made, Readings, SlotCounts};
pub use border::{Border, Opener};
pub use engine::Engine;
pub use error::Error;
pub use exec::{Chunk, Collected, Ended, Exec, ExecInput, LimitHit};
pub use frozen::{Frozen, Guarantee};
pub use hangar_protocol::guest::{
    Account, ExitStatus, FailureKind, FileChange, FileKind, Found, GlobRequest, GrepMatch, GrepRequest, Holding,
    Listed, Program, Signal, Stat, Stream, WindowSize, reply::Change, request::Leftovers,
};
pub use ids::IdRange;
pub use keeper::{Disk, Health, Life};
pub use namespace::rights::Rights;
pub use sandbox::{COLLECTED_BYTES_MAX, FileContent, Sandbox};
pub use spec::{
    Base, DOCKER_SOCKET_DEFAULT, EngineConfig, ExecSpec, Limits, MachineKernel, Root, SANDBOXES_DEFAULT, SANDBOXES_MAX,
    SLOTS_DEFAULT, SandboxSpec,
};
pub use watch::{Changes, Watch};

/// The hook program that external agents start before each of their calls, static. See `hangar_protocol::guest::hook`.
pub static HOOK_PROGRAM: &[u8] = include_bytes!(env!("HANGAR_HOOK"));

/// The id on disk of a sandbox's root, when hangar runs as root: what lies below the data directory belongs to this id and the 65535 that follow. No
/// distribution gives them to anybody.
pub const DISK_IDS_FIRST: u32 = IdRange::DISK.first;
