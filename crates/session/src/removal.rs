//! Removes deleted sessions once nobody can take them back any more.
//!
//! ```text
//!   task ended ▶ folder renamed: the session is gone ▶ off the list ▶ its files removed ▶ the renamed folder removed
//! ```
//!
//! A kill at any moment leaves the session as it was, or a renamed folder, with which the next start goes on where this one ended. A renamed
//! folder is no session: nobody reads it, backs it up, or keeps layers for it, so that its snapshots are collected with the others.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hangar_protocol::{Refusal, SessionId};
use tokio::sync::{Notify, oneshot};

use crate::{
    Sessions, clock::now_ms, decide::no_session, driver::Message, floor::Floor, home::log_refusal, registry::Task,
    steps::SessionStep,
};

/// What stands before the id of a session whose folder was renamed. No id begins so.
const REMOVED: &str = ".removed-";
/// The machine's clock is looked at again after so long: it may have been set.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// How long to wait after something failed.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Which sessions are being removed, and that there may be another.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    under_way: Mutex<HashSet<SessionId>>,
    pub(crate) deleted: Notify,
}

impl Removals {
    fn under_way(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session is as good as gone: nobody may wake it any more.
    pub(crate) fn takes(&self, id: &SessionId) -> bool {
        self.under_way().contains(id)
    }
}

/// Whether this is what is left of a session.
pub(crate) fn is_left_over(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(REMOVED))
}

/// What is left of sessions whose removal was cut off goes off the list, and is found by [`run`] afterwards. Before any session is woken.
pub(crate) async fn forget_left_over(sessions_dir: &Path, sessions: &Sessions) -> io::Result<()> {
    for folder in left_over(sessions_dir)? {
        if let Some(id) = id_of(&folder) {
            sessions.unlist(&id).await.map_err(io::Error::other)?;
        }
    }
    Ok(())
}

/// Runs until the sessions are closed.
pub(crate) async fn run(sessions: Sessions) {
    tokio::select! {
        () = sessions.closing().cancelled() => {}
        () = remove_all(&sessions) => {}
    }
}

async fn remove_all(sessions: &Sessions) {
    let folder = sessions.ports().sessions_dir.clone();
    match left_over(&folder) {
        Ok(folders) => {
            for folder in folders {
                remove_files(folder).await;
            }
        }
        Err(error) => tracing::warn!(%error, "what is left of removed sessions cannot be looked for"),
    }
    loop {
        let pause = match sessions.index().next_removed().await {
            Ok(None) => LOOK_AGAIN,
            Ok(Some((id, purge_ms))) => match purge_ms.saturating_sub(now_ms()) {
                0 => match remove(sessions, &id).await {
                    Ok(()) => continue,
                    Err(refusal) => {
                        tracing::warn!(session = %id, %refusal, "a deleted session cannot be removed; trying again");
                        RETRY_AFTER
                    }
                },
                wait_ms => Duration::from_millis(wait_ms).min(LOOK_AGAIN),
            },
            Err(error) => {
                tracing::warn!(%error, "deleted sessions cannot be looked for; trying again");
                RETRY_AFTER
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = sessions.removals().deleted.notified() => {}
        }
    }
}

/// Removes a session, if its log says that its time has come.
async fn remove(sessions: &Sessions, id: &SessionId) -> Result<(), Refusal> {
    sessions.removals().under_way().insert(id.clone());
    let removed = take_away(sessions, id).await;
    sessions.removals().under_way().remove(id);
    if let Some(folder) = removed? {
        tracing::info!(session = %id, "a deleted session was removed");
        remove_files(folder).await;
    }
    Ok(())
}

/// Ends the session and renames its folder. `None`: it was taken back after all.
async fn take_away(sessions: &Sessions, id: &SessionId) -> Result<Option<PathBuf>, Refusal> {
    let (tail, waking) = sessions.registry().enter(id);
    // Whoever is just waking it is waited for; whoever comes later is told that there is no such session.
    let _nobody_wakes_it = waking.lock().await;
    let over = match sessions.registry().task(id) {
        Some(task) => ended(task).await,
        None => is_over(sessions, id).await?,
    };
    if !over {
        // The list is behind; it is put right by what is true.
        sessions.relist(id).await?;
        return Ok(None);
    }
    SessionStep::RemovalEnded.done();
    tail.bye("The session was deleted, and its time is over.");
    let folder = sessions.ports().sessions_dir.clone();
    let renamed = folder.join(format!("{REMOVED}{id}"));
    let (from, to) = (folder.join(id.as_str()), renamed.clone());
    let rename = move || {
        match fs::rename(from, &to) {
            // It was renamed by a server that was killed before it went off the list.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
        File::open(&folder)?.sync_all()
    };
    let done = tokio::task::spawn_blocking(rename).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| crate::sessions::folder_refusal(&error))?;
    SessionStep::RemovalRenamed.done();
    sessions.unlist(id).await.map_err(|error| log_refusal(&error.into()))?;
    SessionStep::RemovalUnlisted.done();
    sessions.access().forget(id);
    Ok(Some(renamed))
}

/// Asks the task to end for good, and waits until everything of it is put away.
async fn ended(task: Task) -> bool {
    let (answer, answered) = oneshot::channel();
    if task.inbox.send(Message::Remove(now_ms(), answer)).await.is_err() {
        return false;
    }
    // The register counts who could still write to the task.
    let home = std::sync::Arc::clone(&task.home);
    drop(task);
    let over = answered.await.unwrap_or(false);
    if over {
        home.over.cancelled().await;
    }
    over
}

/// Whether the log of a session that sleeps says that its time has come.
async fn is_over(sessions: &Sessions, id: &SessionId) -> Result<bool, Refusal> {
    if !sessions.folder_exists(id).await {
        return Ok(true);
    }
    let state = sessions.state_on_disk(id).await?;
    Ok(state.deleted.is_some_and(|deletion| deletion.purge_ms <= now_ms()))
}

fn left_over(sessions_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(sessions_dir)? {
        let folder = entry?.path();
        if is_left_over(&folder) {
            found.push(folder);
        }
    }
    Ok(found)
}

fn id_of(left_over: &Path) -> Option<SessionId> {
    left_over.file_name()?.to_str()?.strip_prefix(REMOVED)?.parse().ok()
}

/// Removes a renamed folder and what it says lies elsewhere. What cannot be removed is tried again at the next start.
async fn remove_files(folder: PathBuf) {
    let shown = folder.display().to_string();
    let remove = move || {
        // The place in the pool first: only the folder says where it is.
        if let Ok(Some(floor)) = Floor::read(&folder)
            && let Some(place) = floor.place_in_pool(&folder)
        {
            gone(fs::remove_dir_all(place))?;
        }
        gone(fs::remove_dir_all(folder))
    };
    let done = tokio::task::spawn_blocking(remove).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    match done {
        Ok(()) => SessionStep::RemovalDone.done(),
        Err(error) => tracing::warn!(folder = shown, %error, "what is left of a removed session cannot be removed"),
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Refuses a session that is being removed as one that there is not.
pub(crate) fn refuse_removed(removals: &Removals, id: &SessionId) -> Result<(), Refusal> {
    if removals.takes(id) { Err(no_session(id)) } else { Ok(()) }
}
