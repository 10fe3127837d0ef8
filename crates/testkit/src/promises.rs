//! What hangar promised to people, and whether it was kept. The same look after every fault.
//!
//! ```text
//!   a prompt was acknowledged ──┐
//!   an event was seen ──────────┼──▶ Promises ── kept() ──▶ every session at rest, or the test fails with its log
//!   a session was answered ─────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};

use hangar_protocol::{
    CallId, Event, EventBody, PromptId, Seq, SessionId, SessionState, TurnId,
    event::{BlobRef, ToolStatus, TurnOutcome},
    state::PromptStatus,
};
use sha2::{Digest as _, Sha256};

use crate::{
    person::Person,
    story::Story,
    watch::{Watch, until},
};

/// From how many places in its log a session is read once more, as clients do that were away: the beginning, the end, and between.
const CURSORS: u64 = 4;

/// What was promised so far.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    prompts: BTreeMap<(SessionId, String), Promised>,
    seen: Vec<(SessionId, Vec<Event>)>,
    sessions: BTreeSet<SessionId>,
}

/// A prompt, as it was sent and acknowledged.
#[derive(Clone, Debug, PartialEq)]
struct Promised {
    text: String,
    prompt: PromptId,
}

impl Promises {
    /// A session was answered.
    pub fn began(&mut self, session: &SessionId) {
        self.sessions.insert(session.clone());
    }

    /// A prompt was acknowledged.
    ///
    /// # Panics
    /// When the same request was acknowledged before with another number.
    pub fn acknowledged(&mut self, session: &SessionId, request_id: &str, text: &str, prompt: PromptId) {
        self.began(session);
        let promised = Promised { text: text.to_owned(), prompt };
        let before = self.prompts.insert((session.clone(), request_id.to_owned()), promised.clone());
        assert!(
            before.as_ref().is_none_or(|before| *before == promised),
            "{request_id}: {before:?}, then {promised:?}"
        );
    }

    /// Somebody was shown these events.
    pub fn saw(&mut self, session: &SessionId, events: &[Event]) {
        self.began(session);
        self.seen.push((session.clone(), events.to_vec()));
    }

    /// Adds what others were promised.
    pub fn join(&mut self, others: Self) {
        self.prompts.extend(others.prompts);
        self.seen.extend(others.seen);
        self.sessions.extend(others.sessions);
    }

    /// How many prompts were acknowledged.
    #[must_use]
    pub fn prompts(&self) -> usize {
        self.prompts.len()
    }

    /// Waits until every session is at rest and looks whether everything was kept; gives the logs.
    ///
    /// # Panics
    /// When something was not, saying what.
    pub async fn kept(&self, reader: &Person) -> BTreeMap<SessionId, Vec<Event>> {
        let mut logs = BTreeMap::new();
        for session in &self.sessions {
            let (log, state) = at_rest(reader, session).await;
            if let Err(broken) = self.check(session, &log, &state) {
                panic!("session {session}: {broken} in:\n{}", Story::of(&log));
            }
            read_again(reader, session, &log).await;
            blobs(reader, session, &log).await;
            logs.insert(session.clone(), log);
        }
        logs
    }

