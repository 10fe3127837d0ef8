//! A session goes back to where it was after a turn: files and conversation.
//!
//! ```text
//!   checked ─▶ sandbox put away ─▶ rewound (durable) ─▶ another directory over the same layers ─▶ floor.json names it ─▶ the old one goes
//! ```
//!
//! Until the event is durable nothing was touched but the sandbox; after it, whoever wants a sandbox finds the files of before or those of then, and
//! those of before are replaced first (`ground.rs`).

use hangar_protocol::{Person, Refusal, SessionId, SessionState, api::Rewind};
use tokio::sync::oneshot;

use super::Sessions;
use crate::{
    decide::{Past, check_rewind},
    driver::{Message, closing},
    ground,
    home::log_refusal,
    past::{self, UpTo},
    sandbox_host::ground_refusal,
    steps::SessionStep,
};

impl Sessions {
    /// Takes a session's files and conversation back to where they were after a turn. It is durable when this answers.
    ///
    /// # Errors
    /// The refusal; nothing was changed.
    pub async fn rewind(&self, id: &SessionId, by: Person, wish: Rewind) -> Result<(), Refusal> {
        let task = self.wake(id).await?;
        check_rewind(&self.state(id).await?, &by.user, &wish)?;
        let (rested, rests) = oneshot::channel();
        task.inbox.send(Message::Rest(rested)).await.map_err(|_| closing())?;
        rests.await.map_err(|_| closing())?;
        SessionStep::RewindRested.done();
        self.told(&task).await?;
        // What the sandbox reported last is in the state now.
        let state = self.state(id).await?;
        check_rewind(&state, &by.user, &wish)?;
        if let Some(wanted) = ground::up_to_turn(&state.snapshots, wish.to_turn) {
            task.home.sandbox.ground_at(wanted.to_vec()).await.map_err(|error| ground_refusal(&error))?;
        }
        let past = self.past(&state, &wish).await?;
        let (answer, answered) = oneshot::channel();
        task.inbox.send(Message::Rewind { by, wish, past, answer }).await.map_err(|_| closing())?;
        answered.await.map_err(|_| closing())?.map(drop)
    }

    async fn past(&self, state: &SessionState, wish: &Rewind) -> Result<Past, Refusal> {
        let log = self.log_until(&state.id, state.seq).await?;
        let then = past::until(&log, UpTo::Turn(wish.to_turn)).unwrap_or(&log);
        let then = SessionState::fold(then).map_err(|error| log_refusal(&error.into()))?;
        Ok(Past { files: then.files, todos: then.todos })
    }
}
