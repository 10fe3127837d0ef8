//! The one task that owns a session.
//!
//! ```text
//!             commands, reports
//!                    │
//!   asleep ──wake──▶ awake: take what waits ▶ decide each ▶ append all at once (fsync) ▶ publish ▶ answer ▶ start effects ─┐
//!     ▲                 ▲                                                                                                 │
//!     └── idle ─────────┴─────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Why one task: order. The state that `decide` sees is the log that will be written, nobody else writes it, and therefore no
//! lock is needed and replay gives the same state. Whatever takes time (turns, sandboxes, the forge) runs beside it and
//! comes back as a report.
//!
//! If the log cannot be written, the task answers everybody with the refusal and ends. What it had in memory is thrown away;
//! the next command folds the log again.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use hangar_agent::{
    Conversation,
    conversation::Steer,
    gateway::{Admission, NotAdmitted},
};
use hangar_protocol::{
    Cause, Event, EventBody, Person, Refusal, RefusalCode, Seq, SessionState, TurnId,
    api::{PromptAccepted, Rewind, SessionSummary, StopAccepted},
    command::Commanded,
    event::SandboxPhase,
    state::{PromptState, PullRequestState},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    access::Access,
    budgets::Priced,
    children::{Reporter, tell_below, tells_parent},
    clock::now_ms,
    decide::{Answer, Decision, Effect, Input, Past, Report, TURN_REQUESTS_MAX, decide, no_session},
    home::{Home, Inbox, log_refusal},
    index::{Listed, Lister, Lists},
    log::{SessionLog, StoredEvent},
    pull_request,
    steps::SessionStep,
    title, turn,
};

/// Messages that may wait for one session. When it is full, senders wait.
pub(crate) const INBOX_MAX: usize = 1_024;
/// Messages answered by one append.
const BATCH_MAX: usize = 256;
/// A session without work and without sandbox sleeps after so long.
const IDLE: Duration = Duration::from_secs(20);
/// A session without work gives its sandbox back after so long; the files stay.
const SANDBOX_IDLE: Duration = Duration::from_secs(600);

/// What followers are told when the server stops.
pub(crate) const GOODBYE: &str = "hangar is shutting down. Connect again when it is back.";

/// What a session's task is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// A person wants something.
    Command(Commanded, oneshot::Sender<Result<Reply, Refusal>>),
    /// A person wants to go back.
    Rewind {
        /// Who.
        by: Person,
        /// Where to.
        wish: Rewind,
        /// What was true then.
        past: Past,
        /// What came of it.
        answer: oneshot::Sender<Result<Reply, Refusal>>,
    },
    /// Put the sandbox away, unless a turn runs. Answered when that is done, and all it reported waits in the inbox.
    Rest(oneshot::Sender<()>),
    /// News; whoever sends it need not know when it is written.
    Report(Report),
    /// News; the sender waits until it is durable. `None` is answered when it no longer belongs to anything.
    Record(Report, oneshot::Sender<Option<Seq>>),
    /// What waits to be said to this turn, please; it is in the log as said when it is answered. `None` when the turn is over.
    Steers(TurnId, SteersAnswer),
    /// A program in the sandbox wants to ask a model; it is in the log when it is answered that it may.
    AskModel(ModelWish),
    /// The folded state, please.
    State(oneshot::Sender<SessionState>),
    /// End in order: the server shuts down.
    ShutDown,
    /// End for good, if the session was deleted and this time is past the end of its grace; answers whether it does.
    Remove(u64, oneshot::Sender<bool>),
}

/// What a command is answered once it is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The prompt is on disk.
    Prompt(PromptAccepted),
    /// The turn is being stopped.
    Stop(StopAccepted),
    /// The pull request is open.
    PullRequest(PullRequestState),
    /// It is done.
    Done,
}

