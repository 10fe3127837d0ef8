//! What a caller asks for.

use std::{collections::BTreeMap, path::PathBuf};

use hangar_protocol::guest::{Program, StdinMode, WORKSPACE, WindowSize, request::Leftovers};

use crate::toolchains::Toolchain;

/// Sandboxes one engine may run, unless configured otherwise.
pub const SANDBOXES_DEFAULT: usize = 200;
/// Sandboxes one engine may ever run: each has an id range of its own.
pub const SANDBOXES_MAX: usize = 1000;

/// What an engine works with.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// A directory of hangar's own, on a file system that knows id mapping (ext4, xfs, btrfs, tmpfs). Made where missing.
    pub state_dir: PathBuf,
    /// Sandboxes that may run at once, at most [`SANDBOXES_MAX`].
    pub sandboxes_max: usize,
    /// Toolchains to mount; usually [`toolchains::detect`](crate::toolchains::detect).
    pub toolchains: Vec<Toolchain>,
}

impl EngineConfig {
    /// An engine over `state_dir`, with the toolchains found on this machine.
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self { state_dir: state_dir.into(), sandboxes_max: SANDBOXES_DEFAULT, toolchains: crate::toolchains::detect() }
    }
}

/// A sandbox to make.
#[derive(Clone, Debug)]
pub struct SandboxSpec {
    /// Its name, unique among those running: 1 to 60 letters, digits and hyphens. It is the host name inside.
    pub name: String,
    /// The prepared clone. Only read; many sandboxes may share it. Its files appear as the agent's own. It must not be
    /// changed while a sandbox uses it: what an overlay shows then is undefined.
    pub clone: PathBuf,
    /// A directory for this session alone, made where missing (for its owner only). It keeps every file the sandbox writes; a sandbox created
    /// again over it finds them.
    pub session_dir: PathBuf,
    /// What it may use.
    pub limits: Limits,
    /// Added to the environment of every command.
    pub env: BTreeMap<String, String>,
}

impl SandboxSpec {
    /// A sandbox with the usual limits.
    #[must_use]
    pub fn new(name: impl Into<String>, clone: impl Into<PathBuf>, session_dir: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            clone: clone.into(),
            session_dir: session_dir.into(),
            limits: Limits::default(),
            env: BTreeMap::new(),
        }
    }
}

/// What one sandbox may use. docs/sandbox.md says how each is enforced and what that guarantees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Processor time, in hundredths of one processor: 200 is two processors.
    pub cpu_percent: u32,
    /// Memory of all processes, page cache and temporary files together.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub processes: u32,
    /// Everything written below `/workspace` and `/home/agent` together.
    pub disk_bytes: u64,
    /// Files and directories made there.
    pub disk_files: u64,
    /// One file.
    pub file_bytes: u64,
    /// `/tmp`, which is memory; never more than a quarter of `memory_bytes`.
    pub tmp_bytes: u64,
    /// Open descriptors of one process.
    pub open_files: u64,
}

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu_percent: 400,
            memory_bytes: 4 * GIB,
            processes: 1024,
            disk_bytes: 10 * GIB,
            disk_files: 1_000_000,
            file_bytes: 4 * GIB,
            tmp_bytes: GIB,
            open_files: 16_384,
        }
    }
}

/// A command to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecSpec {
    /// What to run.
    pub program: Program,
    /// Working directory: absolute, or relative to `/workspace`.
    pub cwd: String,
    /// Added to the sandbox's environment.
    pub env: BTreeMap<String, String>,
    /// Where standard input comes from.
    pub stdin: StdinMode,
    /// A terminal of this size instead of pipes.
    pub pty: Option<WindowSize>,
    /// After so long the tree gets SIGTERM, and SIGKILL two seconds later.
    pub timeout_ms: Option<u64>,
    /// What happens to processes the command leaves behind when it ends by itself.
    pub leftovers: Leftovers,
}

impl ExecSpec {
    /// A program with arguments.
    pub fn argv<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self::of(Program::Argv(argv.into_iter().map(Into::into).collect()))
    }

    /// A script for the shell.
    pub fn shell(script: impl Into<String>) -> Self {
        Self::of(Program::Shell(script.into()))
    }

    fn of(program: Program) -> Self {
        Self {
            program,
            cwd: WORKSPACE.into(),
            env: BTreeMap::new(),
            stdin: StdinMode::Null,
            pty: None,
            timeout_ms: None,
            leftovers: Leftovers::Keep,
        }
    }

    /// In this directory.
    #[must_use]
    pub fn cwd(mut self, cwd: impl Into<String>) -> Self {
        self.cwd = cwd.into();
        self
    }

    /// With this variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// For at most so many milliseconds.
    #[must_use]
    pub fn timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.timeout_ms = Some(timeout_ms);
        self
    }

    /// With standard input from [`Exec::input`](crate::Exec::input).
    #[must_use]
    pub fn stdin_piped(mut self) -> Self {
        self.stdin = StdinMode::Piped;
        self
    }

    /// In a terminal; its input comes from [`Exec::input`](crate::Exec::input).
    #[must_use]
    pub fn terminal(mut self, size: WindowSize) -> Self {
        self.pty = Some(size);
        self.stdin = StdinMode::Piped;
        self
    }

    /// Taking along, at its end, what it started.
    #[must_use]
    pub fn kill_leftovers(mut self) -> Self {
        self.leftovers = Leftovers::Kill;
        self
    }
}
