//! One task, from its package to what its check found.

use std::time::{Duration, Instant};

use hangar_client::{Client, Patience, Update};
use hangar_protocol::{
    EventBody, Seq, SessionId, SessionState,
    api::{NewPrompt, NewSession, StopTurn},
    event::TurnOutcome,
};

use super::{
    changes,
    check::{Found, check},
    ground::{Ground, Place},
    report::{Row, Verdict, Work},
    task::Task,
};

/// Who works on the tasks, and where.
pub(super) struct Contest<'a> {
    pub(super) client: &'a Client,
    pub(super) ground: &'a Ground,
    pub(super) worker: Worker,
}

/// Who works on them.
pub(super) enum Worker {
    /// An agent, in a session each.
    Agent {
        /// Its model; the server's usual one where none is named.
        model: Option<String>,
        /// An external agent, by its id.
        agent: Option<String>,
        /// How long it may take.
        limit: Duration,
    },
    /// Nobody: checks are made on the packages as they are.
    Nobody,
}

/// What came of a session.
struct Done {
    state: SessionState,
    /// Why its work is not even looked at.
    trouble: Option<String>,
}

impl Contest<'_> {
    /// Carries a task out.
    pub(super) async fn carry_out(&self, task: &Task) -> Row {
        let place = match self.ground.bring_in(task).await {
            Ok(place) => place,
            Err(why) => return Row::new(task, Verdict::NotPrepared, why),
        };
        let began = Instant::now();
        match &self.worker {
            Worker::Nobody => self.judge(task, &place, "").await,
            Worker::Agent { model, agent, limit } => {
                let new = NewSession {
                    repo: place.repo(),
                    base_branch: None,
                    model: model.clone(),
                    agent: agent.clone(),
                    prompt: Some(NewPrompt { request_id: None, text: task.about.wish.trim().to_owned() }),
                    visibility: None,
                };
                match self.work(&new, *limit).await {
                    Ok(done) => self.checked(task, &place, done, began).await,
                    Err(error) => Row::new(task, Verdict::NotPrepared, error.to_string()),
                }
            }
        }
    }

    async fn checked(&self, task: &Task, place: &Place, done: Done, began: Instant) -> Row {
        let took = began.elapsed();
        let session = done.state.id.clone();
        let row = match (done.trouble, self.client.diff(&session).await) {
            (Some(why), _) => Row::new(task, Verdict::Failed, why),
            (None, Err(error)) => Row::new(task, Verdict::NotChecked, error.to_string()),
            (None, Ok(diff)) => match changes::patch(task, &diff) {
                Ok(patch) => self.judge(task, place, &patch).await,
                Err(why) => Row::new(task, Verdict::Failed, why),
            },
        };
        if done.state.pushed.is_some()
            && let Err(why) = self.ground.remove_work(place, &done.state.branch).await
        {
            tracing::warn!(%why, "a session's branch stays");
        }
        row.after(Work::of(&done.state, took))
    }

    async fn judge(&self, task: &Task, place: &Place, patch: &str) -> Row {
        let began = Instant::now();
        let row = match check(self.client, self.ground, task, &place.tree, patch).await {
            Found::Good => Row::new(task, Verdict::Passed, String::new()),
            Found::Bad(why) => Row::new(task, Verdict::Failed, why),
            Found::Unknown(why) => Row::new(task, Verdict::NotChecked, why),
        };
        row.checked_in(began.elapsed())
    }

    /// Lets a session work until its turn ends, its time is up, or a budget is.
    async fn work(&self, new: &NewSession, limit: Duration) -> Result<Done, hangar_client::Error> {
        let session = self.client.create_session(new).await?.id;
        let mut trouble = match tokio::time::timeout(limit, self.turn_end(&session)).await {
            Ok(ended) => ended?,
            Err(_) => {
                let minutes = limit.as_secs() / 60;
                let _ = self.client.stop_turn(&session, &StopTurn::default()).await;
                Some(format!("it took longer than {minutes} min"))
            }
        };
        let state = self.client.session(&session).await?;
        if let Some(TurnOutcome::Failed { reason }) = state.turns.last().and_then(|turn| turn.outcome.as_ref()) {
            trouble.get_or_insert_with(|| reason.clone());
        }
        Ok(Done { state, trouble })
    }

    /// Waits for the end of its one turn; what went wrong, if anything did.
    async fn turn_end(&self, session: &SessionId) -> Result<Option<String>, hangar_client::Error> {
        let mut stream = self.client.follow(session, Seq::START, Patience::default());
        while let Some(update) = stream.next().await {
            let Update::Event(event) = update? else { continue };
            match &event.body {
                EventBody::TurnEnded { outcome: TurnOutcome::Stopped { by }, .. } => {
                    return Ok(Some(format!("it was stopped by {by}")));
                }
                EventBody::TurnEnded { .. } => return Ok(None),
                EventBody::TurnPaused { .. } => return Ok(Some("it waits: a budget is used up".to_owned())),
                _ => {}
            }
        }
        Ok(Some("its session could not be followed any more".to_owned()))
    }
}
