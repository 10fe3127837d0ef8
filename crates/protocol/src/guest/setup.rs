//! What turns a process into a nursery, its children into slots, and a slot into a sandbox.
//!
//! A guest is started once and told what all slots have in common ([`Order::Nursery`]). From then on it forks a slot for each [`Order::Slot`], ahead of
//! need. [`Order::Claim`] makes a slot one particular sandbox, while somebody waits. Where somebody else
//! has built the sandbox, [`Contained`] or [`Machine`] is the only order.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::{Deserialize, Serialize};

/// The first frames a guest reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Prepare what all slots have in common. Answered with [`Reply::Prepared`](super::Reply::Prepared).
    Nursery(Stage),
    /// Make a slot. Answered with [`Reply::Born`](super::Reply::Born) by the nursery, and with [`Reply::Staged`](super::Reply::Staged) by the slot on its own
    /// socket.
    Slot(NewSlot),
    /// Become a sandbox, as far as that goes without its root, which is being mounted meanwhile. Not answered.
    Claim(Claim),
    /// Move into this root. It follows a claim, and is answered with [`Reply::Claimed`](super::Reply::Claimed).
    Root(RootSource),
}

/// What every slot has before it is claimed, that does not depend on the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Mounted once and shared by all slots, in this order. Mount points are created. Slots can change nothing in them.
    pub ground: Vec<Mount>,
    /// Mounted by each slot for itself, in this order. Those of [`Source::Ground`] are the ground's, the others its own.
    pub mounts: Vec<Mount>,
    /// Files of each slot, each of which a claim can attach.
    pub files: Vec<RootFile>,
    /// Symbolic links in the ground: path and target.
    pub links: Vec<(String, String)>,
    /// Parts of the ground that nobody can change: mounts that hold nothing but mount points and links once they are made.
    pub closed: Vec<String>,
    /// Paths to hide in each slot: a file shows nothing, a directory is empty.
    pub masked: Vec<String>,
    /// Directories of each slot that can only be read, although their mount could be written.
    pub read_only: Vec<String>,
    /// Ports at which the host listens inside. Their sockets go with the slot's answer: one for each TCP port in this order, and last one for UDP at
    /// [`DNS_PORT`](super::DNS_PORT).
    pub ports: Vec<u16>,
}

/// One slot. Its socket goes with the order, and behind it what [`Enter`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSlot {
    /// Its ids.
    pub mapping: Mapping,
    /// How they are mapped.
    pub ids: IdMapping,
    /// Who commands will be.
    pub account: Account,
    /// Its machine's id, as in `/etc/machine-id`.
    pub machine_id: String,
    /// Its control group.
    pub group: Enter,
}

/// How a slot gets to be born in its control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enter {
    /// The nursery goes in, forks, and goes out: it writes `0` to each of so many files, and afterwards to each of as many others. Both are sent.
    Through {
        /// Files that lead in, and as many that lead out.
        doors: usize,
    },
    /// It is forked into the directory that is sent.
    Into,
    /// There is none.
    Anywhere,
}

/// How a user namespace maps ids, as `/proc/…/uid_map` wants it (user_namespaces(7)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Of users.
    pub users: String,
    /// Of groups.
    pub groups: String,
}

/// What makes a slot one particular sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Name of the machine, as seen inside.
    pub hostname: String,
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
    /// Whether the workspace can be held read only.
    pub holding: Holding,
}

/// Whether the workspace can be held read only while it is brought to a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    /// It cannot: it is a directory of the root like any other.
    #[default]
    Never,
    /// It is a mount of its own, which the host makes read only and writable again at any time. Commands of [`Request::Sync`](super::Request::Sync) have
    /// mounts of their own, in which it always can be written.
    Possible,
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
    /// File systems in memory: path and bytes.
    pub sizes: Vec<(String, u64)>,
    /// Processes and threads, the guest's own included.
    pub processes: u32,
    /// Where the host's own trees belong. Each is shared as a directory of [`MACHINE_TREES`], named by its place in this list.
    pub trees: Vec<String>,
    /// Paths to hide: a file shows nothing, a directory is empty.
    pub masked: Vec<String>,
    /// Directories and files through which the machine's kernel takes orders; they can only be read.
    pub read_only: Vec<String>,
    /// The rest.
    pub contained: Contained,
}

/// Where a machine finds its drivers when it starts.
pub const MACHINE_MODULES: &str = "/modules";
/// The name of the virtual serial port that leads to the host.
pub const MACHINE_PORT: &str = "hangar";
/// The tag under which the host shares the root.
pub const MACHINE_ROOT: &str = "root";
/// The tag under which the host shares trees that nobody changes, read only.
pub const MACHINE_TREES: &str = "trees";
/// The address of a machine in the network between it and the border. Every machine has a network of its own, so all have the same.
pub const MACHINE_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The border's address there: where everything is sent, and where names are asked for.
pub const MACHINE_BORDER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// How many of the leading bits both addresses share.
pub const MACHINE_NETWORK_BITS: u32 = 30;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// What is mounted at the same place of the ground, with everything below it.
    Ground,
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