/// See the module's documentation.
pub(crate) struct Driver {
    home: Arc<Home>,
    state: SessionState,
    conversation: Conversation,
    log: SessionLog,
    inbox: mpsc::Receiver<Message>,
    sender: Inbox,
    running: Option<(TurnId, CancellationToken)>,
    /// Who waits for the sandbox to be put away.
    resting: Vec<oneshot::Sender<()>>,
    lister: Lister,
    access: Arc<Access>,
    /// Tells the session whose agent began this one.
    reporter: Option<Reporter>,
}

/// What a task does first.
pub(crate) enum First {
    /// The log was just written: start what it says.
    Begin,
    /// The log was folded from disk: if the last task did not end in order, for the reason given, put the session right.
    PutRight(String),
}

/// Why the task's loop ended.
enum End {
    Idle,
    ShutDown,
    /// The session was deleted, and its time has come.
    Removed,
    /// With what everybody who still waits is told.
    LogFailed(Refusal),
}

/// A program's wish to ask a model.
#[derive(Debug)]
pub(crate) struct ModelWish {
    /// `provider/model`.
    pub(crate) model: String,
    /// Whether it is known what it costs.
    pub(crate) priced: Priced,
    /// Whether it may.
    pub(crate) answer: AdmissionAnswer,
}

type AdmissionAnswer = oneshot::Sender<Result<Admission, NotAdmitted>>;
type SteersAnswer = oneshot::Sender<Option<Vec<Steer>>>;
type CommandAnswer = oneshot::Sender<Result<Reply, Refusal>>;

/// What one pass over the mailbox gathered.
#[derive(Default)]
struct Batch {
    events: Vec<(Event, StoredEvent)>,
    effects: Vec<(Effect, Option<CommandAnswer>)>,
    replies: Vec<(CommandAnswer, Reply)>,
    recorded: Vec<(oneshot::Sender<Option<Seq>>, Seq)>,
    steered: Vec<(SteersAnswer, Option<Vec<Steer>>)>,
    admitted: Vec<(AdmissionAnswer, Admission)>,
    asked: Vec<oneshot::Sender<SessionState>>,
}

impl Driver {
    pub(crate) fn new(
        home: Arc<Home>,
        state: SessionState,
        conversation: Conversation,
        log: SessionLog,
        inbox: mpsc::Receiver<Message>,
        sender: Inbox,
    ) -> Self {
        let lister = list(&home, &state);
        let access = home.access.note(&home.id, &state);
        home.tail.let_follow(Arc::clone(&access));
        let reporter = Reporter::start(&home, &state);
        let (running, resting) = (None, Vec::new());
        Self { home, state, conversation, log, inbox, sender, running, resting, lister, access, reporter }
    }

    /// Runs until the session sleeps.
    pub(crate) async fn run(mut self, first: First) {
        let end = match self.begin(first).await {
            Ok(()) => self.serve().await,
            Err(refusal) => End::LogFailed(refusal),
        };
        self.finish(end).await;
    }

    async fn begin(&mut self, first: First) -> Result<(), Refusal> {
        match first {
            First::Begin => {
                if let Some(turn) = self.state.open_turn().map(|turn| turn.id) {
                    self.start(Effect::RunTurn(turn), None);
                }
                // Whoever began the session did not wait for this.
                self.log.open().await.map_err(|error| log_refusal(&error))
            }
            First::PutRight(reason) => {
                self.handle(vec![Message::Report(Report::Woken { reason })]).await?;
                self.home.goes_on();
                // What the last task wanted to tell may have been lost with it.
                self.report_above();
                Ok(())
            }
        }
    }

    async fn serve(&mut self) -> End {
        loop {
            let mut messages = Vec::new();
            if let Some(end) = self.wait(&mut messages).await {
                return end;
            }
            let shutting_down = messages.iter().any(|message| matches!(message, Message::ShutDown));
            // Asked last: what came in the same moment may have taken the session back.
            let (removals, messages) = messages.into_iter().partition(|message| matches!(message, Message::Remove(..)));
            if let Err(refusal) = self.handle(messages).await {
                return End::LogFailed(refusal);
            }
            if self.is_over(removals) {
                return End::Removed;
            }
            if shutting_down {
                return End::ShutDown;
            }
            self.rest().await;
        }
    }

