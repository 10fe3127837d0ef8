//! The only door to the `git` program. Every process gets a cleared environment, a configuration of ours and nobody
//! else's, a time limit, a place in a bounded queue, and its own process group which is killed when nobody waits for it
//! any more.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ForgeError, Result};
use crate::limits::Limits;

/// Oldest git that works: the first with `merge-tree --write-tree`.
const GIT_VERSION_MIN: (u32, u32) = (2, 38);
/// Longest piece of git's own error text that is kept, in bytes.
const STDERR_BYTES_MAX: usize = 16 << 10;

/// How to run git on this host. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    config_file: PathBuf,
    search_path: String,
    limits: Arc<Limits>,
    commands: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
}

/// Which queue a process stands in and how long it may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// A short command.
    Command,
    /// Work on this host alone that may take long: a workspace, an import, housekeeping. It stands in the queue of the short
    /// ones, so that slow clients of the network cannot hold up a session's start.
    Local,
    /// A clone, fetch or push of a client.
    Transfer,
}

/// What a finished git said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    /// True when `stdout` reached its limit and git was stopped.
    pub(crate) cut: bool,
    pub(crate) stderr: String,
}

impl Git {
    /// Writes the configuration file that every git of this forge uses.
    pub(crate) fn open(data_dir: &Path, limits: Arc<Limits>) -> Result<Self> {
        let config_file = data_dir.join("gitconfig");
        std::fs::write(&config_file, config_text(&limits))?;
        Ok(Self {
            config_file,
            search_path: std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".into()),
            commands: Arc::new(Semaphore::new(limits.commands_max)),
            transfers: Arc::new(Semaphore::new(limits.transfers_max)),
            limits,
        })
    }

    /// Refuses a git that is too old for merges without a work tree.
    pub(crate) async fn check_version(&self, dir: &Path) -> Result<()> {
        let said = self.call(dir, ["version"]).line().await?;
        if parse_version(&said).is_some_and(|version| version >= GIT_VERSION_MIN) {
            return Ok(());
        }
        let (major, minor) = GIT_VERSION_MIN;
        Err(ForgeError::Broken(format!(
            "git {major}.{minor} or newer is needed, this is `{said}`; install a newer git"
        )))
    }

    /// A git command with a clean environment, not yet started. `dir` is the repository.
    pub(crate) fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", &self.search_path)
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            // A file of ours instead of /dev/null: unlike -c and GIT_CONFIG_COUNT it also reaches the processes that git
            // starts on the other side of a local clone or fetch, where git clears those two.
            .env("GIT_CONFIG_GLOBAL", &self.config_file)
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .current_dir(dir)
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Waits for a place in the queue.
    pub(crate) async fn turn(&self, pace: Pace) -> Result<OwnedSemaphorePermit> {
        let queue = match pace {
            Pace::Command | Pace::Local => self.commands.clone(),
            Pace::Transfer => self.transfers.clone(),
        };
        match tokio::time::timeout(self.limits.queue_wait_max, queue.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(ForgeError::Busy),
        }
    }

    /// Starts building a call of `git <args>` in a repository.
    pub(crate) fn call<A: AsRef<OsStr>>(&self, dir: &Path, args: impl IntoIterator<Item = A>) -> Call<'_> {
        let mut command = self.command(dir);
        command.args(args);
        Call { git: self, command, input: Vec::new(), output_max: self.limits.output_bytes_max, pace: Pace::Command }
    }
}

/// One git command before it runs.
pub(crate) struct Call<'a> {
    git: &'a Git,
    command: Command,
    input: Vec<u8>,
    output_max: usize,
    pace: Pace,
}

impl Call<'_> {
    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Runs in a plain directory whose repository is elsewhere.
    pub(crate) fn work_tree(mut self, dir: &Path, repository: &Path) -> Self {
        self.command.current_dir(dir).env("GIT_DIR", repository).env("GIT_WORK_TREE", dir);
        self
    }

    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Writes the output to a file instead of giving it back.
    pub(crate) fn output_to(mut self, file: std::fs::File) -> Self {
        self.command.stdout(file);
        self
    }

    pub(crate) fn output_max(mut self, bytes: usize) -> Self {
        self.output_max = bytes;
        self
    }

    /// Allows it as much time as a transfer.
    pub(crate) fn slow(mut self) -> Self {
        self.pace = Pace::Local;
        self
    }

    /// Runs it to its end, whatever its exit status.
    pub(crate) async fn run(mut self) -> Result<Answer> {
        let _turn = self.git.turn(self.pace).await?;
        let time_max = match self.pace {
            Pace::Command => self.git.limits.command_time_max,
            Pace::Local | Pace::Transfer => self.git.limits.transfer_time_max,
        };
        if !self.input.is_empty() {
            self.command.stdin(Stdio::piped());
        }
        let (mut child, mut group) = spawn(&mut self.command)?;
        match tokio::time::timeout(time_max, talk(&mut child, self.input, self.output_max)).await {
            Ok(answer) => {
                let answer = answer?;
                if !answer.cut {
                    group.ended();
                }
                Ok(answer)
            }
            Err(_) => Err(ForgeError::Broken(format!("git did not answer within {} s", time_max.as_secs()))),
        }
    }

    /// Runs it and takes any exit status but 0 as our own failure.
    pub(crate) async fn must(self) -> Result<Vec<u8>> {
        let answer = self.run().await?;
        if answer.cut {
            return Err(ForgeError::OverLimit {
                what: "git's output",
                limit: format!("{} bytes", answer.stdout.len()),
            });
        }
        if answer.code == 0 {
            Ok(answer.stdout)
        } else {
            Err(ForgeError::Broken(format!("git ended with {}: {}", answer.code, answer.stderr.trim())))
        }
    }

    /// Like [`Call::must`], as one line of text without its end.
    pub(crate) async fn line(self) -> Result<String> {
        let bytes = self.must().await?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }
}

