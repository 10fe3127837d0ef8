//! What a turn sees of a sandbox: files and commands. The session's adapter over a real sandbox implements it; this crate's
//! tests do so over a directory.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use hangar_protocol::guest::{
    ExitStatus, Failure, Found, GlobRequest, GrepMatch, GrepRequest, Listed, Stat, WORKSPACE,
};
use tokio::sync::mpsc;

use crate::limits;

/// Where workspaces come from. A turn asks when its first tool needs one, never before: the first request to the model
/// does not wait for a sandbox.
#[async_trait]
pub trait Sandboxes: Send + Sync {
    /// The session's workspace, made or woken if need be. Asked again after [`WorkspaceError::Lost`].
    ///
    /// # Errors
    /// [`WorkspaceError::Lost`] with the reason, in words for people, when there can be none.
    async fn workspace(&self) -> Result<Arc<dyn Workspace>, WorkspaceError>;

    /// What happened to the workspace without the agent's doing and changes what it has read, in words for the model; each piece once. It rides on the result of
    /// the call that ends next.
    async fn news(&self) -> Option<String> {
        None
    }
}

/// Files and commands of one sandbox. Every method may be called concurrently.
#[async_trait]
pub trait Workspace: Send + Sync {
    /// Runs a shell command to its end. Dropping the future kills the command with its whole process tree.
    ///
    /// Output (standard output and standard error in the order in which they come) is sent to `output`; when the channel
    /// is full the command waits. When the receiver is gone, output is thrown away and the command goes on.
    ///
    /// # Errors
    /// When the command cannot be started or the workspace is lost. A command that fails is not an error.
    async fn exec(&self, command: Exec, output: mpsc::Sender<Bytes>) -> Result<Exited, WorkspaceError>;

    /// Runs a shell command to its end with something on its standard input, and keeps what it says. Dropping the future kills the command
    /// with its whole process tree; so does output beyond [`Piped::output_bytes_max`].
    ///
    /// # Errors
    /// As for [`exec`](Self::exec).
    async fn pipe(&self, piped: Piped) -> Result<Said, WorkspaceError>;

    /// At most `limit` bytes of a file, from byte `offset`.
    ///
    /// # Errors
    /// When there is no such file or it cannot be read.
    async fn read(&self, path: &SandboxPath, offset: u64, limit: u64) -> Result<FileBytes, WorkspaceError>;

    /// Replaces a file atomically, creating its parents; an existing file keeps its permissions. Returns whether it is new.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn write(&self, path: &SandboxPath, content: Bytes) -> Result<Written, WorkspaceError>;

    /// Facts about a path, symbolic links not followed.
    ///
    /// # Errors
    /// When there is no such path.
    async fn stat(&self, path: &SandboxPath) -> Result<Stat, WorkspaceError>;

    /// The entries of a directory, sorted by name.
    ///
    /// # Errors
    /// When there is no such directory.
    async fn list(&self, path: &SandboxPath, limit: u32) -> Result<Listing, WorkspaceError>;

    /// Paths that match a pattern, ignoring what `.gitignore` ignores.
    ///
    /// # Errors
    /// When the pattern makes no sense or there is no such directory.
    async fn glob(&self, search: GlobRequest) -> Result<Found, WorkspaceError>;

    /// Lines that match an expression, ignoring what `.gitignore` ignores.
    ///
    /// # Errors
    /// When the expression makes no sense or there is no such path.
    async fn grep(&self, search: GrepRequest) -> Result<Matches, WorkspaceError>;
}

/// Why a workspace did not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkspaceError {
    /// This one thing did not work; the model is told and goes on.
    #[error("{0}")]
    Failed(Failure),
    /// The sandbox is gone or cannot be made. The turn asks [`Sandboxes`] again at the next call.
    #[error("the sandbox is not available: {0}")]
    Lost(String),
}

/// A shell command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// A script for `bash -c`.
    pub command: String,
    /// Working directory.
    pub cwd: SandboxPath,
    /// Added to the sandbox's own environment.
    pub env: Vec<(String, String)>,
    /// After so long the process tree is ended.
    pub timeout: Duration,
}

/// When a command may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At once: while a sync is under way it finds the workspace read only.
    AtOnce,
    /// When the workspace can be written, and what the repository's commands need runs beside it.
    Writable,
}

/// A shell command that is given something and says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piped {
    /// The command.
    pub exec: Exec,
    /// What is on its standard input. A command that does not read it is not disturbed.
    pub input: Bytes,
    /// When it may begin; its time counts from then.
    pub begin: Begin,
    /// It is ended when it writes more than this to either of its outputs.
    pub output_bytes_max: usize,
}

