//! A session's log in memory, as a turn writes it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use bytes::Bytes;
use hangar_agent::{Conversation, Tell, TurnOver, TurnSink, conversation::Steer, models::Price};
use hangar_protocol::{
    CallId, Cause, Event, EventBody, Exhausted, Person, PromptId, Seq, TurnId,
    api::OpenPullRequest,
    budget::{BudgetScope, Measure},
    event::{BlobRef, TurnOutcome},
    frame::TextChannel,
    state::{PullRequestState, PullRequestStatus},
};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{family::Family, world::ada};

#[derive(Default)]
pub(crate) struct Log {
    inner: Mutex<Inner>,
    /// Told of every change: `Log::until` waits on it.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Inner {
    events: Vec<Event>,
    /// After so many events nothing more is written, as if the server were gone.
    room: Option<usize>,
    /// After so many calls the budget is used up.
    calls_left: Option<u32>,
    /// After so many requests the budget is used up.
    requests_left: Option<u32>,
    /// Money is limited: models without a known price are not asked.
    priced_only: bool,
    blobs: BTreeMap<String, Bytes>,
    /// Text shown of each block, and how often it was taken back.
    shown: BTreeMap<(u32, u32), String>,
    resets: u32,
    output: BTreeMap<String, String>,
    requests: Vec<OpenPullRequest>,
    /// What is to be said to the turn at its next step.
    steers: Vec<(PromptId, Steer)>,
    family: Family,
}

impl Log {
    pub(crate) fn of(events: Vec<Event>, blobs: BTreeMap<String, Bytes>) -> Self {
        let log = Self::default();
        *log.lock() = Inner { events, blobs, ..Inner::default() };
        log
    }

    /// The budget has so many calls left; none: it has no limit.
    pub(crate) fn leave_calls(&self, calls: Option<u32>) {
        self.lock().calls_left = calls;
    }

    /// The budget is enough for so many requests; none: it has no limit.
    pub(crate) fn leave_requests(&self, requests: Option<u32>) {
        self.lock().requests_left = requests;
    }

    /// Limits money, far beyond what a test spends.
    pub(crate) fn limit_money(&self) {
        self.lock().priced_only = true;
    }

    /// Appends an event that no turn wrote.
    pub(crate) fn append(&self, cause: Cause, body: EventBody) {
        let mut inner = self.lock();
        if matches!(body, EventBody::TurnStarted { .. }) {
            inner.shown.clear();
        }
        let seq = Seq(inner.events.len() as u64 + 1);
        inner.events.push(Event { seq, time_ms: 1_700_000_000_000 + seq.0, cause, body });
        drop(inner);
        self.changed.send_replace(());
    }

    /// The beginning of a session, with its first turn open.
    pub(crate) fn begin(&self, wish: &str) {
        self.append(
            Cause::System,
            EventBody::SessionCreated {
                session: "s1".parse().unwrap(),
                owner: ada(),
                repo: "acme/strsim".parse().unwrap(),
                base_branch: "main".into(),
                base_commit: "0".repeat(40),
                branch: "hangar/s1".into(),
                model: "scripted/test".into(),
                agent: None,
                title: "A test".into(),
            },
        );
        self.prompt(1, "ada", wish);
    }

    /// A prompt whose turn has begun.
    pub(crate) fn prompt(&self, number: u32, author: &str, text: &str) {
        let cause = Cause::User { user: author.parse().unwrap() };
        let added = EventBody::PromptAdded {
            prompt: PromptId(number),
            request_id: format!("r{number}").parse().unwrap(),
            author: author.parse().unwrap(),
            text: text.into(),
        };
        self.append(cause, added);
        self.append(Cause::System, EventBody::TurnStarted { turn: TurnId(number), prompt: PromptId(number) });
    }

    /// Somebody wants to say something to the running turn.
    pub(crate) fn steer(&self, prompt: u32, author: Person, text: &str) {
        let cause = Cause::User { user: author.user.clone() };
        if author.user.as_str() != "ada" {
            self.append(cause.clone(), EventBody::ParticipantJoined { person: author.clone() });
        }
        let added = EventBody::PromptAdded {
            prompt: PromptId(prompt),
            request_id: format!("r{prompt}").parse().unwrap(),
            author: author.user.clone(),
            text: text.into(),
        };
        self.append(cause, added);
        self.lock().steers.push((PromptId(prompt), Steer { author, text: text.into() }));
    }

    pub(crate) fn end_turn(&self, outcome: TurnOutcome) {
        self.append(Cause::System, EventBody::TurnEnded { turn: TurnId(1), outcome });
    }

    /// The session goes back to where it was after a turn.
    pub(crate) fn rewind(&self, to_turn: TurnId) {
        self.append(Cause::System, EventBody::Rewound { to_turn, request_id: "back".parse().unwrap() });
    }