    fn check(&self, session: &SessionId, log: &[Event], state: &SessionState) -> Result<(), String> {
        let folded = SessionState::fold(log).map_err(|fault| fault.to_string())?;
        same("the served state is the fold of the log", state, &folded)?;
        prompts_ran(log, state)?;
        calls_ended(log)?;
        replies_once(log)?;
        for ((_, request), promised) in self.prompts.iter().filter(|((of, _), _)| of == session) {
            let written: Vec<Promised> = log.iter().filter_map(|event| written(event, request)).collect();
            same(
                &format!("prompt {request} stands in the log once, as it was acknowledged"),
                &written,
                &vec![promised.clone()],
            )?;
        }
        for seen in self.seen.iter().filter(|(of, _)| of == session).flat_map(|(_, seen)| seen) {
            let place = usize::try_from(seen.seq.0).unwrap_or(usize::MAX).wrapping_sub(1);
            same(&format!("event {} stands as it was seen", seen.seq), &log.get(place), &Some(seen))?;
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: no, {found:?}\n instead of {expected:?}")) }
}

fn written(event: &Event, request: &str) -> Option<Promised> {
    match &event.body {
        EventBody::PromptAdded { prompt, request_id, text, .. } if request_id.as_str() == request => {
            Some(Promised { text: text.clone(), prompt: *prompt })
        }
        _ => None,
    }
}

/// The log and the state of one moment at which nothing runs and nothing waits.
async fn at_rest(reader: &Person, session: &SessionId) -> (Vec<Event>, SessionState) {
    until(&format!("rest of session {session}"), async || {
        let log = reader.log(session).await;
        let state = reader.client().session(session).await.ok()?;
        let rests = state.open_turn().is_none() && state.queue().next().is_none();
        (rests && log.last().is_some_and(|last| last.seq == state.seq)).then_some((log, state))
    })
    .await
}

/// Every prompt was taken once and its turn ended once, with its cause where it did not end well; or it was taken back.
fn prompts_ran(log: &[Event], state: &SessionState) -> Result<(), String> {
    let mut requests = BTreeSet::new();
    let mut turns: BTreeMap<TurnId, (PromptId, Vec<&TurnOutcome>)> = BTreeMap::new();
    for event in log {
        match &event.body {
            EventBody::PromptAdded { request_id, .. } if !requests.insert(request_id.to_string()) => {
                return Err(format!("{request_id} was added twice"));
            }
            EventBody::TurnStarted { turn, .. } if turns.contains_key(turn) => {
                return Err(format!("turn {turn} began twice"));
            }
            EventBody::TurnStarted { turn, prompt } => drop(turns.insert(*turn, (*prompt, Vec::new()))),
            EventBody::TurnEnded { turn, outcome } => {
                turns.get_mut(turn).ok_or_else(|| format!("turn {turn} ended and never began"))?.1.push(outcome);
            }
            _ => {}
        }
    }
    for prompt in &state.prompts {
        let ran: Vec<_> = turns.values().filter(|(of, _)| *of == prompt.id).collect();
        match (prompt.status, ran.as_slice()) {
            (PromptStatus::Cancelled | PromptStatus::Steered, []) => {}
            (PromptStatus::Taken, [(_, ends)]) => ended_once(prompt.id, ends)?,
            (status, ran) => return Err(format!("prompt {} is {status:?} and has the turns {ran:?}", prompt.id)),
        }
    }
    Ok(())
}

fn ended_once(prompt: PromptId, ends: &[&TurnOutcome]) -> Result<(), String> {
    match ends {
        [TurnOutcome::Done | TurnOutcome::Stopped { .. }] => Ok(()),
        [TurnOutcome::Failed { reason }] if !reason.trim().is_empty() => Ok(()),
        other => Err(format!("the turn of prompt {prompt} ended as {other:?}")),
    }
}

/// Every call that began has one end; one that was interrupted says so to the model.
fn calls_ended(log: &[Event]) -> Result<(), String> {
    let mut open: BTreeSet<(TurnId, CallId)> = BTreeSet::new();
    for event in log {
        match &event.body {
            EventBody::ToolStarted { turn, call, .. } if !open.insert((*turn, call.clone())) => {
                return Err(format!("call {call} of turn {turn} began twice"));
            }
            EventBody::ToolFinished { turn, call, status, output, .. } => {
                open.remove(&(*turn, call.clone()));
                if *status == ToolStatus::Interrupted && output.trim().is_empty() {
                    return Err(format!("call {call} of turn {turn} was interrupted without a word"));
                }
            }
            _ => {}
        }
    }
    same("every call ended", &open, &BTreeSet::new())
}

/// Every reply is in the log once, and so is what it cost.
fn replies_once(log: &[Event]) -> Result<(), String> {
    let mut replied = BTreeSet::new();
    for event in log {
        if let EventBody::ModelReplied { turn, step, .. } = &event.body
            && !replied.insert((*turn, *step))
        {
            return Err(format!("request {step} of turn {turn} was replied to twice"));
        }
    }
    Ok(())
}

/// Clients that come back with whatever cursor get exactly the rest.
async fn read_again(reader: &Person, session: &SessionId, log: &[Event]) {
    let end = log.len() as u64;
    for part in 0..CURSORS {
        let after = end * part / CURSORS;
        let mut watch = Watch::after(reader, session, Seq(after));
        let rest = &log[usize::try_from(after).unwrap_or(usize::MAX)..];
        watch.until("the end of the log", |event| event.seq.0 == end).await;
        assert_eq!(watch.events(), rest, "session {session} read after {after}");
    }
}

/// What an event names is there, whole.
async fn blobs(reader: &Person, session: &SessionId, log: &[Event]) {
    for event in log {
        let EventBody::ToolFinished { blob: Some(BlobRef { sha256, bytes }), .. } = &event.body else { continue };
        let content = reader.client().blob(session, sha256).await;
        let content = content.unwrap_or_else(|error| panic!("session {session}, event {}: {error}", event.seq));
        let hash: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((content.len() as u64, &hash), (*bytes, sha256), "session {session}, event {}", event.seq);
    }
}
