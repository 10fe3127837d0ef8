//! `hangar export`: a session in a file.

use std::{
    collections::BTreeSet,
    fs::{File, Permissions},
    io::{self, BufWriter, Read, Seek as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use hangar_client::{Client, Error};
use hangar_protocol::{
    EventBody, Refusal, RefusalCode, Seq, SessionId, SessionState, api::SessionDiff, limits::EVENT_PAGE_MAX,
};
use serde::Serialize;
use tempfile::NamedTempFile;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    bad_request, connect, diff,
    ended::{Ended, Failure, Outcome},
    progress::Progress,
    terminal::{Look, Paint, Terminal},
    which_session::which_session,
    words,
};

/// Only whoever exports a session may read the file.
const FILE_MODE: u32 = 0o600;
/// zstd's own default.
const LEVEL: i32 = 3;

/// Write a session to a file: its log, the output that the log names, and what it changed
///
/// The file is a tar packed with zstd, a folder with the session's id: events.jsonl (an event a line), session.json (what is true after the last of them),
/// blobs/ (whole outputs, by the SHA-256 that events name) and changes.patch. Where the session is damaged, what can be read is written, what cannot is named,
/// and the exit status is 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar export k3x9 session.tar.zst
  hangar export k3x9 --no-diff session.tar.zst     without the changes, which need a sandbox
  tar --zstd -xOf session.tar.zst --wildcards '*/events.jsonl' | jq .body.type")]
pub(super) struct Export {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,

    /// The file to write, which must not exist. It has its name once it is whole and on disk.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Leave changes.patch out. To make it, the server starts the session's sandbox if it does not run.
    #[arg(long)]
    no_diff: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Exported {
    session: SessionId,
    file: PathBuf,
    bytes: u64,
    /// The last event in it.
    head: Seq,
    blobs: usize,
    /// Changed files that are too many or too large for the patch; null without a diff.
    diff_omitted: Option<u32>,
    /// What could not be read, in words; empty where the session is whole.
    missing: Vec<String>,
}

impl Exported {
    fn ended(&self) -> Ended {
        if self.missing.is_empty() { Ended::Well } else { Ended::Missing }
    }
}

impl Export {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        if self.file.symlink_metadata().is_ok() {
            return Err(bad_request(
                format!("{} exists already.", self.file.display()),
                "Name another file, or remove it first.",
            ));
        }
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let exported = tokio::select! {
            exported = self.export(terminal) => exported?,
            // What was written so far goes with the future.
            _ = interrupt.recv() => return Ok(Ended::Interrupted),
            _ = terminate.recv() => return Ok(Ended::Interrupted),
        };
        if terminal.is_json() {
            terminal.json(&exported)?;
            return Ok(exported.ended());
        }
        let Exported { session, file, bytes, head, blobs, diff_omitted, missing } = &exported;
        let (events, outputs) = (words::count(head.0), words::plural(*blobs as u64, "output"));
        let size = words::bytes(*bytes);
        let text = format!("{session}: {events} events and {outputs} are in {} ({size}).", file.display());
        terminal.remark(Look::Good, &text);
        if let Some(omitted) = diff_omitted.filter(|omitted| *omitted > 0) {
            let omitted = words::plural(u64::from(omitted), "file");
            terminal.remark(Look::Notice, &format!("{omitted} more changed than the patch can show."));
        }
        for problem in missing {
            terminal.remark(Look::Bad, problem);
        }
        Ok(exported.ended())
    }

    async fn export(&self, terminal: &mut Terminal) -> Result<Exported, Failure> {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        let mut progress = Progress::new(terminal);
        let mut archive = Archive::begin(&self.file, &session).map_err(|error| self.cannot(&error))?;
        let mut log = self.log(&client, &session, |seq| progress.far(terminal, format!("Event {seq}"))).await?;
        let mut missing: Vec<String> = log.cut.take().into_iter().collect();
        let state = serde_json::to_vec_pretty(&log.state).map_err(|error| self.cannot(&error.into()))?;
        archive.add("session.json", state.len() as u64, &*state).map_err(|error| self.cannot(&error))?;
        archive.add("events.jsonl", log.bytes, log.lines).map_err(|error| self.cannot(&error))?;
        let mut blobs = 0;
        for (number, sha256) in (1..).zip(&log.blobs) {
            progress.far(terminal, format!("Output {number} of {}", log.blobs.len()));
            let blob = match client.blob(&session, sha256).await {
                Err(Error::Refused(refusal)) if is_loss(&refusal) => {
                    missing.push(format!("Output {sha256} is not in it. {}", refusal.message));
                    continue;
                }
                blob => blob?,
            };
            blobs += 1;
            let name = format!("blobs/{sha256}");
            archive.add(&name, blob.len() as u64, &*blob).map_err(|error| self.cannot(&error))?;
        }
        let mut diff_omitted = None;
        if !self.no_diff {
            progress.far(terminal, "Changes".to_owned());
            match client.diff(&session).await {
                Err(Error::Refused(refusal)) if is_loss(&refusal) => {
                    missing.push(format!("The changes are not in it. {}", refusal.message));
                }
                diff => {
                    let diff: SessionDiff = diff?;
                    let patch = diff::patch(Paint::NONE, &diff);
                    let added = archive.add("changes.patch", patch.len() as u64, patch.as_bytes());
                    added.map_err(|error| self.cannot(&error))?;
                    diff_omitted = Some(diff.omitted);
                }
            }
        }
        let bytes = archive.finish(&self.file).map_err(|error| self.cannot(&error))?;
        progress.end();
        let (file, head) = (self.file.clone(), log.state.seq);
        Ok(Exported { session, file, bytes, head, blobs, diff_omitted, missing })
    }

    /// The log as it is now: what comes later is not waited for. Where it is damaged, what stands before that.
    async fn log(&self, client: &Client, session: &SessionId, mut seen: impl FnMut(Seq)) -> Result<Log, Failure> {
        let cannot = |error: io::Error| self.cannot(&error);
        let mut lines = BufWriter::new(tempfile::tempfile().map_err(cannot)?);
        let mut blobs = BTreeSet::new();
        let mut state: Option<SessionState> = None;
        let (mut head, mut cut) = (None, None);
        loop {
            let after = state.as_ref().map_or(Seq::START, |state| state.seq);
            let page = match client.events(session, after, EVENT_PAGE_MAX).await {
                Err(Error::Refused(refusal)) if state.is_some() && is_loss(&refusal) => {
                    cut = Some(format!("What follows event {after} is not in it. {}", refusal.message));
                    break;
                }
                page => page?,
            };
            let head = *head.get_or_insert(page.head);
            for event in page.events.iter().filter(|event| event.seq <= head) {
                serde_json::to_writer(&mut lines, event).map_err(|error| cannot(error.into()))?;
                lines.write_all(b"\n").map_err(cannot)?;
                if let EventBody::ToolFinished { blob: Some(blob), .. } = &event.body {
                    blobs.insert(blob.sha256.clone());
                }
                match &mut state {
                    Some(state) => state.apply_next(event).map_err(|fault| no_log(session, &fault))?,
                    None => state = SessionState::begin(event),
                }
            }
            match state.as_ref().map(|state| state.seq) {
                Some(seq) if seq >= head => break,
                Some(seq) if seq > after => seen(seq),
                Some(_) | None => return Err(no_log(session, &"it ends before its last event").into()),
            }
        }
        let mut lines = lines.into_inner().map_err(|error| cannot(error.into_error()))?;
        lines.rewind().map_err(cannot)?;
        let bytes = lines.metadata().map_err(cannot)?.len();
        let state = state.ok_or_else(|| no_log(session, &"it has no beginning"))?;
        Ok(Log { lines, bytes, state, blobs, cut })
    }

    fn cannot(&self, error: &io::Error) -> Refusal {
        Refusal::new(
            RefusalCode::Unavailable,
            format!("{} cannot be written: {error}.", self.file.display()),
            "Look whether the directory exists and its disk has room.",
        )
    }
}

/// A session's log, on its way into the file.
struct Log {
    lines: File,
    bytes: u64,
    state: SessionState,
    blobs: BTreeSet<String>,
    /// Why it ends before its end.
    cut: Option<String>,
}

/// Whether something is gone for good; otherwise it may be had later.
fn is_loss(refusal: &Refusal) -> bool {
    matches!(refusal.code, RefusalCode::Internal | RefusalCode::NotFound)
}

fn no_log(session: &SessionId, fault: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(
        RefusalCode::Internal,
        format!("The server's answer is no log of {session}: {fault}."),
        "Nothing was written. Look at the server's log.",
    )
}

/// The file, while it has no name yet.
struct Archive {
    tar: tar::Builder<zstd::Encoder<'static, NamedTempFile>>,
    folder: PathBuf,
}

impl Archive {
    fn begin(place: &Path, session: &SessionId) -> io::Result<Self> {
        let beside = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        let part =
            builder.prefix(".hangar-export-").permissions(Permissions::from_mode(FILE_MODE)).tempfile_in(beside)?;
        let mut packed = zstd::Encoder::new(part, LEVEL)?;
        packed.include_checksum(true)?;
        Ok(Self { tar: tar::Builder::new(packed), folder: PathBuf::from(session.as_str()) })
    }

    fn add(&mut self, name: &str, bytes: u64, from: impl Read) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_mode(FILE_MODE);
        header.set_mtime(words::now_ms() / 1_000);
        header.set_size(bytes);
        self.tar.append_data(&mut header, self.folder.join(name), from)
    }

    fn finish(self, place: &Path) -> io::Result<u64> {
        let part = self.tar.into_inner()?.finish()?;
        part.as_file().sync_all()?;
        let bytes = part.as_file().metadata()?.len();
        part.persist_noclobber(place).map_err(|failed| failed.error)?;
        Ok(bytes)
    }
}