    /// Lets the log take `room` events and no more.
    pub(crate) fn cut_after(&self, room: usize) {
        self.lock().room = Some(room);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    pub(crate) fn bodies(&self) -> Vec<EventBody> {
        self.lock().events.iter().map(|event| event.body.clone()).collect()
    }

    pub(crate) fn blobs(&self) -> BTreeMap<String, Bytes> {
        self.lock().blobs.clone()
    }

    /// The conversation as a restarted server would fold it: from events that were written out and read back.
    pub(crate) fn conversation(&self) -> Conversation {
        let written = serde_json::to_string(&self.events()).unwrap();
        Conversation::fold(&serde_json::from_str::<Vec<Event>>(&written).unwrap())
    }

    pub(crate) fn shown(&self, step: u32) -> String {
        let inner = self.lock();
        inner.shown.iter().filter(|((of, _), _)| *of == step).map(|(_, text)| text.as_str()).collect()
    }

    pub(crate) fn resets(&self) -> u32 {
        self.lock().resets
    }

    /// What was shown of a running call.
    pub(crate) fn live_output(&self) -> String {
        self.lock().output.values().cloned().collect()
    }

    pub(crate) fn pull_requests(&self) -> Vec<OpenPullRequest> {
        self.lock().requests.clone()
    }

    /// Waits until the log is as wanted.
    pub(crate) async fn until(&self, mut wanted: impl FnMut(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            while !wanted(self) {
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await.expect("the log never became so");
    }

    /// What it did with other sessions.
    pub(crate) fn family<T>(&self, look: impl FnOnce(&mut Family) -> T) -> T {
        look(&mut self.lock().family)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

#[async_trait]
impl TurnSink for Log {
    async fn record(&self, body: EventBody) -> Result<Seq, TurnOver> {
        // A real log answers after a write to disk, never at once.
        tokio::task::yield_now().await;
        let room = self.lock().room;
        if room.is_some_and(|room| self.lock().events.len() >= room) {
            return Err(TurnOver);
        }
        self.append(Cause::Turn { turn: TurnId(1) }, body);
        Ok(Seq(self.lock().events.len() as u64))
    }

    async fn steers(&self) -> Result<Vec<Steer>, TurnOver> {
        let waiting = std::mem::take(&mut self.lock().steers);
        let mut steers = Vec::new();
        for (prompt, steer) in waiting {
            let cause = Cause::User { user: steer.author.user.clone() };
            self.append(cause, EventBody::PromptSteered { prompt, turn: TurnId(1) });
            steers.push(steer);
        }
        Ok(steers)
    }

    fn admit_request(&self, price: &Price) -> Result<(), Exhausted> {
        let refused = |measure, reason: &str| {
            Err(Exhausted { scope: BudgetScope::Session, measure, spent: 0, limit: 1, reason: reason.into() })
        };
        let mut inner = self.lock();
        if inner.priced_only && !price.is_known() {
            return refused(Measure::Cost, "The price is not known.");
        }
        match &mut inner.requests_left {
            Some(0) => refused(Measure::Tokens, "The tokens are used up."),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn admit_call(&self) -> Result<(), Exhausted> {
        let mut inner = self.lock();
        match &mut inner.calls_left {
            Some(0) => Err(Exhausted {
                scope: BudgetScope::Session,
                measure: Measure::ToolCalls,
                spent: 0,
                limit: 0,
                reason: "The calls are used up.".into(),
            }),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn text(&self, step: u32, block: u32, _channel: TextChannel, offset: u32, text: &str) {
        let mut inner = self.lock();
        let shown = inner.shown.entry((step, block)).or_default();
        assert_eq!(shown.len(), offset as usize, "text of step {step}, block {block}");
        shown.push_str(text);
        drop(inner);
        self.changed.send_replace(());
    }

    fn text_reset(&self, step: u32) {
        let mut inner = self.lock();
        inner.resets += 1;
        inner.shown.retain(|(of, _), _| *of != step);
    }

    fn tool_output(&self, call: &CallId, offset: u32, text: &str) {
        let mut inner = self.lock();
        let output = inner.output.entry(call.to_string()).or_default();
        assert_eq!(output.len(), offset as usize, "output of {call}");
        output.push_str(text);
        drop(inner);
        self.changed.send_replace(());
    }

    async fn blob(&self, bytes: Bytes) -> Result<BlobRef, TurnOver> {
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let blob = BlobRef { sha256: hash.clone(), bytes: bytes.len() as u64 };
        self.lock().blobs.insert(hash, bytes);
        Ok(blob)
    }

    async fn read_blob(&self, blob: &BlobRef) -> Result<Bytes, TurnOver> {
        self.lock().blobs.get(&blob.sha256).cloned().ok_or(TurnOver)
    }

    async fn open_pull_request(&self, wish: OpenPullRequest) -> Result<PullRequestState, Tell> {
        let mut inner = self.lock();
        if !inner.requests.is_empty() {
            return Err(Tell("There is an open pull request already: #7.".into()));
        }
        let title = wish.title.clone().unwrap();
        inner.requests.push(wish);
        Ok(PullRequestState {
            number: 7,
            title,
            author: "ada".parse().unwrap(),
            url: "/acme/strsim/pulls/7".into(),
            status: PullRequestStatus::Open,
            merge_commit: None,
            approved_by: Vec::new(),
        })
    }
}
