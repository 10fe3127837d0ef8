//! What a session's log says of it now, and how the session above hears of that.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hangar_protocol::{
    Block, ChildPhase, ChildState, Event, EventBody, Refusal, RefusalCode, Seq, SessionId, SessionState,
    event::TurnOutcome,
};
use tokio::sync::watch;

use crate::{
    Sessions,
    decide::Report,
    home::{Home, log_refusal},
    sessions::WeakSessions,
};

/// How long to wait after a session could not be told.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A session as its log says it is.
pub(super) struct Look {
    pub(super) state: SessionState,
    /// The last words of its agent, or why its last turn failed or waits.
    pub(super) words: String,
}

impl Look {
    pub(super) fn phase(&self) -> ChildPhase {
        phase_of(&self.state)
    }

    /// What the session above is told. `None` where a person began it.
    fn news(self) -> Option<(SessionId, ChildState)> {
        let Self { state, words } = self;
        let parent = state.parent.clone()?;
        let news = ChildState {
            phase: phase_of(&state),
            spent: state.spent_with_children(),
            as_of: state.seq,
            session: state.id,
            turn: parent.turn,
            call: parent.call,
            repo: state.repo,
            title: state.title,
            share: state.budget.unwrap_or_default(),
            words,
            pull_request: state.pull_requests.last().cloned(),
            stop_requested_by: None,
        };
        Some((parent.session, news))
    }
}

fn phase_of(state: &SessionState) -> ChildPhase {
    if let Some(open) = state.open_turn() {
        return if open.paused.is_some() { ChildPhase::Paused } else { ChildPhase::Working };
    }
    match state.last_turn().and_then(|turn| turn.outcome.as_ref()) {
        Some(TurnOutcome::Done) if state.question().is_some() => ChildPhase::Asking,
        Some(TurnOutcome::Done) | None => ChildPhase::Done,
        Some(TurnOutcome::Stopped { .. }) => ChildPhase::Stopped,
        Some(TurnOutcome::Failed { .. }) => ChildPhase::Failed,
    }
}

/// Gathers the last words from a log.
#[derive(Default)]
struct LastWords(String);

impl LastWords {
    fn hear(&mut self, body: &EventBody) {
        if let EventBody::TurnStarted { .. } | EventBody::TurnContinued { .. } = body {
            self.0.clear();
        }
        if let EventBody::ModelReplied { blocks, .. } = body {
            let texts = blocks.iter().filter_map(|block| match block {
                Block::Text { text } => Some(text.as_str()),
                Block::Reasoning { .. } | Block::ToolCall { .. } => None,
            });
            let said = texts.collect::<Vec<_>>().join("\n");
            if !said.trim().is_empty() {
                self.0 = said;
            }
        }
        if let EventBody::QuestionAsked { question, .. } = body {
            self.0.clone_from(&question.text);
        }
        if let EventBody::TurnEnded { outcome: TurnOutcome::Failed { reason }, .. } = body {
            self.0.clone_from(reason);
        }
        if let EventBody::TurnPaused { exhausted, .. } = body {
            self.0.clone_from(&exhausted.reason);
        }
    }
}

/// Whether the session above is told after this.
pub(crate) fn tells_parent(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::TurnStarted { .. }
            | EventBody::TurnPaused { .. }
            | EventBody::TurnContinued { .. }
            | EventBody::TurnEnded { .. }
            | EventBody::PullRequestOpened { .. }
            | EventBody::PullRequestChanged { .. }
    )
}

impl Sessions {
    /// Looks at a session without waking it. Who may see it was asked before.
    pub(super) async fn look(&self, id: &SessionId) -> Result<Look, Refusal> {
        let heard = Arc::new(Mutex::new(LastWords::default()));
        let hears = Arc::clone(&heard);
        let take = move |event: &Event| hears.lock().unwrap_or_else(PoisonError::into_inner).hear(&event.body);
        let state = self.reader(id).await?.fold(take).await.map_err(|error| log_refusal(&error))?;
        let words = std::mem::take(&mut heard.lock().unwrap_or_else(PoisonError::into_inner).0);
        Ok(Look { state, words })
    }

