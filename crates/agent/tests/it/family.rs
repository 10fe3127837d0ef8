//! Other sessions in memory. One that was begun works until somebody waits for it.

use async_trait::async_trait;
use hangar_agent::{
    Tell,
    others::{AttemptReport, OtherSessions, SessionReport, SpawnWish, WaitOver, WaitWish, Waited},
};
use hangar_protocol::{Budget, CallId, ChildPhase, ChildState, Seq, SessionId, Spent, TurnId};

use crate::log::Log;

/// The sessions that a test's agent began, and what it said to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Family {
    pub(crate) children: Vec<ChildState>,
    pub(crate) wishes: Vec<SpawnWish>,
    pub(crate) said: Vec<(CallId, String)>,
    /// What begins is refused with these words.
    pub(crate) refuses: Option<String>,
}

impl Family {
    fn find(&mut self, session: &SessionId) -> Result<&mut ChildState, Tell> {
        let known = self.children.iter_mut().find(|child| child.session == *session);
        known.ok_or_else(|| Tell(format!("There is no session {session}.")))
    }
}

fn report(child: &ChildState) -> SessionReport {
    SessionReport {
        session: child.session.clone(),
        repo: child.repo.clone(),
        branch: format!("hangar/{}", child.session),
        title: child.title.clone(),
        phase: child.phase.word().to_owned(),
        words: child.words.clone(),
        changes: None,
        pull_request: None,
    }
}

#[async_trait]
impl OtherSessions for Log {
    async fn spawn_session(&self, call: &CallId, wish: SpawnWish) -> Result<ChildState, Tell> {
        self.family(|family| {
            if let Some(refused) = &family.refuses {
                return Err(Tell(refused.clone()));
            }
            if let Some(known) = family.children.iter().find(|child| child.call == *call) {
                return Ok(known.clone());
            }
            let child = ChildState {
                session: format!("child{}", family.children.len() + 1).parse().unwrap(),
                turn: TurnId(1),
                call: call.clone(),
                repo: wish.repo.clone().unwrap_or_else(|| "acme/tiny".parse().unwrap()),
                title: wish.title.clone().unwrap_or_else(|| wish.prompt.clone()),
                share: Budget::default(),
                phase: ChildPhase::Working,
                words: String::new(),
                pull_request: None,
                spent: Spent::default(),
                as_of: Seq(1),
                stop_requested_by: None,
            };
            family.wishes.push(wish);
            family.children.push(child.clone());
            Ok(child)
        })
    }

    async fn children(&self) -> Result<Vec<ChildState>, Tell> {
        Ok(self.family(|family| family.children.clone()))
    }

    async fn session_status(&self, session: &SessionId) -> Result<SessionReport, Tell> {
        self.family(|family| family.find(session).map(|child| report(child)))
    }

    async fn message_session(&self, call: &CallId, session: &SessionId, text: String) -> Result<(), Tell> {
        self.family(|family| {
            family.find(session)?.phase = ChildPhase::Working;
            if family.said.iter().all(|(known, _)| known != call) {
                family.said.push((call.clone(), text));
            }
            Ok(())
        })
    }

    async fn cancel_session(&self, session: &SessionId) -> Result<(), Tell> {
        self.family(|family| family.find(session).map(|child| child.phase = ChildPhase::Stopped))
    }

    async fn attempts(&self) -> Result<Vec<AttemptReport>, Tell> {
        Ok(self.family(|family| {
            let reports = family.children.iter().map(|child| AttemptReport {
                report: report(child),
                patch: (child.phase != ChildPhase::Working).then(|| format!("+{}\n", child.title.repeat(9_000))),
            });
            reports.collect()
        }))
    }

    async fn keep_attempt(&self, session: &SessionId) -> Result<(), Tell> {
        self.family(|family| family.find(session).map(|child| child.words = "chosen".to_owned()))
    }

    async fn wait_sessions(&self, wish: WaitWish) -> Result<Waited, Tell> {
        self.family(|family| {
            let wanted = |child: &&mut ChildState| wish.sessions.is_empty() || wish.sessions.contains(&child.session);
            let mut sessions = Vec::new();
            for child in family.children.iter_mut().filter(wanted) {
                if child.phase == ChildPhase::Working {
                    child.phase = ChildPhase::Done;
                    child.words = format!("I did: {}", child.title);
                }
                sessions.push(report(child));
            }
            Ok(Waited { over: WaitOver::Ended, sessions })
        })
    }
}
