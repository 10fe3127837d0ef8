//! Sandboxes: where a session's commands run and its files live.
//!
//! ```text
//!   Engine::new(config) ──create(spec)──▶ Sandbox ──exec · read · write · watch …──▶ guest (process 1 inside)
//!         │                                  │
//!         │ launcher: the one thread that    │ keeper: one task, watches limits and the end
//!         │ mounts and clones                ▼
//!         └── cgroups, id ranges          Health
//! ```
//!
//! A sandbox is made in two steps, so that the first can later be taken ahead of need: a **slot** (`slot.rs`) is a process in
//! all its namespaces that waits on a socket and could become anything; a **claim** sends it a set-up and detached mounts for
//! one repository, upon which it attaches them, moves in and locks itself down.
//!
//! Architecture invariants:
//! * No mount ever appears in the host's mount namespace: everything is built in the launcher's own.
//! * The host never opens a path inside a sandbox. Files are read and written by the guest, with the sandbox's rights. The one exception is
//!   `disk.rs`, which counts sizes and follows no link.
//! * The guest is not trusted: whatever it answers is bounded and can harm its own sandbox only.
//! * When hangar dies in any way, the kernel ends every sandbox; what stays are directories that the next start sweeps.

mod base;
mod cgroup;
mod disk;
pub mod doctor;
mod engine;
mod error;
mod exec;
mod keeper;
mod launcher;
pub mod layers;
mod link;
mod mounts;
mod plan;
mod process;
mod rights;
mod sandbox;
mod slot;
mod spec;
pub mod toolchains;
mod watch;

pub use engine::Engine;
pub use error::Error;
pub use exec::{Chunk, Collected, Ended, Exec, ExecInput, LimitHit};
pub use hangar_protocol::guest::{
    ExitStatus, FailureKind, FileChange, FileKind, Found, GlobRequest, GrepMatch, GrepRequest, Listed, Program, Signal,
    Stat, Stream, WindowSize, reply::Change, request::Leftovers,
};
pub use keeper::{Disk, Health, Life};
pub use rights::Rights;
pub use sandbox::{COLLECTED_BYTES_MAX, FileContent, Sandbox};
pub use spec::{EngineConfig, ExecSpec, Limits, SANDBOXES_DEFAULT, SANDBOXES_MAX, SandboxSpec};
pub use watch::{Changes, Watch};

/// The id on disk of a sandbox's root, when hangar runs as root: what lies below the data directory belongs to this id and the 65535 that follow. No
/// distribution gives them to anybody.
pub const DISK_IDS_FIRST: u32 = slot::IdRange::DISK.first;
