//! Brings new commits into a sandbox: hangar sends the missing objects over the guest's stream, git inside puts them in place.
//!
//! Git runs in the sandbox with the sandbox's rights, so nothing in the repository's configuration can harm the host, and no network, credential or
//! address of the host is needed.

use std::path::Path;

use hangar_sandbox::{Error, ExecSpec, Program, Sandbox, Stream};
use tokio::{fs::File, io::AsyncReadExt};

/// How long the work may take inside.
const SYNC_TIMEOUT_MS: u64 = 300_000;
/// Read from the pack at once.
const PIECE_BYTES: usize = 256 * 1024;
/// What git says that is kept for an error.
const SAID_BYTES_MAX: usize = 4096;

/// Where a clone lies in a sandbox and where it has to go.
#[derive(Clone, Debug)]
pub(crate) struct Move<'a> {
    /// `/workspace` or `/repos/<name>`.
    pub(crate) directory: &'a str,
    pub(crate) branch: &'a str,
    pub(crate) commit: &'a str,
}

/// Why a clone is not at the commit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    /// Git refused; a new clone may be better.
    #[error("the new commits do not fit the clone: {0}")]
    Unfit(String),
    #[error(transparent)]
    Sandbox(#[from] Error),
    #[error("the new commits cannot be read: {0}")]
    Pack(#[from] std::io::Error),
}

/// By which kind of command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bringing {
    /// As any other: nothing else is to write meanwhile, and nothing keeps it from that.
    Open,
    /// The workspace is held read only for everything else ([`Sandbox::hold`]).
    Held,
}

/// Puts the objects of `pack` into the clone and moves its work tree and `origin/<branch>` to the commit. Files that git does not know stay, those that it
/// knows become what the commit says. An empty pack means that all objects are there.
pub(crate) async fn bring(sandbox: &Sandbox, to: &Move<'_>, pack: &Path, by: Bringing) -> Result<(), SyncError> {
    let mut pack = File::open(pack).await?;
    let objects = if pack.metadata().await?.len() == 0 { ":" } else { "git index-pack --stdin --fix-thin >/dev/null" };
    // `reset` runs no hook. The values come from the forge and are checked there; they are quoted all the same.
    let script = format!(
        "set -e; {objects}; git update-ref \"refs/remotes/origin/$HANGAR_BRANCH\" \"$HANGAR_COMMIT\"; \
         git reset --quiet --hard \"$HANGAR_COMMIT\""
    );
    let spec = ExecSpec::shell(script)
        .cwd(to.directory)
        .env("HANGAR_BRANCH", to.branch)
        .env("HANGAR_COMMIT", to.commit)
        .timeout_ms(SYNC_TIMEOUT_MS)
        .kill_leftovers()
        .stdin_piped();
    let mut exec = match by {
        Bringing::Open => sandbox.exec_stream(&spec).await?,
        Bringing::Held => sandbox.sync_stream(&alone(spec)).await?,
    };
    let input = exec.input();
    let send = async {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match pack.read(&mut piece).await? {
                0 => break,
                read => {
                    // A command that has ended says why itself.
                    if input.write(&piece[..read]).await.is_err() {
                        break;
                    }
                }
            }
        }
        drop(input.end().await);
        Ok::<(), std::io::Error>(())
    };
    let mut said = Vec::new();
    let hear = async {
        while let Some(chunk) = exec.next().await? {
            if chunk.stream == Stream::Stderr && said.len() < SAID_BYTES_MAX {
                said.extend_from_slice(&chunk.bytes);
            }
        }
        exec.ended().ok_or(Error::Gone)
    };
    let (sent, ended) = tokio::join!(send, hear);
    sent?;
    if ended?.status.success() {
        return Ok(());
    }
    Err(SyncError::Unfit(String::from_utf8_lossy(&said).trim().to_owned()))
}

/// Where programs are looked up first: in none of these can a command of the sandbox write.
const PROGRAMS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The spec of a script that can write to a held workspace: it takes no orders from files that commands can write meanwhile, and leaves nothing behind that could
/// write for them.
#[must_use]
pub fn alone(mut spec: ExecSpec) -> ExecSpec {
    // What was ended in the middle leaves its lock, and nobody else can have one now.
    let begin = format!("PATH={PROGRAMS}:$PATH; rm -f .git/index.lock\n");
    match &mut spec.program {
        Program::Shell(script) => script.insert_str(0, &begin),
        Program::Argv(_) => {}
    }
    let settings =
        [("core.hooksPath", "/dev/null"), ("core.fsmonitor", "false"), ("gc.auto", "0"), ("maintenance.auto", "false")];
    let spec = spec.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_COUNT", settings.len().to_string());
    let spec = settings.into_iter().enumerate().fold(spec, |spec, (number, (key, value))| {
        spec.env(format!("GIT_CONFIG_KEY_{number}"), key).env(format!("GIT_CONFIG_VALUE_{number}"), value)
    });
    spec.kill_leftovers()
}
