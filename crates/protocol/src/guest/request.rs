//! What the host asks of a guest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One thing asked. Paths are absolute, or relative to the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Are you there? Answered by [`Pong`](super::Reply::Pong).
    Ping,
    /// Run a command. Answered by [`Started`](super::Reply::Started).
    Exec(ExecRequest),
    /// Run a command that can write to the workspace while that is held ([`Holding`](super::setup::Holding)). One at a time. Otherwise as [`Request::Exec`].
    Sync(ExecRequest),
    /// No such command comes any more: the process that would start it goes. Answered by [`Pong`](super::Reply::Pong).
    SyncOver,
    /// The payload is standard input for the exec of this exchange.
    Stdin,
    /// No more standard input for the exec of this exchange.
    StdinEnd,
    /// Send a signal to the whole process tree of the exec of this exchange.
    Signal(Signal),
    /// The terminal of the exec of this exchange has a new size.
    Resize(WindowSize),
    /// The reader has taken so many output frames of this exchange.
    Credit {
        /// How many more may be sent.
        frames: u32,
    },
    /// End this exchange. An exec's process tree is killed; no further reply follows.
    Cancel,
    /// Read a file. Answered by [`File`](super::Reply::File) with the bytes as payload.
    Read {
        /// Which file.
        path: String,
        /// First byte wanted.
        offset: u64,
        /// Bytes wanted at most; never more than [`PAYLOAD_BYTES_MAX`](super::PAYLOAD_BYTES_MAX) are sent.
        limit: u64,
    },
    /// Replace a file by the payload, atomically, creating its parents. Answered by [`Written`](super::Reply::Written).
    Write {
        /// Which file.
        path: String,
        /// Permission bits; an existing file keeps its own where this is `None`, a new one gets `0o644`.
        mode: Option<u32>,
    },
    /// Facts about a path, symbolic links not followed. Answered by [`Stat`](super::Reply::Stat).
    Stat {
        /// Which path.
        path: String,
    },
    /// The entries of a directory, sorted by name. Answered by [`Listing`](super::Reply::Listing).
    List {
        /// Which directory.
        path: String,
        /// Entries wanted at most, capped by [`PATHS_MAX`](super::PATHS_MAX).
        limit: u32,
    },
    /// Paths that match a pattern. Answered by [`Paths`](super::Reply::Paths).
    Glob(GlobRequest),
    /// Lines that match an expression. Answered by [`Matches`](super::Reply::Matches).
    Grep(GrepRequest),
    /// Tell of changed files below a directory. Answered by [`Watching`](super::Reply::Watching).
    Watch {
        /// Which directory.
        path: String,
    },
    /// Kill every process of the sandbox but the guest. Answered by [`Killed`](super::Reply::Killed).
    KillAll,
    /// Have a process ready for the next command (`true`, as at the beginning), or let it go, so that process 1 is alone where no command runs (`false`);
    /// the next command makes one again. Answered by [`Pong`](super::Reply::Pong), or [`StoodDown`](super::Reply::StoodDown).
    StandBy(bool),
    /// From now on, files may (`false`) or may not (`true`) grow. Answered by [`Pong`](super::Reply::Pong).
    ShrinkOnly(bool),
}

/// A command to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// What to run.
    pub program: Program,
    /// Working directory.
    pub cwd: String,
    /// Added to the sandbox's own environment.
    pub env: BTreeMap<String, String>,
    /// Where standard input comes from.
    pub stdin: StdinMode,
    /// A terminal of this size instead of pipes.
    pub pty: Option<WindowSize>,
    /// After so long the tree gets SIGTERM, and SIGKILL two seconds later.
    pub timeout_ms: Option<u64>,
    /// What happens to processes that the command leaves behind when it ends.
    pub leftovers: Leftovers,
}

/// What happens to processes that a command leaves behind when it ends by itself.
///
/// A command that is cancelled, signalled to death by its time-out or dropped always takes them along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leftovers {
    /// They are killed.
    Kill,
    /// They run on (`server &`), until the sandbox ends or [`Request::KillAll`].
    Keep,
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A program and its arguments; the program is looked up in `PATH`.
    Argv(Vec<String>),
    /// A script for `bash -c` (or `sh -c` where there is no bash).
    Shell(String),
}

/// Where standard input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StdinMode {
    /// `/dev/null`.
    Null,
    /// [`Request::Stdin`] frames.
    Piped,
}

/// Signals the host may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// SIGINT: what Ctrl-C sends.
    Interrupt,
    /// SIGTERM: please end.
    Terminate,
    /// SIGKILL: end.
    Kill,
    /// SIGHUP: the terminal is gone.
    Hangup,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Continue,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// A search for paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobRequest {
    /// The pattern, as in `.gitignore` and ripgrep (`**/*.rs`).
    pub pattern: String,
    /// Where to look.
    pub path: String,
    /// Paths wanted at most, capped by [`PATHS_MAX`](super::PATHS_MAX).
    pub limit: u32,
}

/// A search for lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrepRequest {
    /// The expression, in the syntax of the crate `regex`.
    pub pattern: String,
    /// Where to look: a directory or one file.
    pub path: String,
    /// Only files whose path matches this pattern.
    pub glob: Option<String>,
    /// Letter case does not count.
    pub ignore_case: bool,
    /// Lines before and after each match, at most 20.
    pub context: u32,
    /// Matches wanted at most, capped by [`MATCHES_MAX`](super::MATCHES_MAX).
    pub limit: u32,
}
