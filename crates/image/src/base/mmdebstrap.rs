//! mmdebstrap at work, as nobody of this machine.
//!
//! As root it is put into a user namespace whose root is the first id of hangar's disk range, which owns nothing on the machine: scripts of packages cannot touch what
//! is not readable for everybody. An ordinary user gets the same by `/etc/subuid`, which mmdebstrap uses by itself.
//!
//! What mmdebstrap copies from this machine into the system on the way (the host's name, its resolver, the mirror's address) is taken out again.

use std::{fs, os::fd::OwnedFd, path::Path, process::Stdio, sync::Arc};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{
    base::{BaseError, Debian, Note, Notes, mirrors},
    oci::{Digest, Owners, limits::IDS},
};

/// What is kept of its output for an error, in lines.
const SAID_LINES: usize = 15;
/// Longest line that is passed on, in characters.
const LINE_CHARS_MAX: usize = 2000;
/// How often a package that could not be fetched is asked for again: hundreds are, and one connection that broke would end it all.
const FETCH_RETRIES: u32 = 3;
/// The time of every file that is made while installing (1 January 2025), so that the same packages make the same layer.
const EPOCH: u64 = 1_735_689_600;
/// Where it works: not below hangar's data, which its user could not even enter.
const SCRATCH: &str = "/var/tmp";
/// Waits until its user namespace has ids, takes the root's, and becomes mmdebstrap.
const ENTER: &str = r#"read -r go && exec setpriv --reuid=0 --regid=0 --clear-groups -- "$@" </dev/null"#;

/// mmdebstrap at work. Dropped, it and all it started end.
pub(super) struct Running {
    process: Child,
    group: Option<Pid>,
    scratch: tempfile::TempDir,
}

impl Running {
    /// Starts it. `bases` names the scratch directories of this data directory apart from others'.
    pub(super) fn start(debian: &Debian, mirror: &str, bases: &Path) -> Result<Self, BaseError> {
        let scratch = tempfile::Builder::new().prefix(&scratch_prefix(bases)).tempdir_in(SCRATCH);
        let scratch = scratch.map_err(BaseError::host(SCRATCH))?;
        let at = scratch.path();
        let sources = at.join("sources.list");
        fs::write(&sources, mirrors::neutral(debian.suite())).map_err(BaseError::host(&sources))?;
        let mut command = match Owners::detect() {
            Owners::Range { first } => {
                for path in [at, &sources] {
                    std::os::unix::fs::chown(path, Some(first), Some(first)).map_err(BaseError::host(path))?;
                }
                let mut command = Command::new("unshare");
                command.args(["--user", "--keep-caps", "--", "sh", "-c", ENTER, "sh", "mmdebstrap"]);
                command
            }
            Owners::Everything => Command::new("mmdebstrap"),
        };
        command
            .arg("--mode=unshare")
            .arg(format!("--variant={}", debian.variant.word()))
            .arg("--format=tar")
            .arg(format!("--include={}", debian.all().join(",")))
            .arg(format!("--aptopt=Acquire::Retries \"{FETCH_RETRIES}\""))
            .arg("--customize-hook=rm -f \"$1/etc/hostname\" \"$1/etc/resolv.conf\"")
            .arg(format!("--customize-hook=upload {} /etc/apt/sources.list", sources.display()))
            .arg("--customize-hook=rm -rf \"$1\"/etc/apt/sources.list.d/* \"$1\"/etc/apt/apt.conf.d/99mmdebstrap")
            .arg(debian.suite())
            .arg("-")
            .args(mirrors::fetched_from(debian.suite(), mirror))
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("HOME", "/nonexistent")
            .env("SOURCE_DATE_EPOCH", EPOCH.to_string())
            .env("TMPDIR", at)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        // The way to the mirror, where a machine has but that.
        for name in ["http_proxy", "https_proxy", "no_proxy"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        find("mmdebstrap")?;
        let process = command.spawn().map_err(BaseError::host("mmdebstrap"))?;
        let group = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { process, group, scratch })
    }

