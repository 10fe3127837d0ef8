//! A workspace over a temporary directory: every path lies below it, commands run on this machine.

use std::{
    io::ErrorKind,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus as ProcessStatus, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use async_trait::async_trait;
use bytes::Bytes;
use globset::GlobBuilder;
use hangar_agent::{
    SandboxPath, Workspace, WorkspaceError,
    workspace::{Exec, Exited, FileBytes, Listing, Matches, Piped, Said, Written},
};
use hangar_protocol::guest::{
    ExitStatus, Failure, FailureKind, FileKind, Found, GlobRequest, GrepMatch, GrepRequest, Listed, Stat,
};
use ignore::WalkBuilder;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::{Barrier, mpsc},
};

pub(crate) struct Directory {
    root: PathBuf,
    /// Reads that are running now, and the most there ever were.
    reading: AtomicUsize,
    pub(crate) reading_most: AtomicUsize,
    /// Reads of `*.txt` wait here for each other.
    meeting: Option<Barrier>,
}

/// Ends a process group, however the future that owns it ends.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

impl Directory {
    /// Lets no read of `*.txt` end before so many run at once.
    pub(crate) fn meeting(root: &Path, reads: usize) -> Self {
        Self { meeting: Some(Barrier::new(reads)), ..Self::new(root) }
    }

    pub(crate) fn new(root: &Path) -> Self {
        std::fs::create_dir_all(root.join("workspace")).unwrap();
        Self { root: root.to_owned(), reading: AtomicUsize::new(0), reading_most: AtomicUsize::new(0), meeting: None }
    }

    fn child(&self, command: &Exec, stdin: Stdio) -> Result<Child, WorkspaceError> {
        Command::new("bash")
            .arg("-c")
            .arg(&command.command)
            .current_dir(self.place(command.cwd.as_str()))
            .envs(command.env.clone())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| failed("bash", &error))
    }

    fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

fn failed(path: &str, error: &std::io::Error) -> WorkspaceError {
    let kind = match error.kind() {
        ErrorKind::NotFound => FailureKind::NotFound,
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => FailureKind::WrongKind,
        ErrorKind::PermissionDenied => FailureKind::Denied,
        _ => FailureKind::System,
    };
    WorkspaceError::Failed(Failure { kind, message: format!("{path}: {error}") })
}

fn invalid(error: impl ToString) -> WorkspaceError {
    WorkspaceError::Failed(Failure { kind: FailureKind::Invalid, message: error.to_string() })
}

#[async_trait]
impl Workspace for Directory {
    async fn exec(&self, command: Exec, output: mpsc::Sender<Bytes>) -> Result<Exited, WorkspaceError> {
        let mut child = self.child(&command, Stdio::null())?;
        let group = Group(Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap());
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let pumps = async { tokio::join!(pump(out, output.clone()), pump(err, output.clone())) };
        let ended = tokio::time::timeout(command.timeout, async { tokio::join!(pumps, child.wait()).1 }).await;
        let timed_out = ended.is_err();
        drop(group);
        let status = match ended {
            Ok(status) => status,
            Err(_) => child.wait().await,
        };
        let status = status.map_err(|error| failed("bash", &error))?;
        Ok(Exited { status: exit_status(status), timed_out })
    }