async fn talk(child: &mut Child, input: Vec<u8>, output_max: usize) -> Result<Answer> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut pipe) = stdin {
            // A git that has read enough closes its end; that is its right and shows in its exit status.
            let _ = pipe.write_all(&input).await;
        }
    };
    let read = async {
        let mut bytes = Vec::new();
        let mut cut = false;
        if let Some(pipe) = stdout {
            pipe.take(output_max as u64 + 1).read_to_end(&mut bytes).await?;
            cut = bytes.len() > output_max;
            bytes.truncate(output_max);
        }
        Ok::<_, std::io::Error>((bytes, cut))
    };
    let complain = async {
        match stderr {
            Some(pipe) => gather_stderr(pipe).await,
            None => String::new(),
        }
    };
    // Reading that reached its limit must not wait for the other two: git may still want to write.
    let others = async { tokio::join!(write, complain).1 };
    tokio::pin!(others);
    tokio::pin!(read);
    let mut said = None;
    let (stdout, cut) = loop {
        tokio::select! {
            out = &mut read => break out?,
            text = &mut others, if said.is_none() => said = Some(text),
        }
    };
    if cut {
        return Ok(Answer { code: -1, stdout, cut, stderr: said.unwrap_or_default() });
    }
    let stderr = match said {
        Some(text) => text,
        None => others.await,
    };
    let status = child.wait().await?;
    Ok(Answer { code: status.code().unwrap_or(-1), stdout, cut, stderr })
}

/// Reads all of git's error text but keeps only its first bytes, so that git never blocks on it.
pub(crate) async fn gather_stderr(mut pipe: tokio::process::ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(n) = pipe.read(&mut piece).await {
        if n == 0 {
            break;
        }
        let room = STDERR_BYTES_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&piece[..n.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Starts a process in its own group and gives it together with the guard of that group.
pub(crate) fn spawn(command: &mut Command) -> Result<(Child, Group)> {
    let child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ForgeError::Broken("the program `git` is not installed".into()),
        _ => ForgeError::Broken(format!("git could not be started: {error}")),
    })?;
    let leader = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    Ok((child, Group { leader }))
}

/// Kills a whole process group when dropped, unless its leader was seen to end: git starts helpers that outlive it.
#[derive(Debug)]
pub(crate) struct Group {
    leader: Option<rustix::process::Pid>,
}

impl Group {
    /// The leader has been waited for, so its number may belong to somebody else by now.
    pub(crate) fn ended(&mut self) {
        self.leader = None;
    }

    /// Kills the group now.
    pub(crate) fn kill(&mut self) {
        if let Some(leader) = self.leader.take() {
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `git version 2.39.5 (…)` → (2, 39)
fn parse_version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.strip_prefix("git version ")?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn config_text(limits: &Limits) -> String {
    format!(
        "# Written by hangar at every start; changes are lost.\n\
         [safe]\n\tdirectory = *\n\
         [core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\tsshCommand = false\n\tattributesFile = /dev/null\n\texcludesFile = /dev/null\n\
         \tlogAllRefUpdates = false\n\
         [init]\n\tdefaultBranch = main\n\ttemplateDir =\n\
         [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n\
         [protocol]\n\tversion = 2\n\
         [http]\n\treceivepack = true\n\tuploadpack = true\n\
         [uploadpack]\n\tallowFilter = true\n\tallowReachableSHA1InWant = true\n\
         [receive]\n\tfsckObjects = true\n\tmaxInputSize = {push}\n\tautogc = false\n\tdenyDeleteCurrent = refuse\n\
         \thideRefs = refs/pull\n\tadvertisePushOptions = false\n\
         [receive \"fsck\"]\n{old}\
         [fetch \"fsck\"]\n{old}\
         [transfer]\n\thideRefs = refs/hangar\n\tadvertiseSID = false\n\
         [fetch]\n\tfsckObjects = true\n\tunpackLimit = 1\n\trecurseSubmodules = false\n\
         [commit]\n\tgpgSign = false\n\
         [user]\n\tuseConfigOnly = true\n",
        push = limits.push_bytes_max,
        // Faults of git versions of long ago, found in the history of many well-known projects and harmless.
        old = "\tzeroPaddedFilemode = ignore\n\tbadTimezone = ignore\n\tmissingSpaceBeforeDate = ignore\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_odd_gits_are_told_apart() {
        let ok = |said: &str| parse_version(said).is_some_and(|version| version >= GIT_VERSION_MIN);
        assert!(ok("git version 2.39.5") && ok("git version 2.47.3 (Debian)") && ok("git version 3.0.0"));
        assert!(!ok("git version 2.30.2") && !ok("git version 1.99.0") && !ok("something else"));
    }
}
