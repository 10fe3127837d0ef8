//! The same wish in several forks at once, to be compared.

use hangar_protocol::{
    Command, EventBody, Person, Refusal, RefusalCode, SessionId, SessionState,
    command::{AfterStop, Commanded, Reach},
    event::ForkPurpose,
};

use super::{ForkWish, Sessions};
use crate::decide::round_of;

impl Sessions {
    /// Begins a round of attempts: forks of the session as it is now, each with a wish of its own. All begin over the same files.
    ///
    /// # Errors
    /// A refusal. Where one after the first cannot be made, those before it stay.
    pub async fn attempt(
        &self,
        id: &SessionId,
        wishes: Vec<ForkWish>,
        by: &Person,
    ) -> Result<Vec<SessionState>, Refusal> {
        let source = self.source(id, None, wishes.len()).await?;
        let rounds = source.state.forks.iter().filter_map(|fork| match fork.purpose {
            ForkPurpose::Attempt { round } => Some(round),
            ForkPurpose::Fork => None,
        });
        let purpose = ForkPurpose::Attempt { round: rounds.max().unwrap_or(0) + 1 };
        let mut begun = Vec::with_capacity(wishes.len());
        for wish in wishes {
            begun.push(self.begin_fork(&source, wish, by.clone(), purpose).await?);
        }
        Ok(begun)
    }

    /// Chooses an attempt: those of its round that still work are stopped.
    ///
    /// # Errors
    /// A refusal: it is no attempt of this session, another was chosen, or this person may not choose.
    pub async fn keep_attempt(&self, id: &SessionId, attempt: &SessionId, by: Person) -> Result<(), Refusal> {
        let command = Command::KeepAttempt { session: attempt.clone() };
        self.command(id, Commanded { by: by.clone(), command }).await?;
        let state = self.state(id).await?;
        let round = state.forks.iter().find(|fork| fork.session == *attempt).and_then(round_of);
        let others = state.forks.iter().filter(|fork| round_of(fork) == round && fork.session != *attempt);
        for other in others {
            let command = Command::Stop { turn: None, then: AfterStop::Drain, reach: Reach::WithChildren };
            match self.command(&other.session, Commanded { by: by.clone(), command }).await {
                Ok(_) => {}
                // It rests already, or is gone: there is nothing to stop.
                Err(refusal) if matches!(refusal.code, RefusalCode::Conflict | RefusalCode::NotFound) => {}
                Err(refusal) => tracing::warn!(session = %other.session, %refusal, "an attempt was not stopped"),
            }
        }
        Ok(())
    }

    /// How long a session's own turns took that have ended, in milliseconds.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub async fn worked_ms(&self, state: &SessionState) -> Result<u64, Refusal> {
        let log = self.log_until(&state.id, state.seq).await?;
        let (mut began_ms, mut worked_ms) = (None, 0);
        for event in log.iter().filter(|event| !state.is_copied(event.seq)) {
            if matches!(event.body, EventBody::TurnStarted { .. }) {
                began_ms = Some(event.time_ms);
            }
            if matches!(event.body, EventBody::TurnEnded { .. }) {
                worked_ms += began_ms.take().map_or(0, |began_ms| event.time_ms.saturating_sub(began_ms));
            }
        }
        Ok(worked_ms)
    }
}
