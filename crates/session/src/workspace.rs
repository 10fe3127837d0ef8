//! A sandbox as the agent sees it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use hangar_agent::{
    SandboxPath, Workspace, WorkspaceError,
    workspace::{Begin, Exec, Exited, FileBytes, Listing, Matches, Piped, Said, Written},
};
use hangar_image::LOG_FOLDER;
use hangar_protocol::guest::{Failure, FailureKind, Found, GlobRequest, GrepRequest, Stat};
use hangar_sandbox::{Error, Exec as RunningExec, ExecSpec, LimitHit, Sandbox, Stream};
use tokio::sync::mpsc;

use crate::{reads::Reads, sandbox_host::Place, started::Beside, sync::Synced};

/// See the module's documentation.
pub(crate) struct SandboxWorkspace {
    sandbox: Sandbox,
    env: Arc<BTreeMap<String, String>>,
    synced: Synced,
    reads: Arc<Reads>,
    gone: Arc<AtomicBool>,
}

impl SandboxWorkspace {
    pub(crate) fn new(Place { sandbox, env, synced, reads, gone, .. }: Place) -> Self {
        Self { sandbox, env, synced, reads, gone }
    }

    /// Waits until the workspace can be written: what changes something does not fail because a sync is under way.
    async fn writable(&self) -> Result<Option<Beside>, WorkspaceError> {
        self.synced.wait().await.map_err(|refusal| WorkspaceError::Lost(refusal.to_string()))
    }

    /// A command as the sandbox runs it.
    fn spec(&self, command: Exec) -> ExecSpec {
        let timeout_ms = u64::try_from(command.timeout.as_millis()).unwrap_or(u64::MAX);
        let spec = ExecSpec::shell(command.command).cwd(command.cwd.as_str()).timeout_ms(timeout_ms).kill_leftovers();
        let spec = self.env.iter().fold(spec, |spec, (name, value)| spec.env(name, value));
        command.env.into_iter().fold(spec, |spec, (name, value)| spec.env(name, value))
    }

    fn told(&self, error: Error) -> WorkspaceError {
        if let Error::Gone = error {
            // Its guest is silent before its end is noticed: the next call must not be given it again.
            self.gone.store(true, Ordering::Release);
        }
        told(error)
    }

    /// Waits for what the repository's commands need beside them, and says what is still missing.
    async fn beside(&self, output: &mpsc::Sender<Bytes>) -> Result<(), WorkspaceError> {
        let Some(beside) = self.writable().await? else { return Ok(()) };
        let missing = beside.wait().await;
        if !missing.is_empty() {
            let words = format!("[hangar: still being started: {}; logs are in {LOG_FOLDER}]\n", missing.join(", "));
            // Nobody reads any more: the command goes on all the same.
            drop(output.send(Bytes::from(words)).await);
        }
        Ok(())
    }
}

#[async_trait]
impl Workspace for SandboxWorkspace {
    async fn exec(&self, command: Exec, output: mpsc::Sender<Bytes>) -> Result<Exited, WorkspaceError> {
        self.beside(&output).await?;
        let mut exec = self.sandbox.exec_stream(&self.spec(command)).await.map_err(|error| self.told(error))?;
        while let Some(chunk) = exec.next().await.map_err(|error| self.told(error))? {
            // Nobody reads any more: the command goes on all the same.
            drop(output.send(chunk.bytes).await);
        }
        let ended = exec.wait().await.map_err(|error| self.told(error))?;
        if let Some(limit) = ended.limit {
            drop(output.send(Bytes::from_static(words_of(limit).as_bytes())).await);
        }
        Ok(Exited { status: ended.status, timed_out: ended.timed_out })
    }

    async fn pipe(&self, piped: Piped) -> Result<Said, WorkspaceError> {
        let Piped { exec: command, input, begin, output_bytes_max } = piped;
        if begin == Begin::Writable
            && let Some(beside) = self.writable().await?
        {
            // What is still missing is told by the next command of the agent's own.
            drop(beside.wait().await);
        }
        let mut exec =
            self.sandbox.exec_stream(&self.spec(command).stdin_piped()).await.map_err(|error| self.told(error))?;
        let to = exec.input();
        let feed = async {
            // A command that ends without having read all of it has not failed for that.
            if to.write(&input).await.is_ok() {
                drop(to.end().await);
            }
            pending::<Infallible>().await
        };
        tokio::select! {
            said = keep(&mut exec, output_bytes_max) => said.map_err(|error| self.told(error)),
            never = feed => match never {},
        }
    }