    async fn pipe(&self, piped: Piped) -> Result<Said, WorkspaceError> {
        let Piped { exec: command, input, begin: _, output_bytes_max } = piped;
        let mut child = self.child(&command, Stdio::piped())?;
        let began = Instant::now();
        let group = Group(Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap());
        let (mut to, mut out, mut err) =
            (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let feed = async {
            // A command that does not read its input is not disturbed.
            let _ = to.write_all(&input).await;
            drop(to);
            std::future::pending::<std::convert::Infallible>().await
        };
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let took_all = {
            let reading = async {
                tokio::select! {
                    read = async { tokio::try_join!(up_to(&mut out, &mut stdout, output_bytes_max), up_to(&mut err, &mut stderr, output_bytes_max)) } => read,
                    never = feed => match never {},
                }
            };
            tokio::time::timeout(command.timeout, reading).await
        };
        drop(group);
        let status = exit_status(child.wait().await.map_err(|error| failed("bash", &error))?);
        let exited = match took_all {
            Ok(Ok(_)) => Some(Exited { status, timed_out: false }),
            Ok(Err(TooMuch)) => None,
            Err(_) => Some(Exited { status, timed_out: true }),
        };
        Ok(Said { exited, stdout, stderr, took: began.elapsed() })
    }

    async fn read(&self, path: &SandboxPath, offset: u64, limit: u64) -> Result<FileBytes, WorkspaceError> {
        let now = self.reading.fetch_add(1, Ordering::SeqCst) + 1;
        self.reading_most.fetch_max(now, Ordering::SeqCst);
        if let Some(meeting) = self.meeting.as_ref().filter(|_| path.as_str().ends_with(".txt")) {
            meeting.wait().await;
        }
        let content = tokio::fs::read(self.place(path.as_str())).await;
        self.reading.fetch_sub(1, Ordering::SeqCst);
        let content = content.map_err(|error| failed(path.shown(), &error))?;
        let size = content.len() as u64;
        let (start, end) = (offset.min(size) as usize, offset.saturating_add(limit).min(size) as usize);
        Ok(FileBytes { bytes: Bytes::from(content).slice(start..end), size })
    }

    async fn write(&self, path: &SandboxPath, content: Bytes) -> Result<Written, WorkspaceError> {
        let place = self.place(path.as_str());
        let created = !place.exists();
        let written = async {
            tokio::fs::create_dir_all(place.parent().unwrap()).await?;
            tokio::fs::write(&place, content).await
        };
        written.await.map_err(|error| failed(path.shown(), &error))?;
        Ok(Written { created })
    }

    async fn stat(&self, path: &SandboxPath) -> Result<Stat, WorkspaceError> {
        let facts = tokio::fs::symlink_metadata(self.place(path.as_str())).await;
        let facts = facts.map_err(|error| failed(path.shown(), &error))?;
        Ok(Stat { kind: kind(facts.file_type()), size: facts.len(), mode: 0o644, modified_ms: 0, target: None })
    }

    async fn list(&self, path: &SandboxPath, limit: u32) -> Result<Listing, WorkspaceError> {
        let read = std::fs::read_dir(self.place(path.as_str())).map_err(|error| failed(path.shown(), &error))?;
        let mut entries: Vec<Listed> = read
            .map(|entry| {
                let entry = entry.unwrap();
                let facts = entry.metadata().unwrap();
                Listed {
                    name: entry.file_name().into_string().unwrap(),
                    kind: kind(facts.file_type()),
                    size: facts.len(),
                }
            })
            .collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let truncated = entries.len() > limit as usize;
        entries.truncate(limit as usize);
        Ok(Listing { entries, truncated })
    }

    async fn glob(&self, search: GlobRequest) -> Result<Found, WorkspaceError> {
        let glob = GlobBuilder::new(&search.pattern).literal_separator(true).build().map_err(invalid)?;
        let matcher = glob.compile_matcher();
        let mut paths = files(&self.place(&search.path));
        paths.retain(|(shown, _)| matcher.is_match(shown));
        let truncated = paths.len() > search.limit as usize;
        Ok(Found { paths: paths.into_iter().map(|(shown, _)| shown).take(search.limit as usize).collect(), truncated })
    }

    async fn grep(&self, search: GrepRequest) -> Result<Matches, WorkspaceError> {
        let expression =
            regex::RegexBuilder::new(&search.pattern).case_insensitive(search.ignore_case).build().map_err(invalid)?;
        let root = self.place(&search.path);
        let mut paths = files(&root);
        if root.is_file() {
            paths = vec![(Path::new(&search.path).file_name().unwrap().to_str().unwrap().to_owned(), root)];
        }
        let mut matches = Vec::new();
        for (shown, place) in paths {
            let Ok(text) = std::fs::read_to_string(place) else { continue };
            for (number, line) in (1..).zip(text.lines()) {
                if expression.is_match(line) {
                    matches.push(GrepMatch { path: shown.clone(), line: number, text: line.into(), context: false });
                }
            }
        }
        let truncated = matches.len() > search.limit as usize;
        matches.truncate(search.limit as usize);
        Ok(Matches { matches, truncated })
    }
}

/// Files below a directory, as `.gitignore` lets them be seen, sorted by path.
fn files(root: &Path) -> Vec<(String, PathBuf)> {
    let walk = WalkBuilder::new(root).require_git(false).build().flatten();
    let mut files: Vec<(String, PathBuf)> = walk
        .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()))
        .map(|entry| {
            let shown = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            (shown, entry.into_path())
        })
        .collect();
    files.sort();
    files
}

fn kind(kind: std::fs::FileType) -> FileKind {
    if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_symlink() {
        FileKind::Symlink
    } else if kind.is_file() {
        FileKind::File
    } else {
        FileKind::Other
    }
}

fn exit_status(status: ProcessStatus) -> ExitStatus {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, signal) => ExitStatus::Signal(signal.unwrap_or(9)),
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, to: mpsc::Sender<Bytes>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        // Nobody listens any more: the output is thrown away.
        let _ = to.send(Bytes::copy_from_slice(&buffer[..count])).await;
    }
}

/// A command wrote more than it may.
struct TooMuch;

/// Reads to the end, or until there is more than fits.
async fn up_to(from: &mut (impl AsyncRead + Unpin), to: &mut Vec<u8>, bytes_max: usize) -> Result<(), TooMuch> {
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        to.extend_from_slice(&buffer[..count]);
        if to.len() > bytes_max {
            to.truncate(bytes_max);
            return Err(TooMuch);
        }
    }
    Ok(())
}