    /// Puts the sandbox away for those who asked for it.
    async fn rest(&mut self) {
        if self.resting.is_empty() {
            return;
        }
        if self.running.is_none() {
            self.home.sandbox.put_away().await;
            // Behind what the sandbox itself reported.
            let gone = Message::Report(Report::Sandbox {
                phase: SandboxPhase::Absent,
                detail: "It was put away. The workspace's files are kept.".to_owned(),
                duration_ms: 0,
            });
            if let Err(error) = self.sender.try_send(gone) {
                // The inbox is full: the phase that is shown is put right when the session wakes.
                tracing::warn!(session = %self.state.id, %error, "nobody is told that the sandbox was put away");
            }
        }
        for asked in self.resting.drain(..) {
            let _gone = asked.send(());
        }
    }

    /// Answers those who asked for the session's removal; `true` when its time has come.
    fn is_over(&self, asked: Vec<Message>) -> bool {
        let mut over = false;
        for message in asked {
            if let Message::Remove(now_ms, answer) = message {
                let due = self.state.deleted.as_ref().is_some_and(|deletion| deletion.purge_ms <= now_ms);
                let _gone = answer.send(due);
                over |= due;
            }
        }
        over
    }

    /// Waits for messages; says when to end instead.
    async fn wait(&mut self, messages: &mut Vec<Message>) -> Option<End> {
        loop {
            let patience = if self.home.sandbox.is_up() { SANDBOX_IDLE } else { IDLE };
            match tokio::time::timeout(patience, self.inbox.recv_many(messages, BATCH_MAX)).await {
                Ok(0) => return Some(End::ShutDown),
                Ok(_some) => return None,
                Err(_elapsed) if self.running.is_some() => {}
                Err(_elapsed) if self.home.sandbox.is_up() => {
                    self.home.sandbox.put_away().await;
                    messages.push(Message::Report(Report::Sandbox {
                        phase: SandboxPhase::Absent,
                        detail: "Nobody used it for a while. The workspace's files are kept.".to_owned(),
                        duration_ms: 0,
                    }));
                    return None;
                }
                Err(_elapsed) => {
                    // Told to be asleep first: once it is off the register, a new task may mark it.
                    self.settle().await;
                    SessionStep::SleepListed.done();
                    if self.home.try_sleep(&self.inbox) {
                        SessionStep::SleepTaken.done();
                        return Some(End::Idle);
                    }
                    if let Err(error) = self.home.working.mark(&self.home.id).await {
                        return Some(End::LogFailed(log_refusal(&error.into())));
                    }
                }
            }
        }
    }

    /// Brings the list to the end of the log and takes the session's mark away. Where that fails the mark stays, and the next start does it.
    async fn settle(&mut self) {
        let next = list(&self.home, &self.state);
        if std::mem::replace(&mut self.lister, next).end().await == Listed::Behind {
            return;
        }
        let settled = match self.home.index.harden().await {
            Ok(()) => self.home.working.unmark(&self.home.id).await,
            Err(error) => Err(error),
        };
        if let Err(error) = settled {
            tracing::warn!(%error, session = %self.home.id, "a session that sleeps is marked as at work");
        }
    }

    async fn handle(&mut self, messages: Vec<Message>) -> Result<(), Refusal> {
        let mut batch = Batch::default();
        for message in messages {
            self.take(message, &mut batch);
        }
        self.commit(batch).await
    }

