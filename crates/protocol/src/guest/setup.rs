//! What turns a process into a slot, and a slot into a sandbox.
//!
//! A guest is given two orders. [`Order::Stage`] prepares everything that every sandbox has, whatever it will be used for; it is carried out ahead of
//! need. [`Order::Claim`] makes the slot one particular sandbox, while somebody waits. Where somebody else
//! has built the sandbox, [`Contained`] or [`Machine`] is the only order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The first frames a guest reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Become a slot. Answered with [`Reply::Staged`](super::Reply::Staged).
    Stage(Stage),
    /// Become a sandbox. Answered with [`Reply::Claimed`](super::Reply::Claimed).
    Claim(Claim),
}

/// What a slot has before it is claimed: a small root in memory with everything that does not depend on the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// How ids are mapped.
    pub ids: IdMapping,
    /// What to mount, in this order. Mount points are created.
    pub mounts: Vec<Mount>,
    /// Files to write, each of which a claim can attach.
    pub files: Vec<RootFile>,
    /// Symbolic links to make: path and target.
    pub links: Vec<(String, String)>,
    /// Paths to hide: a file shows nothing, a directory is empty.
    pub masked: Vec<String>,
    /// Directories that can only be read, although their mount could be written.
    pub read_only: Vec<String>,
    /// Ports at which the host listens inside. Their sockets go with the answer: one for each TCP port in this order, and last one for UDP at
    /// [`DNS_PORT`](super::DNS_PORT).
    pub ports: Vec<u16>,
}

/// What makes a slot one particular sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Name of the machine, as seen inside.
    pub hostname: String,
    /// The root file system.
    pub root: RootSource,
    /// Staged paths that are moved to the same place in the root.
    pub attach: Vec<String>,
    /// Staged files that are written anew before they are attached.
    pub files: Vec<RootFile>,
    /// Staged memory file systems that get another size: path and bytes.
    pub sizes: Vec<(String, u64)>,
    /// Environment of every command.
    pub env: BTreeMap<String, String>,
    /// Limits of every process.
    pub limits: ProcessLimits,
    /// Who commands are.
    pub account: Account,
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
    /// Who commands are.
    pub account: Account,
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

/// Where the root file system comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootSource {
    /// A detached mount, sent along with the order.
    Sent,
    /// An overlay which the guest mounts itself (rootless). The directories are staged below [`DATA`].
    Overlay {
        /// Read only, the topmost first.
        lower: Vec<String>,
        /// Takes the changes.
        upper: String,
        /// An empty directory beside `upper`.
        work: String,
    },
}

/// Where a rootless slot finds the data directory until it is claimed.
pub const DATA: &str = "/data";

/// Who commands are inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// The user `agent`, who can do nothing special.
    #[default]
    Agent,
    /// User 0 of the sandbox's own user namespace, with the few capabilities that package managers need. For image builds only.
    Builder,
}

/// How the ids of the sandbox are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdMapping {
    /// A range of its own: set-up runs as id 0 and then becomes the account.
    Range,
    /// One id, the account's, from the beginning (rootless).
    Single,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where, from the slot's root.
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
        /// What may be done in it.
        access: Access,
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
