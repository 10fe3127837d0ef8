//! What a session was after one of its turns, and the log of a fork that begins there. Pure.
//!
//! A fork's log is a copy: it needs no other log to be folded, shown, exported or backed up, and its source may be deleted. What is copied keeps
//! its times, authors and costs, and `forked_from` says how far it goes, so that nobody counts it a second time.
//!
//! ```text
//!   source   created · prompt 1 · turn 1 … ended │ prompt 2 · turn 2 · snapshot of turn 1 … ended │ …
//!                                                └── a fork after turn 1 ends here
//!   fork     created · forked_from · (owner joined) · prompt 1 · turn 1 … ended · snapshot of turn 1 · (who forks joined) │ what it does itself
//! ```

use std::collections::BTreeSet;

use hangar_protocol::{
    Cause, Event, EventBody, Person, Seq, SessionId, SessionState, TurnId, UserId, Visibility, api::RepoTarget,
};

/// How much of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpTo {
    /// Everything until a turn had ended; 0 for before the first.
    Turn(TurnId),
    /// Everything until now. No turn runs.
    Now,
}

/// What a fork begins with, beside what it copies.
#[derive(Clone, Debug)]
pub struct Forking {
    /// What the fork is.
    pub target: RepoTarget,
    /// Who makes it.
    pub by: Person,
    /// From which session.
    pub source: SessionId,
    /// After which of its turns.
    pub turn: TurnId,
    /// When: milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
}

/// The events of a log until a turn had ended, and nothing yet had been asked after it. `None` when it did not end there.
#[must_use]
pub fn until(log: &[Event], up_to: UpTo) -> Option<&[Event]> {
    let ended = match up_to {
        UpTo::Now => return Some(log),
        UpTo::Turn(TurnId(0)) => 0,
        UpTo::Turn(wanted) => {
            log.iter().position(|event| matches!(event.body, EventBody::TurnEnded { turn, .. } if turn == wanted))?
        }
    };
    let next = log[ended + 1..].iter().position(|event| asks(&event.body));
    Some(&log[..next.map_or(log.len(), |next| ended + 1 + next)])
}

/// Whether an event belongs to what is asked next.
fn asks(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::PromptAdded { .. }
            | EventBody::ParticipantJoined { .. }
            | EventBody::TurnStarted { .. }
            | EventBody::Rewound { .. }
    )
}

/// The first events of a fork: all that it takes from `log`, numbered anew. `None` when the log has no such turn.
#[must_use]
pub fn fork(log: &[Event], up_to: UpTo, forking: Forking) -> Option<Vec<Event>> {
    let past = until(log, up_to)?;
    let state = SessionState::fold(past).ok()?;
    let copied = past.iter().skip(1).chain(late_snapshots(&log[past.len()..], up_to));
    let mut copy = Copy::begin(forking);
    if state.forked_from.is_none() {
        let owner = state.participants.first()?.clone();
        copy.add(state.created_ms, user(&owner.user), EventBody::ParticipantJoined { person: owner });
    }
    copied.for_each(|event| copy.take(event));
    Some(copy.end(&state))
}

/// A snapshot is told when it is on disk, which may be while the next turn runs.
fn late_snapshots(rest: &[Event], up_to: UpTo) -> impl Iterator<Item = &Event> {
    let wanted = match up_to {
        UpTo::Turn(turn) => Some(turn),
        UpTo::Now => None,
    };
    let before_rewind = rest.iter().take_while(|event| !matches!(event.body, EventBody::Rewound { .. }));
    let its_own =
        |event: &Event| matches!(event.body, EventBody::SnapshotTaken { turn, .. } if turn.is_some() && turn == wanted);
    let last = before_rewind.enumerate().filter(|(_, event)| its_own(event)).last().map_or(0, |(last, _)| last + 1);
    rest[..last].iter().filter(|event| matches!(event.body, EventBody::SnapshotTaken { .. }))
}

fn user(user: &UserId) -> Cause {
    Cause::User { user: user.clone() }
}

/// A copy in the making.
struct Copy {
    events: Vec<Event>,
    by: Person,
    joined: BTreeSet<UserId>,
    time_ms: u64,
    /// The source's number of each copied event, with the number it has now.
    numbers: Vec<(Seq, Seq)>,
}

impl Copy {
    fn begin(Forking { target, by, source, turn, time_ms }: Forking) -> Self {
        let RepoTarget { session, repo, base_branch, base_commit, branch, model, agent, title, visibility } = target;
        let owner = by.clone();
        let created =
            EventBody::SessionCreated { session, owner, repo, base_branch, base_commit, branch, model, agent, title };
        let mut copy = Self { events: Vec::new(), by, joined: BTreeSet::new(), time_ms, numbers: Vec::new() };
        let cause = user(&copy.by.user);
        copy.add(time_ms, cause.clone(), created);
        if visibility == Visibility::Private {
            copy.add(time_ms, cause.clone(), EventBody::VisibilityChanged { visibility });
        }
        // How far it goes is known at the end.
        copy.add(time_ms, cause, EventBody::ForkedFrom { session: source, turn, until: Seq::START });
        copy
    }

