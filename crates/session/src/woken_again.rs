//! Sessions whose task ended because its log could not be written are woken again until that succeeds: what was accepted goes on as soon as the
//! disk has room, and not only when somebody prompts. The operator is told once for each session, not at each try.

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

    /// The session's log could not be written, and its task has ended.
    pub(crate) fn note(&self, id: &SessionId) {
        self.all().insert(id.clone());
    }

    /// The session goes on, or never will. `true` where it had been cut off.
    pub(crate) fn forget(&self, id: &SessionId) -> bool {
        self.all().remove(id)
    }

    /// Whether the session was cut off and has not gone on since.
    pub(crate) fn holds(&self, id: &SessionId) -> bool {
        self.all().contains(id)
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
        let noted = cut_off.all().clone();
        for id in noted {
            match sessions.wake(&id).await {
                // Its task takes it off the list once it has put the session right.
                Ok(_task) => {}
                Err(refusal) if matches!(refusal.code, RefusalCode::Unavailable | RefusalCode::TooMany) => {}
                Err(refusal) => {
                    cut_off.forget(&id);
                    tracing::error!(session = %id, %refusal, "a session cannot go on");
                }
            }
        }
    }
}
