//! Sessions whose task ended because its log could not be written are woken again until that succeeds: what was accepted goes on as soon as the
//! disk has room, and not only when somebody prompts.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hangar_protocol::{RefusalCode, SessionId};

use crate::Sessions;

/// How often it is tried.
const TRY_EVERY: Duration = Duration::from_secs(5);

/// Which sessions are to be woken. No more than were awake.
#[derive(Debug, Default)]
pub(crate) struct CutOff(Mutex<BTreeSet<SessionId>>);

impl CutOff {
    fn all(&self) -> MutexGuard<'_, BTreeSet<SessionId>> {
        // Every change is one insertion or a swap.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session's log could not be written.
    pub(crate) fn note(&self, id: &SessionId) {
        self.all().insert(id.clone());
    }
}

/// Runs until the sessions are closed.
pub(crate) async fn run(sessions: Sessions) {
    tokio::select! {
        () = sessions.closing().cancelled() => {}
        () = wake_again(&sessions) => {}
    }
}

async fn wake_again(sessions: &Sessions) {
    loop {
        tokio::time::sleep(TRY_EVERY).await;
        let cut_off = &sessions.registry().cut_off;
        let noted = std::mem::take(&mut *cut_off.all());
        for id in noted {
            match sessions.wake(&id).await {
                Ok(_task) => tracing::info!(session = %id, "a session whose log could not be written goes on"),
                Err(refusal) if matches!(refusal.code, RefusalCode::Unavailable | RefusalCode::TooMany) => {
                    cut_off.note(&id);
                }
                Err(refusal) => tracing::error!(session = %id, %refusal, "a session cannot go on"),
            }
        }
    }
}