    fn add(&mut self, time_ms: u64, cause: Cause, body: EventBody) {
        if let EventBody::ParticipantJoined { person } = &body
            && !self.joined.insert(person.user.clone())
        {
            return;
        }
        let seq = Seq(self.events.len() as u64 + 1);
        self.events.push(Event { seq, time_ms, cause, body });
    }

    fn take(&mut self, event: &Event) {
        let Some(body) = self.inherited(&event.body) else { return };
        self.add(event.time_ms, event.cause.clone(), body);
        self.numbers.push((event.seq, Seq(self.events.len() as u64)));
    }

    /// What a fork takes over of an event. Pull requests, what people allowed, who may do what, and the source's own forks and children stay with the source;
    /// the fork has its own name and sandbox.
    fn inherited(&self, body: &EventBody) -> Option<EventBody> {
        match body {
            EventBody::SessionCreated { .. }
            | EventBody::TitleChanged { .. }
            | EventBody::SandboxChanged { .. }
            | EventBody::BaseChanged { .. }
            | EventBody::PushRefused { .. }
            | EventBody::PullRequestOpened { .. }
            | EventBody::PullRequestChanged { .. }
            | EventBody::NetworkDenied { .. }
            | EventBody::NetworkAllowed { .. }
            | EventBody::QueuePaused { .. }
            | EventBody::QueueResumed { .. }
            | EventBody::SessionForked { .. }
            | EventBody::ChildOf { .. }
            | EventBody::ChildSpawned { .. }
            | EventBody::ChildReported { .. }
            | EventBody::AttemptKept { .. }
            | EventBody::MemberAdded { .. }
            | EventBody::RoleChanged { .. }
            | EventBody::MemberRemoved { .. }
            | EventBody::OwnershipTaken { .. }
            | EventBody::VisibilityChanged { .. }
            | EventBody::InvitationMade { .. }
            | EventBody::InvitationRevoked { .. }
            | EventBody::SessionArchived
            | EventBody::SessionUnarchived
            | EventBody::SessionDeleted { .. }
            | EventBody::SessionRestored => None,
            EventBody::ForkedFrom { .. }
            | EventBody::ParticipantJoined { .. }
            | EventBody::PromptAdded { .. }
            | EventBody::PluginDecided { .. }
            | EventBody::PromptCancelled { .. }
            | EventBody::PromptEdited { .. }
            | EventBody::PromptMoved { .. }
            | EventBody::SteerRequested { .. }
            | EventBody::PromptSteered { .. }
            | EventBody::TurnStarted { .. }
            | EventBody::TurnPaused { .. }
            | EventBody::TurnContinued { .. }
            | EventBody::BudgetChanged { .. }
            | EventBody::TurnResumed { .. }
            | EventBody::StopRequested { .. }
            | EventBody::TurnEnded { .. }
            | EventBody::ModelRequested { .. }
            | EventBody::HarnessStarted { .. }
            | EventBody::GatewayRequested { .. }
            | EventBody::GatewayReplied { .. }
            | EventBody::ModelRetried { .. }
            | EventBody::ModelFellBack { .. }
            | EventBody::OutputsLeftOut { .. }
            | EventBody::ConversationSummarized { .. }
            | EventBody::ModelReplied { .. }
            | EventBody::ToolStarted { .. }
            | EventBody::ToolFinished { .. }
            | EventBody::TodoChanged { .. }
            | EventBody::QuestionAsked { .. }
            | EventBody::FilesChanged { .. }
            | EventBody::BranchPushed { .. }
            | EventBody::ImageChosen { .. }
            | EventBody::SnapshotTaken { .. }
            | EventBody::Rewound { .. }
            | EventBody::Warning { .. } => Some(body.clone()),
        }
    }

    /// Takes back what waited, lets whoever forks in, and says how far the copy goes.
    fn end(mut self, state: &SessionState) -> Vec<Event> {
        for prompt in state.queue().map(|prompt| prompt.id) {
            self.add(self.time_ms, Cause::System, EventBody::PromptCancelled { prompt, request_id: None });
        }
        let (time_ms, cause, person) = (self.time_ms, user(&self.by.user), self.by.clone());
        self.add(time_ms, cause, EventBody::ParticipantJoined { person });
        let last = Seq(self.events.len() as u64);
        for event in &mut self.events {
            let EventBody::ForkedFrom { until, .. } = &mut event.body else { continue };
            let copied = self.numbers.iter().rev().find(|(then, _)| *until > Seq::START && then <= until);
            *until = copied.map_or(last, |(_, now)| *now);
        }
        self.events
    }
}