    fn take(&mut self, message: Message, batch: &mut Batch) {
        match message {
            Message::Command(commanded, answer) => match decide(&self.state, Input::Command(commanded)) {
                Ok(decision) => self.accept_command(decision, answer, batch),
                Err(refusal) => drop(answer.send(Err(refusal))),
            },
            Message::Rewind { by, wish, past, answer } => match decide(&self.state, Input::Rewind { by, wish, past }) {
                Ok(decision) => self.accept_command(decision, answer, batch),
                Err(refusal) => drop(answer.send(Err(refusal))),
            },
            Message::Rest(asked) => self.resting.push(asked),
            Message::Report(report) => {
                let decision = self.decide_report(report);
                self.accept(decision, None, batch);
            }
            Message::Record(report, recorded) => {
                let decision = self.decide_report(report);
                if decision.events.is_empty() {
                    let _gone = recorded.send(None);
                } else {
                    self.accept(decision, None, batch);
                    batch.recorded.push((recorded, self.state.seq));
                }
            }
            Message::Steers(turn, answer) => {
                // Read before they are said: the state keeps their beginnings only from then on.
                let mut steers = self.steers_of(turn);
                let decision = self.decide_report(Report::StepBegins { turn });
                if let Some(steers) = &mut steers {
                    // All or, while the turn is being stopped, none.
                    steers.truncate(decision.events.len());
                }
                self.accept(decision, None, batch);
                batch.steered.push((answer, steers));
            }
            Message::AskModel(wish) => self.admit(wish, batch),
            Message::State(answer) => batch.asked.push(answer),
            // Both are answered where the loop ends.
            Message::ShutDown | Message::Remove(..) => {}
        }
    }

    /// Whether a program may ask a model now.
    fn admit(&mut self, ModelWish { model, priced, answer }: ModelWish, batch: &mut Batch) {
        let running = self.state.running_turn().filter(|turn| turn.stop_requested_by.is_none());
        let ends = running.zip(self.running.as_ref()).filter(|(turn, (running, _))| turn.id == *running);
        let Some((turn, ended)) = ends.map(|(turn, (_, cancel))| (turn.id, cancel.child_token())) else {
            let _gone = answer.send(Err(NotAdmitted::NoTurn));
            return;
        };
        let payer = self.state.author_of(turn).map_or(&self.home.owner, |author| &author.user);
        if let Err(exhausted) = self.home.meter.admit_request(payer, priced, now_ms()) {
            self.home.refused.send_replace(Some((turn, exhausted.clone())));
            let _gone = answer.send(Err(NotAdmitted::Exhausted(exhausted)));
            return;
        }
        let decision = self.decide_report(Report::GatewayAsks { turn, model });
        if decision.events.is_empty() {
            let _gone = answer.send(Err(NotAdmitted::TooMany { limit: TURN_REQUESTS_MAX }));
            return;
        }
        self.accept(decision, None, batch);
        let request = self.state.open_turn().map_or(0, |turn| turn.gateway_requests);
        batch.admitted.push((answer, Admission { turn, request, ended }));
    }

    /// What waits to be said to a turn, with the people who say it; `None` when it is not the one that runs.
    fn steers_of(&self, turn: TurnId) -> Option<Vec<Steer>> {
        self.state.open_turn().filter(|open| open.id == turn)?;
        let steer = |prompt: &PromptState| {
            let author = self.state.participants.iter().find(|person| person.user == prompt.author)?.clone();
            Some(Steer { author, text: prompt.text.clone() })
        };
        self.state.steers().map(steer).collect()
    }

    fn decide_report(&mut self, report: Report) -> Decision {
        if let Report::TurnOver { turn, .. } | Report::TurnPaused { turn, .. } = &report
            && let Some((_, cancel)) = self.running.take_if(|(running, _)| running == turn)
        {
            // What its programs still ask models ends with it.
            cancel.cancel();
        }
        // `decide` refuses commands only.
        decide(&self.state, Input::Report(report)).unwrap_or_default()
    }

    fn accept_command(&mut self, decision: Decision, answer: CommandAnswer, batch: &mut Batch) {
        let reply = match &decision.answer {
            Answer::Later => {
                self.accept(decision, Some(answer), batch);
                return;
            }
            Answer::Done => Reply::Done,
            Answer::Prompt(accepted) => Reply::Prompt(accepted.clone()),
            Answer::Stop(accepted) => Reply::Stop(accepted.clone()),
        };
        self.accept(decision, None, batch);
        batch.replies.push((answer, reply));
    }

