//! What a guest answers.

use serde::{Deserialize, Serialize};

/// One answer, or one part of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Slots can be made.
    Prepared,
    /// A slot has been made, and is getting ready; the descriptor of its process is attached.
    Born {
        /// Its process id, as the host sees it.
        pid: i32,
    },
    /// The slot is ready; the border's sockets are attached.
    Staged {
        /// How long it took to set the network up.
        network_us: u32,
    },
    /// The slot has become a sandbox.
    Claimed,
    /// Here.
    Pong,
    /// No process is kept ready for the next command.
    StoodDown {
        /// Process 1 is the only one, and stays so until a command is started.
        alone: bool,
    },
    /// The command runs.
    Started {
        /// Its process id, as seen inside.
        pid: u32,
    },
    /// The payload is output.
    Output {
        /// Of which stream.
        stream: Stream,
    },
    /// So many standard input frames have been handed to the command.
    StdinTaken {
        /// How many.
        frames: u32,
    },
    /// The command has ended and all its output has been sent.
    Exited {
        /// How.
        status: ExitStatus,
        /// From start to end.
        duration_ms: u64,
        /// It was ended because its time was up.
        timed_out: bool,
    },
    /// The payload is the file's content.
    File {
        /// Size of the whole file.
        size: u64,
        /// There is more behind what was sent.
        truncated: bool,
    },
    /// The file is written.
    Written {
        /// There was no such file before.
        created: bool,
    },
    /// Facts about a path.
    Stat(Stat),
    /// Entries of a directory.
    Listing {
        /// Sorted by name.
        entries: Vec<Listed>,
        /// There are more.
        truncated: bool,
    },
    /// Paths found, the last changed first.
    Paths(Found),
    /// Lines found, in the order of paths.
    Matches {
        /// Each matching line.
        matches: Vec<GrepMatch>,
        /// There are more.
        truncated: bool,
    },
    /// The watch stands: later changes will be told.
    Watching,
    /// Files changed.
    Changed {
        /// Which, each path once.
        changes: Vec<FileChange>,
        /// More changed than is told here; look again at whatever matters.
        overflow: bool,
    },
    /// So many processes were killed.
    Killed {
        /// How many.
        processes: u32,
    },
    /// It did not work. Ends the exchange.
    Failed(Failure),
}

/// Which stream output belongs to. A terminal has only [`Stream::Stdout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It returned this code, 0 for success.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
}

impl ExitStatus {
    /// Whether it returned 0.
    #[must_use]
    pub const fn success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A socket, pipe or device.
    Other,
}

/// Facts about a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// Size in bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Last change, milliseconds since 1970.
    pub modified_ms: i64,
    /// Where a symbolic link points.
    pub target: Option<String>,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// Size in bytes.
    pub size: u64,
}

/// Paths found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Relative to where was looked.
    pub paths: Vec<String>,
    /// There are more.
    pub truncated: bool,
}

/// A line found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrepMatch {
    /// Relative to where was looked.
    pub path: String,
    /// Line number, from 1.
    pub line: u64,
    /// The line, cut at [`MATCH_LINE_BYTES_MAX`](super::MATCH_LINE_BYTES_MAX).
    pub text: String,
    /// A neighbour that was asked for as context, not a match.
    pub context: bool,
}

/// A changed path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Relative to the watched directory.
    pub path: String,
    /// What it is now.
    pub change: Change,
}

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is there, new or with other content.
    Written,
    /// It is gone.
    Removed,
}

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of reason.
    pub kind: FailureKind,
    /// In words, with the path.
    pub message: String,
}

/// Kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// There is no such file, directory or program.
    NotFound,
    /// The sandbox's user may not.
    Denied,
    /// It is a directory, or is none, where the other was needed.
    WrongKind,
    /// It exceeds a limit.
    TooLarge,
    /// The sandbox's disk is used up.
    DiskFull,
    /// Too much is going on at once; try again later.
    Busy,
    /// The request makes no sense: a bad pattern, a bad frame, an unknown exchange.
    Invalid,
    /// Something else the system said.
    System,
}
