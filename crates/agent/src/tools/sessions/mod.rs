//! Tools that reach other sessions. hangar carries them out, not the sandbox.

mod cancel;
mod message;
mod spawn;
mod status;
mod wait;

use hangar_protocol::{RepoPath, SessionId, limits::clip};

pub(super) use self::{cancel::Cancel, message::Message, spawn::Spawn, status::Status, wait::Wait};
use super::{Tell, ToolError};
use crate::others::SessionReport;

/// What these tools are called. Each does the same once and twice.
pub(super) const NAMES: [&str; 5] =
    ["spawn_session", "session_status", "message_session", "cancel_session", "wait_sessions"];
/// How much of a session's last words a model is told.
const WORDS_CHARS_MAX: usize = 4_000;

/// Reads a session's id as models write it: also as the address of its page.
pub(super) fn session_id(text: &str) -> Result<SessionId, ToolError> {
    let id = text.trim().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    id.parse().map_err(|_| ToolError::Tell(Tell(format!("{:?} is no session id.", clip(text, 80)))))
}

fn repo_path(text: &str) -> Result<RepoPath, ToolError> {
    text.trim().parse().map_err(|refusal| ToolError::Tell(Tell(format!("{refusal}"))))
}

/// A session in the form a model reads.
pub(super) fn told(report: &SessionReport) -> String {
    let SessionReport { session, repo, branch, title, phase, words, changes, pull_request } = report;
    let mut text = format!("{session} {phase} · {repo} {branch} · {title}\n");
    for (name, said) in [("changes", changes), ("pull request", pull_request)] {
        if let Some(said) = said {
            text.push_str(&format!("{name}: {said}\n"));
        }
    }
    if !words.trim().is_empty() {
        text.push_str(&format!("last words:\n{}\n", clip(words.trim(), WORDS_CHARS_MAX)));
    }
    text
}