    /// The system as a tar stream. Nothing is written to it before [`Running::ended`] is awaited.
    pub(super) fn output(&mut self) -> Result<OwnedFd, BaseError> {
        let output = self.process.stdout.take().map(tokio::process::ChildStdout::into_owned_fd);
        match output {
            Some(output) => output.map_err(BaseError::host("mmdebstrap")),
            None => Err(BaseError::Failed { what: "run mmdebstrap".into(), said: "it has no output".into() }),
        }
    }

    /// Passes on what it says, and gives back the last of it when it has ended.
    pub(super) fn listen(&mut self, notes: &Notes) -> JoinHandle<String> {
        let (said, notes) = (self.process.stderr.take(), Arc::clone(notes));
        tokio::spawn(async move {
            let mut last = std::collections::VecDeque::new();
            let Some(said) = said else { return String::new() };
            let mut lines = BufReader::new(said).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                let line: String = String::from_utf8_lossy(&line).chars().take(LINE_CHARS_MAX).collect();
                notes(Note::Output(format!("{line}\n").into_bytes()));
                last.push_back(line);
                if last.len() > SAID_LINES {
                    last.pop_front();
                }
            }
            Vec::from(last).join("\n")
        })
    }

    /// Lets it begin and waits for its end; tells whether it succeeded.
    pub(super) async fn ended(&mut self) -> Result<bool, BaseError> {
        if let (Owners::Range { first }, Some(id)) = (Owners::detect(), self.process.id()) {
            self.map_ids(id, first).await?;
        }
        if let Some(mut input) = self.process.stdin.take() {
            // It may have ended by itself; its status tells.
            let _ = input.write_all(b"go\n").await;
        }
        let status = self.process.wait().await.map_err(BaseError::host("mmdebstrap"))?;
        self.group = None;
        Ok(status.success())
    }

    /// Waits until the process is in its user namespace and gives that its ids.
    async fn map_ids(&mut self, id: u32, first: u32) -> Result<(), BaseError> {
        let own = fs::read_link("/proc/self/ns/user").map_err(BaseError::host("/proc/self/ns/user"))?;
        let namespace = format!("/proc/{id}/ns/user");
        loop {
            match fs::read_link(&namespace) {
                Ok(theirs) if theirs != own => break,
                Ok(_) if self.process.try_wait().is_ok_and(|ended| ended.is_none()) => {
                    tokio::time::sleep(ENTER_PAUSE).await;
                }
                // It ended, and its status tells why.
                Ok(_) | Err(_) => return Ok(()),
            }
        }
        for file in ["uid_map", "gid_map"] {
            let path = format!("/proc/{id}/{file}");
            fs::write(&path, format!("0 {first} {IDS}\n")).map_err(BaseError::host(path))?;
        }
        Ok(())
    }
}

/// Between two looks whether a process has entered its namespace, which takes a millisecond.
const ENTER_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // What runs inside is in its own process namespace, whose first process is in this group: it takes all others along.
            let _ = kill_process_group(group, Signal::KILL);
        }
        tracing::debug!(scratch = %self.scratch.path().display(), "mmdebstrap is done");
    }
}

/// Removes what runs of an earlier process left in the scratch directory.
pub(super) fn sweep(bases: &Path) {
    let prefix = scratch_prefix(bases);
    for entry in fs::read_dir(SCRATCH).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix))
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, path = %entry.path().display(), "what is left of a base that was being made cannot be removed");
        }
    }
}

fn scratch_prefix(bases: &Path) -> String {
    let of = Digest::of(bases.as_os_str().as_encoded_bytes()).hex();
    format!("hangar-base-{}-", of.chars().take(12).collect::<String>())
}

/// Looks whether a program is installed.
fn find(program: &'static str) -> Result<(), BaseError> {
    let there =
        ["/usr/local/bin", "/usr/bin", "/bin"].iter().any(|directory| Path::new(directory).join(program).is_file());
    if there { Ok(()) } else { Err(BaseError::Missing { program, package: program }) }
}
