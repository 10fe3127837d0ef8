//! A turn's way to other sessions, in the name of its author.

use async_trait::async_trait;
use hangar_agent::{
    Tell,
    others::{AttemptReport, OtherSessions, SessionReport, SpawnWish, Until, WaitOver, WaitWish, Waited},
};
use hangar_protocol::{
    CallId, ChildPhase, ChildState, Command, Permission, Person, Refusal, SessionId, SessionState,
    command::Commanded,
    event::FileChangeKind,
    limits::clip,
    state::{PullRequestState, PullRequestStatus},
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::{begin::Spawning, id::request_id, news::Look};
use crate::{
    Sessions,
    decide::{Report, check_room_at_work, no_session, round_of},
    driver::Message,
    turn::Sink,
};

/// How many changed files are named.
const FILES_NAMED_MAX: usize = 12;
/// Longest title of a pull request that is told.
const TITLE_CHARS_MAX: usize = 120;

impl Sink {
    fn sessions(&self) -> Result<Sessions, Tell> {
        self.home.sessions.upgrade().ok_or_else(closed)
    }

    fn by(&self) -> Result<&Person, Tell> {
        self.author.as_ref().ok_or_else(closed)
    }

    async fn state(&self) -> Result<SessionState, Tell> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(Message::State(answer)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())
    }

    /// A child of this session.
    async fn child(&self, session: &SessionId) -> Result<(SessionState, ChildState), Tell> {
        let state = self.state().await?;
        let child = state.child(session).cloned();
        let child = child.ok_or_else(|| Tell(format!("{session} is no session that this one began.")))?;
        Ok((state, child))
    }

    /// Which children a wait is for.
    fn awaited(&self, state: &SessionState, wish: &WaitWish) -> Result<Vec<SessionId>, Tell> {
        if let Some(stranger) = wish.sessions.iter().find(|id| state.child(id).is_none()) {
            return Err(Tell(format!("{stranger} is no session that this one began.")));
        }
        if !wish.sessions.is_empty() {
            return Ok(wish.sessions.clone());
        }
        let ids = |wanted: &dyn Fn(&ChildState) -> bool| -> Vec<SessionId> {
            state.children.iter().filter(|child| wanted(child)).map(|child| child.session.clone()).collect()
        };
        let working = ids(&|child| !child.phase.is_over());
        let these = match wish.until {
            Until::Any if !working.is_empty() => working,
            // One that ended before anybody waited has something to tell all the same.
            Until::Any | Until::All => ids(&|child| !child.phase.is_over() || child.turn == self.turn),
        };
        match (these.is_empty(), state.children.is_empty()) {
            (false, _) => Ok(these),
            (true, true) => Err(Tell("This session has begun none.".to_owned())),
            (true, false) => Err(Tell(
                "None of those that this session began is at work. Name one to read what came of it.".to_owned(),
            )),
        }
    }
}

#[async_trait]
impl OtherSessions for Sink {
    async fn spawn_session(&self, call: &CallId, wish: SpawnWish) -> Result<ChildState, Tell> {
        let spawning = Spawning { by: self.by()?, turn: self.turn, call };
        self.sessions()?.spawn(&self.home, spawning, wish).await.map_err(told)
    }

    async fn children(&self) -> Result<Vec<ChildState>, Tell> {
        Ok(self.state().await?.children)
    }

    async fn session_status(&self, session: &SessionId) -> Result<SessionReport, Tell> {
        let sessions = self.sessions()?;
        let state = self.state().await?;
        // Whoever steers somebody's turn reads no more by it than they may read themselves.
        for person in state.co_authors_of(self.turn).into_iter().chain([self.by()?]) {
            sessions.role(session, &person.user).await.map_err(told)?;
        }
        let look = sessions.look(session).await;
        // Removed in between: there is no such session.
        Ok(report_of(look.map_err(|_| told(no_session(session)))?))
    }

    async fn message_session(&self, call: &CallId, session: &SessionId, text: String) -> Result<(), Tell> {
        let (state, child) = self.child(session).await?;
        if text.trim() == Permission::ALLOW {
            return Err(Tell("Only a person can allow what a session asks permission for.".to_owned()));
        }
        let (sessions, by) = (self.sessions()?, self.by()?.clone());
        if child.phase.is_over() {
            check_room_at_work(&state).map_err(told)?;
        }
        let request_id = request_id(&self.home.id, self.turn, call).map_err(told)?;
        let paused = sessions.state(session).await.map_err(told)?.queue_paused_by.is_some();
        let command =
            if paused { Command::PromptAndResume { request_id, text } } else { Command::Steer { request_id, text } };
        sessions.command(session, Commanded { by, command }).await.map_err(told)?;
        // Whoever waits for it next waits for what comes of this.
        sessions.tell_parent(session).await.map_err(told)
    }