    /// Tells the session whose agent began this one how far it is, unless that knows it. Durable when this answers.
    pub(crate) async fn tell_parent(&self, id: &SessionId) -> Result<(), Refusal> {
        let Some((parent, news)) = self.look(id).await?.news() else { return Ok(()) };
        let known = match self.state(&parent).await {
            Ok(known) => known,
            Err(refusal) if refusal.code == RefusalCode::NotFound => return Ok(()),
            Err(refusal) => return Err(refusal),
        };
        if known.child(id).is_some_and(|known| !news.is_news_to(known)) {
            return Ok(());
        }
        match self.record(&parent, Report::Child(Box::new(news))).await {
            Ok(_durable) => Ok(()),
            Err(refusal) if refusal.code == RefusalCode::NotFound => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Hears from those that a session's agent began and that it does not know to have ended: they may have told it while it could not hear.
    pub(crate) async fn ask_children(&self, state: &SessionState) {
        for child in state.children_at_work() {
            match self.tell_parent(&child.session).await {
                Ok(()) => {}
                Err(refusal) if refusal.code == RefusalCode::NotFound => self.note_gone(&state.id, child).await,
                Err(refusal) => {
                    tracing::warn!(session = %state.id, child = %child.session, %refusal, "nothing is known of a session that this one began");
                }
            }
        }
    }
}

impl Sessions {
    /// Beside whoever wakes the session: nobody waits for it.
    pub(crate) fn ask_children_soon(&self, state: SessionState) {
        let sessions = self.clone();
        tokio::spawn(async move { sessions.ask_children(&state).await });
    }
}

impl Sessions {
    /// A child is not on this server any more: it was removed, or is in no backup. Nobody waits for it for ever.
    async fn note_gone(&self, parent: &SessionId, child: &ChildState) {
        let words = "This session is not on this server any more.".to_owned();
        let gone = ChildState { phase: ChildPhase::Failed, words, as_of: child.as_of.next(), ..child.clone() };
        if let Err(refusal) = self.record(parent, Report::Child(Box::new(gone))).await {
            tracing::warn!(session = %parent, child = %child.session, %refusal, "a session that is gone is listed as at work");
        }
    }
}

/// Tells the session above whenever there is something new, in order: what it is told is what the log says then.
pub(crate) struct Reporter(watch::Sender<Seq>);

impl Reporter {
    /// Starts, where there is a session above. It ends once this is dropped and the last news was told.
    pub(crate) fn start(home: &Home, state: &SessionState) -> Option<Self> {
        state.parent.as_ref()?;
        let (news, mut heard) = watch::channel(state.seq);
        let (sessions, id) = (home.sessions.clone(), home.id.clone());
        tokio::spawn(async move {
            while heard.changed().await.is_ok() {
                tell_until_told(&sessions, &id).await;
            }
        });
        Some(Self(news))
    }

    /// There is something new, up to this event, which is durable.
    pub(crate) fn tell(&self, seq: Seq) {
        self.0.send_replace(seq);
    }
}

async fn tell_until_told(sessions: &WeakSessions, id: &SessionId) {
    while let Some(sessions) = sessions.upgrade() {
        let Err(refusal) = sessions.tell_parent(id).await else { return };
        tracing::warn!(session = %id, %refusal, "the session above is not told yet how far this one is");
        tokio::select! {
            () = tokio::time::sleep(RETRY_AFTER) => {}
            // The next start asks.
            () = sessions.closing().cancelled() => return,
        }
    }
}

/// Tells a session that this one's agent began what happened above it, if it has anything to do with that.
pub(crate) fn tell_below(home: &Home, child: SessionId, report: Report) {
    let Some(sessions) = home.sessions.upgrade() else { return };
    let above = home.id.clone();
    tokio::spawn(async move {
        let told = match sessions.state(&child).await {
            Ok(state) if is_at_rest(&state) => sessions.tell_parent(&child).await,
            Ok(_) => sessions.record(&child, report).await.map(drop),
            Err(refusal) if refusal.code == RefusalCode::NotFound => Ok(()),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = told {
            // It stays noted in the log above, and is tried again when that wakes.
            tracing::warn!(session = %above, %child, %refusal, "a session that this one began could not be told");
        }
    });
}

fn is_at_rest(state: &SessionState) -> bool {
    state.open_turn().is_none() && state.queue().next().is_none() && state.children_at_work().next().is_none()
}
