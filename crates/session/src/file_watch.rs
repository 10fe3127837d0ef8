//! Turns changes of files in the workspace into events.

use std::collections::HashSet;

use hangar_protocol::{
    event::{FileChange, FileChangeKind},
    limits::EVENT_FILES_MAX,
};
use hangar_sandbox::{Change, ExecSpec, Sandbox};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{decide::Report, driver::Message};

/// Names of tracked files that are remembered, in bytes of `git ls-files -z`. Files beyond it are shown as new when they change.
const TRACKED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Watches until `stop` or until the sandbox ends.
pub(crate) fn spawn(sandbox: Sandbox, inbox: mpsc::WeakSender<Message>, stop: CancellationToken) {
    tokio::spawn(async move {
        let watching = watch(&sandbox, &inbox);
        tokio::select! {
            () = stop.cancelled() => {}
            watched = watching => if let Err(error) = watched {
                tracing::warn!(%error, "files are not watched");
                let text = format!("Changes of files are not shown: {error}.");
                tell(&inbox, Report::Warning { text }).await;
            },
        }
    });
}

async fn watch(sandbox: &Sandbox, inbox: &mpsc::WeakSender<Message>) -> Result<(), hangar_sandbox::Error> {
    let mut watch = sandbox.watch().await?;
    let mut known = tracked_files(sandbox).await?;
    loop {
        let changes = match watch.next().await {
            Ok(changes) => changes,
            Err(hangar_sandbox::Error::Gone) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut files: Vec<FileChange> = changes
            .files
            .into_iter()
            .filter_map(|file| {
                kind_of(&mut known, &file.path, file.change).map(|kind| FileChange { path: file.path, kind })
            })
            .collect();
        if files.is_empty() {
            continue;
        }
        let more = files.len().saturating_sub(EVENT_FILES_MAX);
        files.truncate(EVENT_FILES_MAX);
        tell(inbox, Report::Files { files, more: u32::try_from(more).unwrap_or(u32::MAX) }).await;
    }
}

/// How a file changed; `None` for one that came and went unseen.
fn kind_of(known: &mut HashSet<String>, path: &str, change: Change) -> Option<FileChangeKind> {
    match change {
        Change::Removed => known.remove(path).then_some(FileChangeKind::Removed),
        Change::Written if known.contains(path) => Some(FileChangeKind::Modified),
        Change::Written => {
            known.insert(path.to_owned());
            Some(FileChangeKind::Created)
        }
    }
}

/// The files git knows: what is written to them is a change, what is written elsewhere is new.
async fn tracked_files(sandbox: &Sandbox) -> Result<HashSet<String>, hangar_sandbox::Error> {
    let exec = sandbox.exec_stream(&ExecSpec::argv(["git", "ls-files", "-z"]).kill_leftovers()).await?;
    let listed = exec.collect(TRACKED_BYTES_MAX).await?.stdout;
    Ok(listed.split(|byte| *byte == 0).map(|path| String::from_utf8_lossy(path).into_owned()).collect())
}

async fn tell(inbox: &mpsc::WeakSender<Message>, report: Report) {
    if let Some(inbox) = inbox.upgrade() {
        drop(inbox.send(Message::Report(report)).await);
    }
}