    async fn cancel_session(&self, session: &SessionId) -> Result<(), Tell> {
        self.child(session).await?;
        let (sessions, by) = (self.sessions()?, self.by()?.user.clone());
        let recorded = sessions.record(session, Report::StoppedFromAbove { by }).await.map_err(told)?;
        if recorded.is_some() {
            return Ok(());
        }
        sessions.tell_parent(session).await.map_err(told)?;
        Err(Tell(format!("Nothing of {session} runs.")))
    }

    async fn attempts(&self) -> Result<Vec<AttemptReport>, Tell> {
        let (sessions, state, by) = (self.sessions()?, self.state().await?, self.by()?);
        let mut reports = Vec::new();
        for id in newest_round(&state) {
            if sessions.role(&id, &by.user).await.is_err() {
                continue;
            }
            // Removed meanwhile.
            let Ok(look) = sessions.look(&id).await else { continue };
            let works = look.state.open_turn().is_some();
            let diff = if works { None } else { sessions.diff(&id).await.ok() };
            let patch = diff.map(|diff| diff.files.into_iter().filter_map(|file| file.patch).collect());
            reports.push(AttemptReport { report: report_of(look), patch });
        }
        if reports.is_empty() {
            return Err(Tell("This session has no attempts.".to_owned()));
        }
        Ok(reports)
    }

    async fn keep_attempt(&self, session: &SessionId) -> Result<(), Tell> {
        let by = self.by()?.clone();
        self.sessions()?.keep_attempt(&self.home.id, session, by).await.map_err(told)
    }

    async fn wait_sessions(&self, wish: WaitWish) -> Result<Waited, Tell> {
        let over_at = Instant::now() + wish.patience;
        let sessions = self.sessions()?;
        let mut heard = self.home.heard.subscribe();
        sessions.ask_children(&self.state().await?).await;
        let wanted = self.awaited(&self.state().await?, &wish)?;
        let over = loop {
            heard.mark_unchanged();
            let state = self.state().await?;
            let mut waited = wanted.iter().filter_map(|id| state.child(id));
            let ended = match wish.until {
                Until::All => waited.all(rests),
                Until::Any => waited.any(rests),
            };
            if ended {
                break WaitOver::Ended;
            }
            if self.is_called() {
                break WaitOver::Called;
            }
            tokio::select! {
                changed = heard.changed() => changed.map_err(|_| closed())?,
                () = sleep_until(over_at) => break WaitOver::Patience,
            }
        };
        let mut reports = Vec::with_capacity(wanted.len());
        for id in &wanted {
            if let Ok(look) = sessions.look(id).await {
                reports.push(report_of(look));
            }
        }
        Ok(Waited { over, sessions: reports })
    }
}

/// The attempts that were begun last, together.
fn newest_round(state: &SessionState) -> Vec<SessionId> {
    let rounds = || state.forks.iter().filter_map(|fork| Some((round_of(fork)?, fork)));
    let newest = rounds().map(|(round, _)| round).max();
    rounds().filter(|(round, _)| Some(*round) == newest).map(|(_, fork)| fork.session.clone()).collect()
}

/// Nothing comes of it by itself any more: it ended, or waits for somebody to raise a budget.
fn rests(child: &ChildState) -> bool {
    child.phase.is_over() || child.phase == ChildPhase::Paused
}

fn report_of(look: Look) -> SessionReport {
    let phase = look.phase().word().to_owned();
    let Look { state, words } = look;
    SessionReport {
        phase: if state.turns.is_empty() { "idle".to_owned() } else { phase },
        words,
        changes: changes(&state),
        pull_request: state.pull_requests.last().map(pull_words),
        session: state.id,
        repo: state.repo,
        branch: state.branch,
        title: state.title,
    }
}

fn changes(state: &SessionState) -> Option<String> {
    let count = state.files.len();
    if count == 0 {
        return None;
    }
    let named: Vec<String> = state
        .files
        .iter()
        .take(FILES_NAMED_MAX)
        .map(|(path, kind)| match kind {
            FileChangeKind::Created => format!("{path} (new)"),
            FileChangeKind::Modified => path.clone(),
            FileChangeKind::Removed => format!("{path} (removed)"),
        })
        .collect();
    let more = count.saturating_sub(FILES_NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("{count} file{}: {}{more}", if count == 1 { "" } else { "s" }, named.join(", ")))
}

fn pull_words(pull: &PullRequestState) -> String {
    let status = match pull.status {
        PullRequestStatus::Open => "open",
        PullRequestStatus::Merged => "merged",
        PullRequestStatus::Closed => "closed",
    };
    format!("#{} {status} · {} · {}", pull.number, clip(&pull.title, TITLE_CHARS_MAX), pull.url)
}

fn told(refusal: Refusal) -> Tell {
    Tell(refusal.to_string())
}

fn closed() -> Tell {
    Tell("The session is being closed.".to_owned())
}
