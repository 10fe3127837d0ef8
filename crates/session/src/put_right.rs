//! What a server does first with the sessions that it finds: brings the list to the end of the logs, and puts right whose task ended without
//! tidying up.
//!
//! Only logs are opened that may have grown since the list was written: those of marked sessions, and of sessions that are not listed.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use hangar_protocol::{SessionId, SessionState};

use crate::{
    Sessions, collect,
    decide::{Input, Report, decide},
    index::{CatchUpError, catch_up},
    log::{self, LogReader},
    sessions::StartError,
};

/// See the module's documentation. A damaged session is logged and does not hinder the others.
pub(crate) async fn put_right(sessions: &Sessions, folder: &Path) -> Result<(), StartError> {
    let there = folders(folder.to_owned()).await?;
    let marked: HashSet<SessionId> = sessions.working().marked().await?.into_iter().collect();
    let listed: HashSet<SessionId> = sessions.index().known().await?.into_iter().collect();
    for gone in listed.iter().chain(&marked).filter(|id| !there.contains(id)) {
        sessions.index().forget(gone).await?;
        sessions.working().unmark(gone).await?;
    }
    let mut at_work: HashSet<SessionId> = sessions.index().running().await?.into_iter().collect();
    at_work.retain(|id| there.contains(id));
    let (mut at_rest, mut untold) = (Vec::new(), Vec::new());
    for id in there.iter().filter(|id| marked.contains(id) || !listed.contains(id)) {
        let log = LogReader::new(&folder.join(id.as_str()));
        if marked.contains(id) {
            collect_blobs(&folder.join(id.as_str()), id).await;
        }
        match catch_up(sessions.index(), &log, id).await {
            Ok(state) if needs_its_task(&state) => drop(at_work.insert(id.clone())),
            Ok(state) => {
                at_rest.push(id);
                untold.extend(state.parent.map(|_| id));
            }
            Err(CatchUpError::Log(error)) => drop(sessions.unreadable(id, &error).await),
            Err(error) => tracing::error!(session = %id, %error, "the list of sessions is behind"),
        }
    }
    sessions.index().harden().await?;
    for id in at_rest.into_iter().filter(|id| marked.contains(id) && !at_work.contains(id)) {
        sessions.working().unmark(id).await?;
    }
    sessions.read_day().await?;
    for id in untold {
        // It may have ended without the session hearing of it whose agent began it.
        if let Err(refusal) = sessions.tell_parent(id).await {
            tracing::warn!(session = %id, %refusal, "the session above may not know how far this one is");
        }
    }
    for id in at_work {
        if let Err(refusal) = sessions.wake(&id).await {
            tracing::error!(session = %id, %refusal, "a session could not be put right");
        }
    }
    Ok(())
}

/// Removes blobs that nothing names. Only a task that was cut off leaves any.
async fn collect_blobs(folder: &Path, session: &SessionId) {
    let folder = folder.to_owned();
    let collected = tokio::task::spawn_blocking(move || collect::collect(&folder)).await;
    match collected.unwrap_or_else(|error| Err(collect::CollectError::from(std::io::Error::other(error)))) {
        Ok(0) => {}
        Ok(removed) => tracing::info!(%session, removed, "blobs that no event names were removed"),
        // Nothing is lost by keeping them.
        Err(error) => tracing::warn!(%session, %error, "blobs that no event names stay"),
    }
}

/// Whether there is something to put right.
fn needs_its_task(state: &SessionState) -> bool {
    let woken = decide(state, Input::Report(Report::Woken { reason: String::new() })).unwrap_or_default();
    !woken.events.is_empty() || !woken.effects.is_empty()
}

/// The sessions that have a log. What a session left that was never begun is removed: nobody was told of it.
async fn folders(sessions_dir: PathBuf) -> Result<Vec<SessionId>, StartError> {
    let path = sessions_dir.clone();
    let look = move || {
        let mut there = Vec::new();
        for entry in std::fs::read_dir(&sessions_dir)? {
            let entry = entry?;
            let Ok(id) = entry.file_name().to_string_lossy().parse::<SessionId>() else { continue };
            if !entry.file_type()?.is_dir() {
                continue;
            }
            if entry.path().join(log::FILE).exists() {
                there.push(id);
            } else if let Err(error) = log::remove_unbegun(&entry.path()) {
                tracing::warn!(session = %id, %error, "what was left of a session that never began stays");
            }
        }
        there.sort();
        Ok(there)
    };
    let looked = tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    looked.map_err(|error| StartError::Folder { path, error })
}