    async fn read(&self, path: &SandboxPath, offset: u64, limit: u64) -> Result<FileBytes, WorkspaceError> {
        if self.synced.is_under_way() {
            self.reads.before(path);
        } else {
            self.reads.again(path);
        }
        let content = self.sandbox.read(path.as_str(), offset, limit).await.map_err(|error| self.told(error))?;
        Ok(FileBytes { bytes: content.bytes, size: content.size })
    }

    async fn write(&self, path: &SandboxPath, content: Bytes) -> Result<Written, WorkspaceError> {
        self.writable().await?;
        if self.reads.is_stale(path) {
            return Err(WorkspaceError::Failed(Failure { kind: FailureKind::Busy, message: stale(path) }));
        }
        let created = self.sandbox.write(path.as_str(), &content).await.map_err(|error| self.told(error))?;
        Ok(Written { created })
    }

    async fn stat(&self, path: &SandboxPath) -> Result<Stat, WorkspaceError> {
        self.sandbox.stat(path.as_str()).await.map_err(|error| self.told(error))
    }

    async fn list(&self, path: &SandboxPath, limit: u32) -> Result<Listing, WorkspaceError> {
        let (mut entries, truncated) = self.sandbox.list(path.as_str()).await.map_err(|error| self.told(error))?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let truncated = truncated || entries.len() > limit;
        entries.truncate(limit);
        Ok(Listing { entries, truncated })
    }

    async fn glob(&self, search: GlobRequest) -> Result<Found, WorkspaceError> {
        self.sandbox.glob(&search).await.map_err(|error| self.told(error))
    }

    async fn grep(&self, search: GrepRequest) -> Result<Matches, WorkspaceError> {
        let before = self.synced.is_under_way();
        let (matches, truncated) = self.sandbox.grep(&search).await.map_err(|error| self.told(error))?;
        if before {
            let whole = |found: &str| match search.path.trim_end_matches('/') {
                // A search in one file finds that file by its name.
                path if path.rsplit('/').next() == Some(found) => SandboxPath::parse(path),
                path => SandboxPath::parse(&format!("{path}/{found}")),
            };
            matches.iter().filter_map(|found| whole(&found.path).ok()).for_each(|path| self.reads.found(&path));
        }
        Ok(Matches { matches, truncated })
    }
}

/// Takes what a command says until it ends or has said too much.
async fn keep(exec: &mut RunningExec, bytes_max: usize) -> Result<Said, Error> {
    let began = Instant::now();
    let mut said = Said { exited: None, stdout: Vec::new(), stderr: Vec::new(), took: Duration::ZERO };
    while let Some(chunk) = exec.next().await? {
        let kept = match chunk.stream {
            Stream::Stdout => &mut said.stdout,
            Stream::Stderr => &mut said.stderr,
        };
        kept.extend_from_slice(&chunk.bytes);
        if kept.len() > bytes_max {
            kept.truncate(bytes_max);
            said.took = began.elapsed();
            return Ok(said);
        }
    }
    let ended = exec.wait().await?;
    said.exited = Some(Exited { status: ended.status, timed_out: ended.timed_out });
    said.took = Duration::from_millis(ended.duration_ms);
    Ok(said)
}

/// Why a file is not written: it would undo what came with the sync.
fn stale(path: &SandboxPath) -> String {
    format!(
        "{} was changed by the sync with the base branch after it had been read, so nothing was written. Read it again, and then make the change.",
        path.shown()
    )
}

pub(crate) fn words_of(limit: LimitHit) -> &'static str {
    match limit {
        LimitHit::Memory => "\n[hangar: the sandbox's memory ran out and a process was killed]\n",
        LimitHit::Processes => "\n[hangar: the sandbox's limit of processes was reached]\n",
        LimitHit::Disk => "\n[hangar: the sandbox's disk is used up; delete files that are not needed]\n",
        LimitHit::HostDisk => "\n[hangar: the machine's disk is full; its operator has to free some space]\n",
    }
}

fn told(error: Error) -> WorkspaceError {
    let kind = match error {
        Error::Guest(failure) => return WorkspaceError::Failed(failure),
        Error::Busy => FailureKind::Busy,
        Error::TooLarge { .. } => FailureKind::TooLarge,
        Error::Protocol => FailureKind::System,
        Error::Gone
        | Error::Kernel { .. }
        | Error::Setup(_)
        | Error::GuestEnded(_)
        | Error::Host { .. }
        | Error::DiskFull { .. }
        | Error::StateDirInUse(_)
        | Error::Layer(_)
        | Error::TooMany(_)
        | Error::BadName(_)
        | Error::Outside { .. }
        | Error::Unsupported { .. } => return WorkspaceError::Lost(error.to_string()),
    };
    WorkspaceError::Failed(Failure { kind, message: error.to_string() })
}