    fn accept(&mut self, decision: Decision, mut later: Option<CommandAnswer>, batch: &mut Batch) {
        for (cause, body) in decision.events {
            self.write(cause, body, batch);
        }
        for effect in decision.effects {
            batch.effects.push((effect, later.take()));
        }
    }

    fn write(&mut self, cause: Cause, body: EventBody, batch: &mut Batch) {
        let event = Event { seq: self.state.seq.next(), time_ms: now_ms(), cause, body };
        match StoredEvent::new(&event) {
            Ok(stored) => {
                self.state.apply(&event);
                self.conversation.apply(&event);
                batch.events.push((event, stored));
            }
            // Events are plain data that always serializes; were one not to, the log must not lie about it.
            Err(error) => tracing::error!(%error, session = %self.state.id, "an event was dropped"),
        }
    }

    async fn commit(&mut self, batch: Batch) -> Result<(), Refusal> {
        let Batch { events, effects, replies, recorded, steered, admitted, asked } = batch;
        SessionStep::BatchDecided.done();
        if !events.is_empty() {
            let rows = events.iter().map(|(_, stored)| stored.clone()).collect();
            if let Err(error) = self.log.append(rows).await {
                self.home.log_failed(&error);
                let refusal = log_refusal(&error);
                for (answer, _) in replies {
                    drop(answer.send(Err(refusal.clone())));
                }
                for (_, later) in effects {
                    if let Some(answer) = later {
                        drop(answer.send(Err(refusal.clone())));
                    }
                }
                return Err(refusal);
            }
            SessionStep::BatchAppended.done();
        }
        // Before anything goes on: it asks for what is left.
        self.home.meter.read(&self.state, now_ms());
        // The running turn asks for them only when it is told that there are any.
        let called = self.state.steers().next().is_some();
        self.home.steered.store(called, Ordering::Release);
        if called || events.iter().any(|(event, _)| matches!(event.body, EventBody::ChildReported { .. })) {
            self.home.heard.send_replace(());
        }
        if events.iter().any(|(event, _)| tells_parent(&event.body)) {
            self.report_above();
        }
        // First what takes longest: the model's first request leaves while the rest is being told.
        for (effect, later) in effects {
            self.start(effect, later);
            SessionStep::BatchEffectsStarted.done();
        }
        self.show_access();
        if !events.is_empty() {
            self.home.tail.publish(&events);
            SessionStep::BatchPublished.done();
        }
        let lists = self.lister.show(events.into_iter().map(|(event, _)| event), SessionSummary::of(&self.state));
        match lists {
            Lists::Same => {}
            // Whoever hears that it is put away looks into the lists.
            Lists::Others => self.lister.caught_up().await,
        }
        // A caller that went away has its command carried out all the same: it was accepted.
        for (answer, reply) in replies {
            drop(answer.send(Ok(reply)));
        }
        for (recorded, seq) in recorded {
            let _gone = recorded.send(Some(seq));
        }
        for (answer, steers) in steered {
            let _gone = answer.send(steers);
        }
        for (answer, admission) in admitted {
            let _gone = answer.send(Ok(admission));
        }
        SessionStep::BatchAnswered.done();
        for answer in asked {
            drop(answer.send(self.state.clone()));
        }
        Ok(())
    }

    fn report_above(&self) {
        if let Some(reporter) = &self.reporter {
            reporter.tell(self.state.seq);
        }
    }

    /// Before an event is shown that shuts somebody out: they do not see it.
    fn show_access(&mut self) {
        if !self.access.holds(&self.state) {
            self.access = self.home.access.note(&self.home.id, &self.state);
            self.home.tail.let_follow(Arc::clone(&self.access));
        }
    }

