//! Tells sessions what happened to their pull requests at the forge.
//!
//! The forge keeps the changes; this keeps a cursor and moves it only when the session has the news on disk. A crash repeats
//! the last change at most, and a session that knows it already ignores it.

use std::time::Duration;

use hangar_forge::{Change, ChangeKind, ForgeError, Pull};
use hangar_protocol::{RefusalCode, SessionId, UserId, event::PullRequestChange, limits::clip};

use crate::{Sessions, decide::Report};

/// How long to wait after something failed.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// What the branch of a session is called: this, then the session's id.
pub const BRANCH_PREFIX: &str = "hangar/";

/// Runs until the sessions are closed.
pub(crate) async fn run(sessions: Sessions) {
    tokio::select! {
        () = sessions.closing().cancelled() => {}
        () = follow(&sessions) => {}
    }
}

async fn follow(sessions: &Sessions) {
    let mut hint = sessions.ports().forge.changes();
    loop {
        match tell_new_changes(sessions).await {
            Ok(()) => {
                if hint.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(error, "the forge's changes could not be told to sessions; trying again");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

async fn tell_new_changes(sessions: &Sessions) -> Result<(), String> {
    loop {
        let cursor = sessions.working().forge_cursor().await.map_err(|error| error.to_string())?;
        let changes = sessions.ports().forge.changes_since(cursor).await.map_err(|error| error.to_string())?;
        let Some(last) = changes.last().map(|change| change.id) else { return Ok(()) };
        for change in &changes {
            tell(sessions, change).await?;
        }
        sessions.working().set_forge_cursor(last).await.map_err(|error| error.to_string())?;
    }
}

async fn tell(sessions: &Sessions, change: &Change) -> Result<(), String> {
    let Some(number) = change.number else { return Ok(()) };
    let pull = match sessions.ports().forge.pull(&change.repo, number).await {
        Ok(pull) => pull,
        Err(ForgeError::NoRepository(_) | ForgeError::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let (Some(session), Some(report)) = (session_of(&pull), report_of(change, &pull)) else { return Ok(()) };
    match sessions.record(&session, report).await {
        Ok(_durable) => Ok(()),
        Err(refusal) if refusal.code == RefusalCode::NotFound => Ok(()),
        Err(refusal) => Err(refusal.to_string()),
    }
}

/// The session whose branch a pull request comes from.
fn session_of(pull: &Pull) -> Option<SessionId> {
    let rest = pull.head.0.as_str().strip_prefix(BRANCH_PREFIX)?;
    rest.split('/').next()?.parse().ok()
}

fn report_of(change: &Change, pull: &Pull) -> Option<Report> {
    let number = u32::try_from(pull.number).ok()?;
    let by = || change.actor.as_ref().map_or_else(|| "somebody".to_owned(), |person| person.login.clone());
    let change = match &change.kind {
        ChangeKind::Opened { .. } => {
            let author: UserId = pull.author.login.parse().ok()?;
            let session = session_of(pull)?;
            let url = format!("/s/{session}/pull-request");
            return Some(Report::PullRequestOpened { number, title: clip(&pull.title, 200), author, url });
        }
        ChangeKind::Synchronised { after, .. } => PullRequestChange::Synchronized { head: after.to_string() },
        ChangeKind::Reviewed { state, .. } => {
            PullRequestChange::Reviewed { by: by(), verdict: state.word().to_lowercase() }
        }
        ChangeKind::Merged { sha } => PullRequestChange::Merged { by: by(), commit: sha.to_string() },
        ChangeKind::Closed => PullRequestChange::Closed { by: by() },
        ChangeKind::Reopened => PullRequestChange::Reopened { by: by() },
        ChangeKind::Edited
        | ChangeKind::Commented { .. }
        | ChangeKind::BranchMoved { .. }
        | ChangeKind::Checked { .. } => return None,
    };
    Some(Report::PullRequestChanged { number, change })
}