/// What a command said, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// How it ended; `None` where it was ended because it said too much.
    pub exited: Option<Exited>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// How long it ran.
    pub took: Duration,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exited {
    /// Its status.
    pub status: ExitStatus,
    /// It was ended because its time was up.
    pub timed_out: bool,
}

/// Bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBytes {
    /// The bytes asked for.
    pub bytes: Bytes,
    /// Size of the whole file.
    pub size: u64,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// There was no such file before.
    pub created: bool,
}

/// Entries of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Sorted by name.
    pub entries: Vec<Listed>,
    /// There are more.
    pub truncated: bool,
}

/// Lines found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matches {
    /// In the order of paths.
    pub matches: Vec<GrepMatch>,
    /// There are more.
    pub truncated: bool,
}

/// An absolute path inside a sandbox, without `.`, `..` or doubled slashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SandboxPath(String);

/// Text that is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// Nothing was given.
    #[error("the path is empty; use \".\" for the repository's root")]
    Empty,
    /// Paths cannot hold a NUL.
    #[error("the path holds a NUL character")]
    Nul,
    /// Longer than [`limits::PATH_BYTES_MAX`].
    #[error("the path is longer than {} bytes", limits::PATH_BYTES_MAX)]
    TooLong,
}

impl SandboxPath {
    /// The repository's root.
    #[must_use]
    pub fn workspace() -> Self {
        Self(WORKSPACE.to_owned())
    }

    /// Reads a path that is absolute or relative to the repository's root. `..` is taken away with the name before it,
    /// and goes no higher than `/`.
    ///
    /// # Errors
    /// [`PathFault`] when it is empty, too long or holds a NUL.
    pub fn parse(text: &str) -> Result<Self, PathFault> {
        if text.is_empty() {
            return Err(PathFault::Empty);
        }
        if text.contains('\0') {
            return Err(PathFault::Nul);
        }
        if text.len() > limits::PATH_BYTES_MAX {
            return Err(PathFault::TooLong);
        }
        let from = if text.starts_with('/') { "" } else { WORKSPACE };
        let mut names: Vec<&str> = Vec::new();
        for name in from.split('/').chain(text.split('/')) {
            match name {
                "" | "." => {}
                ".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        Ok(Self(format!("/{}", names.join("/"))))
    }

    /// The path as text, absolute.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path as people write it: relative to the repository's root where it lies below, else absolute.
    #[must_use]
    pub fn shown(&self) -> &str {
        match self.below_workspace() {
            Some("") => ".",
            Some(path) => path,
            None => &self.0,
        }
    }

    /// What a search below this path found, as people write it. A search in one file finds that file by its name.
    #[must_use]
    pub fn shown_below(&self, found: &str) -> String {
        let name = self.0.rsplit('/').next().unwrap_or_default();
        match self.shown() {
            "." => found.to_owned(),
            shown if name == found => shown.to_owned(),
            shown => format!("{}/{found}", shown.trim_end_matches('/')),
        }
    }

    /// The path relative to the repository's root (`""` for the root itself); `None` when it lies elsewhere.
    #[must_use]
    pub fn below_workspace(&self) -> Option<&str> {
        let rest = self.0.strip_prefix(WORKSPACE)?;
        if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
    }
}

impl fmt::Display for SandboxPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_absolute_and_plain() {
        let check = |input: &str, expect: &str, shown: &str| {
            let path = SandboxPath::parse(input).unwrap();
            assert_eq!((path.as_str(), path.shown()), (expect, shown), "{input}");
        };
        check(".", "/workspace", ".");
        check("src//lib.rs", "/workspace/src/lib.rs", "src/lib.rs");
        check("./a/../b", "/workspace/b", "b");
        check("/workspace/x", "/workspace/x", "x");
        check("/workspaces/x", "/workspaces/x", "/workspaces/x");
        check("../../../etc/passwd", "/etc/passwd", "/etc/passwd");
        check("/", "/", "/");
    }

    #[test]
    fn what_a_search_finds_is_shown_from_the_root() {
        let check = |path: &str, found: &str, expect: &str| {
            assert_eq!(SandboxPath::parse(path).unwrap().shown_below(found), expect);
        };
        check(".", "src/lib.rs", "src/lib.rs");
        check("src", "lib.rs", "src/lib.rs");
        check("src/lib.rs", "lib.rs", "src/lib.rs");
        check("/etc", "passwd", "/etc/passwd");
        check("/", "etc/passwd", "/etc/passwd");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        assert_eq!(SandboxPath::parse(""), Err(PathFault::Empty));
        assert_eq!(SandboxPath::parse("a\0b"), Err(PathFault::Nul));
        assert_eq!(SandboxPath::parse(&"a".repeat(limits::PATH_BYTES_MAX + 1)), Err(PathFault::TooLong));
    }
}
