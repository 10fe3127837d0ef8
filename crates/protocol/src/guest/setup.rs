//! What turns an unclaimed slot into a sandbox.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything a slot needs to become a sandbox, applied in the order of the fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Name of the machine, as seen inside.
    pub hostname: String,
    /// What to mount, in this order. Mount points are created.
    pub mounts: Vec<Mount>,
    /// Files to write in the root.
    pub files: Vec<RootFile>,
    /// Symbolic links to make in the root: path and target.
    pub links: Vec<(String, String)>,
    /// Paths to hide: a file shows nothing, a directory is empty.
    pub masked: Vec<String>,
    /// Directories that can only be read, although their mount can be written.
    pub read_only: Vec<String>,
    /// Environment of every command.
    pub env: BTreeMap<String, String>,
    /// Limits of every process.
    pub limits: ProcessLimits,
    /// How ids are mapped.
    pub ids: IdMapping,
}

/// What a guest needs whose sandbox somebody else has built: a container of another runtime, or a virtual machine. It is the first frame,
/// carries no descriptors, and is answered with [`Claimed`](super::Reply::Claimed) without any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contained {
    /// Environment of every command.
    pub env: BTreeMap<String, String>,
    /// Limits of every process.
    pub limits: ProcessLimits,
    /// How ids are mapped.
    pub ids: IdMapping,
}

/// What a guest needs that is process 1 of a virtual machine; the first frame there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Name of the machine, as seen inside.
    pub hostname: String,
    /// Memory of the machine; file systems in memory take a share of it.
    pub memory_bytes: u64,
    /// The rest.
    pub contained: Contained,
}

/// Where a machine finds its drivers when it starts.
pub const MACHINE_MODULES: &str = "/modules";
/// The name of the virtual serial port that leads to the host.
pub const MACHINE_PORT: &str = "hangar";
/// The tag under which the host shares the root.
pub const MACHINE_ROOT: &str = "root";

/// How the ids of the sandbox are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdMapping {
    /// A range of its own: set-up runs as id 0 and then becomes [`AGENT_ID`](super::AGENT_ID).
    Range,
    /// One id: the process is [`AGENT_ID`](super::AGENT_ID) from the beginning (rootless).
    Single,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where, from the sandbox's root.
    pub target: String,
    /// What.
    pub source: Source,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A detached mount that was sent along.
    Fd {
        /// Which of the descriptors, from 0.
        index: usize,
        /// Whether it is a directory.
        directory: bool,
    },
    /// A path of the host (rootless only: as root the host sends descriptors).
    Bind {
        /// Which.
        path: String,
        /// Only for reading.
        access: Access,
    },
    /// An overlay of host directories (rootless only).
    Overlay {
        /// Read only, the topmost first.
        lower: Vec<String>,
        /// Takes the changes.
        upper: String,
        /// An empty directory beside `upper`.
        work: String,
    },
    /// Memory.
    Tmpfs {
        /// How much at most.
        bytes: u64,
        /// Files at most.
        inodes: u64,
        /// Permission bits of its root.
        mode: u32,
        /// Who owns its root.
        owner: u32,
    },
    /// The processes of the sandbox.
    Proc,
    /// Its terminals.
    Devpts,
}

/// What may be done in a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Reading; no device files.
    ReadOnly,
    /// Reading and writing; no device files.
    ReadWrite,
    /// A device file.
    Device,
}

/// A file written at set-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFile {
    /// Where.
    pub path: String,
    /// Text.
    pub content: String,
}

/// Limits of every single process, set with `setrlimit(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLimits {
    /// Open descriptors.
    pub open_files: u64,
    /// Largest file.
    pub file_bytes: u64,
}