    fn start(&mut self, effect: Effect, later: Option<CommandAnswer>) {
        match effect {
            Effect::RunTurn(turn) => {
                let cancel = CancellationToken::new();
                self.home.meter.turn_begins();
                self.running = Some((turn, cancel.clone()));
                turn::spawn(&self.home, &self.state, &self.conversation, turn, cancel, self.sender.clone());
            }
            Effect::WriteTitle => title::spawn(&self.home, &self.state, self.sender.clone()),
            Effect::Snapshot(turn) => self.home.sandbox.keep_after(turn),
            Effect::TakeBackFiles => self.home.sandbox.take_back(&self.state),
            Effect::MakeSandbox => self.home.sandbox.make_again(&self.state),
            Effect::OpenNetwork(place) => self.home.sandbox.allow(place),
            Effect::StopChild { child, by } => tell_below(&self.home, child, Report::StoppedFromAbove { by }),
            Effect::RaiseChild { child, by } => tell_below(&self.home, child, Report::BudgetAboveRaised { by }),
            Effect::StopTurn(turn) => match &self.running {
                Some((running, cancel)) if *running == turn => cancel.cancel(),
                Some(_) | None => {}
            },
            Effect::OpenPullRequest { by, request } => {
                let work =
                    pull_request::open(Arc::clone(&self.home), self.state.clone(), by, request, self.sender.clone());
                tokio::spawn(async move {
                    let outcome = work.await;
                    if let Some(answer) = later {
                        drop(answer.send(outcome.map(Reply::PullRequest)));
                    }
                });
            }
        }
    }

    async fn finish(mut self, end: End) {
        self.inbox.close();
        let refusal = match &end {
            End::LogFailed(refusal) => refusal.clone(),
            End::Idle | End::ShutDown => closing(),
            End::Removed => no_session(&self.home.id),
        };
        let cut_off = matches!(end, End::LogFailed(_));
        let mut rest = Vec::new();
        while self.inbox.recv_many(&mut rest, BATCH_MAX).await > 0 {
            for message in rest.drain(..) {
                refuse(message, &refusal);
            }
        }
        SessionStep::TaskDrained.done();
        if let Some((_, cancel)) = self.running.take() {
            cancel.cancel();
        }
        let goodbye = match end {
            End::Idle => None,
            End::Removed => Some("The session was deleted, and its time is over.".to_owned()),
            End::ShutDown => Some(GOODBYE.to_owned()),
            End::LogFailed(refusal) => Some(format!("{} Connect again later.", refusal.message)),
        };
        if let Some(reason) = goodbye {
            self.home.sandbox.put_away().await;
            // What is being sealed writes in the session's folder, which the server is about to give up, or a removal to move away.
            self.home.sandbox.snapshots_told().await;
            self.home.ended(&self.sender);
            self.home.tail.bye(&reason);
            SessionStep::TaskForgotten.done();
        }
        let _behind_is_caught_up_at_the_next_start = self.lister.end().await;
        self.log.close().await;
        SessionStep::TaskLogClosed.done();
        if cut_off {
            self.home.cut_off();
        }
        self.home.over.cancel();
    }
}

fn list(home: &Home, state: &SessionState) -> Lister {
    Lister::start(home.index.clone(), home.log.clone(), SessionSummary::of(state))
}

fn refuse(message: Message, refusal: &Refusal) {
    match message {
        Message::Command(_, answer) | Message::Rewind { answer, .. } => drop(answer.send(Err(refusal.clone()))),
        Message::Record(_, recorded) => {
            let _gone = recorded.send(None);
        }
        Message::Steers(_, answer) => {
            let _gone = answer.send(None);
        }
        Message::AskModel(wish) => {
            let _gone = wish.answer.send(Err(NotAdmitted::NoTurn));
        }
        Message::Remove(_, answer) => {
            let _gone = answer.send(false);
        }
        Message::Rest(_) | Message::Report(_) | Message::State(_) | Message::ShutDown => {}
    }
}

/// What a command is told that came too late.
pub(crate) fn closing() -> Refusal {
    Refusal::new(RefusalCode::Unavailable, "The session is being closed.", "Send it again in a moment.")
}
