//! What a caller asks for.

use std::{collections::BTreeMap, path::PathBuf};

use hangar_protocol::guest::{Account, Holding, Program, StdinMode, WORKSPACE, WindowSize, request::Leftovers};

use crate::{backend::BackendKind, toolchains::Toolchain};

/// Sandboxes one engine may run, unless configured otherwise.
pub const SANDBOXES_DEFAULT: usize = 200;
/// Sandboxes one engine may ever run: each has an id range of its own.
pub const SANDBOXES_MAX: usize = 1000;

/// Unclaimed slots that are kept ready, unless configured otherwise.
pub const SLOTS_DEFAULT: usize = 4;

/// What an engine works with.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// hangar's data directory, on a file system that knows id mapping (ext4, xfs, btrfs, tmpfs). Made where missing. Layers and
    /// sessions lie below it; the engine keeps its own state in `run/sandboxes`.
    pub data_dir: PathBuf,
    /// What kind of wall stands around sandboxes.
    pub backend: BackendKind,
    /// Sandboxes that may run at once, at most [`SANDBOXES_MAX`].
    pub sandboxes_max: usize,
    /// Toolchains to mount over the base `host`; usually [`toolchains::detect`](crate::toolchains::detect).
    pub toolchains: Vec<Toolchain>,
    /// A directory that every sandbox sees read only at [`OWN_SOURCE`](hangar_protocol::source::OWN_SOURCE), whatever its root: hangar's own
    /// source. It must not change while the engine runs.
    pub own_source: Option<PathBuf>,
    /// Unclaimed slots to keep ready. They count neither as sandboxes nor against `sandboxes_max`.
    pub slots: usize,
    /// Where the Docker daemon listens, for the backend `docker`.
    pub docker_socket: PathBuf,
    /// The kernel of machines and the directory of its drivers, for the backend `vm`; found among the installed ones when `None`.
    pub machine_kernel: Option<MachineKernel>,
}

/// What virtual machines start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineKernel {
    /// The kernel (`/boot/vmlinuz-…`).
    pub image: PathBuf,
    /// Its drivers (`/lib/modules/…`).
    pub modules: PathBuf,
}

/// Where a Docker daemon listens unless configured otherwise.
pub const DOCKER_SOCKET_DEFAULT: &str = "/var/run/docker.sock";

impl EngineConfig {
    /// An engine over `data_dir`, with the toolchains found on this machine.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            backend: BackendKind::default(),
            sandboxes_max: SANDBOXES_DEFAULT,
            toolchains: crate::toolchains::detect(),
            own_source: None,
            slots: SLOTS_DEFAULT,
            docker_socket: DOCKER_SOCKET_DEFAULT.into(),
            machine_kernel: None,
        }
    }

    /// Where the engine keeps its own state.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.data_dir.join(STATE_DIR)
    }
}

/// The engine's own state, below the data directory.
pub(crate) const STATE_DIR: &str = "run/sandboxes";

/// A sandbox to make.
#[derive(Clone, Debug)]
pub struct SandboxSpec {
    /// Its name, unique among those running: 1 to 60 letters, digits and hyphens. It is the host name inside.
    pub name: String,
    /// What its file system is made of.
    pub root: Root,
    /// A directory below the data directory for this session alone, made where missing (for its owner only). It keeps every change the sandbox makes in
    /// `upper`; a sandbox created again over it finds them.
    pub session_dir: PathBuf,
    /// What it may use.
    pub limits: Limits,
    /// Added to the environment of every command.
    pub env: BTreeMap<String, String>,
    /// Who commands are.
    pub account: Account,
    /// Whether its workspace can be held read only ([`Sandbox::hold`](crate::Sandbox::hold)), where the backend can do that
    /// ([`Capabilities::hold`](crate::Capabilities)). It costs a process that waits.
    pub holding: Holding,
}

impl SandboxSpec {
    /// A sandbox with the usual limits, for the agent.
    #[must_use]
    pub fn new(name: impl Into<String>, root: Root, session_dir: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            root,
            session_dir: session_dir.into(),
            limits: Limits::default(),
            env: BTreeMap::new(),
            account: Account::Agent,
            holding: Holding::Never,
        }
    }
}

/// What a sandbox's file system is made of. Layers are only read, and any number of sandboxes may share them. They must not be changed while one uses
/// them: what an overlay shows then is undefined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// What lies below the layers.
    pub base: Base,
    /// Trees below the data directory, the topmost first. As root, files in them belong to ids of [`IdRange::DISK`](crate::IdRange::DISK).
    pub layers: Vec<PathBuf>,
}

impl Root {
    /// Layers over this machine's own programs.
    #[must_use]
    pub const fn host(layers: Vec<PathBuf>) -> Self {
        Self { base: Base::Host, layers }
    }

    /// Layers the last of which is a complete root file system.
    #[must_use]
    pub const fn tree(layers: Vec<PathBuf>) -> Self {
        Self { base: Base::Tree, layers }
    }
}

/// What lies below a sandbox's layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// This machine's own programs, read only.
    Host,
    /// Nothing: the last of the layers is a complete root file system.
    Tree,
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
    /// Everything written outside of memory file systems: the session's changes.
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
