//! What is true of a session now: a fold over its events.

mod children;
mod queue;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::{
    budget::{Budget, DaySpent, Exhausted, Spent, day_of},
    children::{ChildState, Parent},
    command::Reach,
    conversation::{Block, ModelUsage, Question, TodoItem},
    event::{
        Cause, Event, EventBody, FileChangeKind, ForkPurpose, PullRequestChange, SandboxPhase, SnapshotGuarantee,
        TurnOutcome,
    },
    ids::{CallId, Person, PromptId, RepoPath, RequestId, Seq, SessionId, TurnId, UserId},
    limits,
    people::{Deletion, InvitationState, SessionRole, Visibility},
};

pub use queue::Asked;

/// The folded state of one session. Small and bounded: the words themselves stay in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema)]
pub struct SessionState {
    /// Its id.
    pub id: SessionId,
    /// Who began it.
    pub owner: UserId,
    /// The repository it works on.
    pub repo: RepoPath,
    /// The branch its pull request goes to.
    pub base_branch: String,
    /// The commit it begins at.
    pub base_commit: String,
    /// The branch it works on.
    pub branch: String,
    /// `provider/model`.
    pub model: String,
    /// The external agent that works in it; `None` for hangar's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub agent: Option<String>,
    /// Its title.
    pub title: String,
    /// Whose words the title is.
    pub title_from: TitleSource,
    /// When it began: milliseconds since 1970-01-01 UTC.
    #[ts(type = "number")]
    pub created_ms: u64,
    /// When something last happened in it.
    #[ts(type = "number")]
    pub updated_ms: u64,
    /// The last event that was folded in.
    pub seq: Seq,
    /// What it is doing.
    pub status: SessionStatus,
    /// Everybody who took part, in order of arrival.
    pub participants: Vec<Person>,
    /// Who has a role of their own (at most [`limits::MEMBERS_MAX`]).
    pub members: BTreeMap<UserId, SessionRole>,
    /// Who may see it.
    pub visibility: Visibility,
    /// Links that let people in and have not been taken back. Expired ones stay until the next is made.
    pub invitations: Vec<InvitationState>,
    /// How many invitations there ever were.
    pub invitations_made: u32,
    /// Since when it is put away: milliseconds since 1970-01-01 UTC.
    #[ts(type = "number | null")]
    pub archived_ms: Option<u64>,
    /// Whether it was deleted, and until when it can be taken back.
    pub deleted: Option<Deletion>,
    /// Every prompt, in the order in which they were accepted.
    pub prompts: Vec<PromptState>,
    /// The prompts that wait, the next one first: those to be said to a running turn before those that wait for one of their own.
    pub waiting: Vec<PromptId>,
    /// Who paused the queue; `None` while it is not. No turn begins while it is.
    pub queue_paused_by: Option<UserId>,
    /// Requests about the queue, oldest first (the last [`limits::STATE_REQUESTS_MAX`]).
    pub requests: Vec<RequestState>,
    /// Every turn, in order.
    pub turns: Vec<TurnState>,
    /// Tool calls that have begun and not ended.
    pub open_calls: Vec<OpenCall>,
    /// What its sandbox is doing.
    pub sandbox: SandboxPhase,
    /// The image it started from; `None` before its first sandbox.
    pub image: Option<String>,
    /// The commit of that image, while the session could begin there instead (`begin_at` of [`crate::api::SandboxRetry`]): another one than `base_commit`, its
    /// workspace was never ready, and it is no fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub image_commit: Option<String>,
    /// The event that let it begin at its image's commit; its files were begun anew then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub base_changed: Option<Seq>,
    /// Its snapshots, oldest first (the last [`limits::STATE_SNAPSHOTS_MAX`]).
    pub snapshots: Vec<SnapshotState>,
    /// Places its sandbox wanted to reach and may not (the last [`limits::STATE_PLACES_MAX`]).
    pub denied: Vec<Place>,
    /// Places that people opened for this session (at most [`limits::STATE_PLACES_MAX`]).
    pub allowed: Vec<Place>,
    /// The agent's to-do list.
    pub todos: Vec<TodoItem>,
    /// Files changed in the workspace since the session began (at most [`limits::STATE_FILES_MAX`]).
    pub files: BTreeMap<String, FileChangeKind>,
    /// Where the session's branch stands at the forge; `None` before the first push.
    pub pushed: Option<String>,
    /// Its pull requests, oldest first.
    pub pull_requests: Vec<PullRequestState>,
    /// Its own budget; `None` where the server's usual one holds.
    #[serde(default)]
    pub budget: Option<Budget>,
    /// What all of its turns used up.
    #[serde(default)]
    pub spent: Spent,
    /// What they used up on the day of the last event that cost something, by person.
    #[serde(default)]
    pub day_spent: DaySpent,
    /// When the last event happened, by the clock of that moment: milliseconds since 1970-01-01 UTC. Earlier than `updated_ms` where the clock
    /// was put back.
    #[serde(default)]
    #[ts(type = "number")]
    pub last_event_ms: u64,
    /// Tokens of all turns.
    pub usage: ModelUsage,
    /// Cost of all turns in millionths of a US dollar, as far as prices are known.
    #[ts(type = "number")]
    pub cost_micro_usd: u64,
    /// The session it was forked from; `None` where it was not.
    #[serde(default)]
    pub forked_from: Option<Origin>,
    /// The sessions that were forked from it, oldest first (at most [`limits::FORKS_MAX`]).
    #[serde(default)]
    pub forks: Vec<ForkState>,
    /// The last time it was taken back; `None` where it never was.
    #[serde(default)]
    pub rewound: Option<RewoundState>,
    /// The call of another session's agent that began it; `None` where a person did.
    #[serde(default)]
    pub parent: Option<Parent>,
    /// The sessions that its agent began, oldest first (at most [`limits::DESCENDANTS_MAX`]).
    #[serde(default)]
    pub children: Vec<ChildState>,
}

/// What a session is doing, as lists group it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Waits for a prompt.
    Idle,
    /// A turn is running.
    Running,
    /// A turn waits for its budget.
    Paused,
    /// The last turn ended with a question, and nobody has said anything since.
    Asking,
    /// The last turn failed and nothing has been asked since.
    Failed,
    /// Its pull request is merged.
    Merged,
}

/// Whose words a session's title is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TitleSource {
    /// The first words of the first prompt, until there is a better one.
    Prompt,
    /// The model read the first prompt and wrote it.
    Model,
    /// A person's. No model changes it any more.
    Person,
}

/// A prompt, as the state remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct PromptState {
    /// Its number.
    pub id: PromptId,
    /// The client's id for it.
    pub request_id: RequestId,
    /// Whose words.
    pub author: UserId,
    /// The words while it waits; their beginning afterwards.
    pub text: String,
    /// FNV-1a 64 of the whole text in hex, as it was sent first: tells a repeated request from a changed one.
    pub fingerprint: String,
    /// Who gave it other words last; `None` where nobody did.
    pub edited_by: Option<UserId>,
    /// How far it is.
    pub status: PromptStatus,
}

/// A request about the queue, as the state remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct RequestState {
    /// The client's id for it.
    pub request_id: RequestId,
    /// Who asked.
    pub by: UserId,
    /// FNV-1a 64 of what was asked in hex.
    pub fingerprint: String,
}

/// How far a prompt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromptStatus {
    /// Waits for its turn.
    Queued,
    /// Waits to be said to the running turn, else for the next one.
    Steering,
    /// Its turn began.
    Taken,
    /// It was said to a turn that worked on another prompt.
    Steered,
    /// It was taken back.
    Cancelled,
}

/// A turn, as the state remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct TurnState {
    /// Its number.
    pub id: TurnId,
    /// What it works on.
    pub prompt: PromptId,
    /// What was said to it since, in order.
    pub steered: Vec<PromptId>,
    /// Model requests so far.
    pub steps: u32,
    /// Requests through the gateway so far.
    #[serde(default)]
    pub gateway_requests: u32,
    /// How often it was resumed after a crash or restart.
    pub resumes: u32,
    /// Whether somebody asked it to stop, and who.
    pub stop_requested_by: Option<UserId>,
    /// The budget it waits for; `None` while it runs or is over.
    #[serde(default)]
    pub paused: Option<Exhausted>,
    /// What it asked last; `None` where it asked nothing, or went on since.
    #[serde(default)]
    pub question: Option<Question>,
    /// How it ended; `None` while it runs.
    pub outcome: Option<TurnOutcome>,
    /// The session was taken back to before it: neither its files nor its words count any more.
    #[serde(default)]
    pub undone: bool,
}

/// A tool call that has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct OpenCall {
    /// In which turn.
    pub turn: TurnId,
    /// The call.
    pub call: CallId,
    /// The tool.
    pub name: String,
    /// Whether its effect may have begun (`tool_started` was written), or the model only asked for it.
    pub started: bool,
}

/// A pull request, as the state remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct PullRequestState {
    /// Its number at the forge.
    pub number: u32,
    /// Its title.
    pub title: String,
    /// In whose name it was opened.
    pub author: UserId,
    /// The page that shows it.
    pub url: String,
    /// Open, merged or closed.
    pub status: PullRequestStatus,
    /// The merge commit once merged.
    pub merge_commit: Option<String>,
    /// Who approved it and has not said otherwise since.
    pub approved_by: Vec<String>,
}

/// A snapshot, as the state remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct SnapshotState {
    /// The layer (64 hex digits).
    pub snapshot: String,
    /// After which turn; `None` when it was taken before the sandbox went.
    pub turn: Option<TurnId>,
    /// What was promised about programs that were running.
    pub guarantee: SnapshotGuarantee,
}

/// Where a fork comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Origin {
    /// The session.
    pub session: SessionId,
    /// After which of its turns; 0 for before the first.
    pub turn: TurnId,
    /// The last event that was copied from there. Work up to it was paid for there and is not part of this session's usage and cost.
    pub until: Seq,
}

/// A fork, as the state of the session it was made from remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct ForkState {
    /// The session that it is.
    pub session: SessionId,
    /// After which turn; 0 for before the first.
    pub turn: TurnId,
    /// What for.
    pub purpose: ForkPurpose,
    /// It is the attempt that was chosen.
    pub kept: bool,
}

/// That a session was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct RewoundState {
    /// To after which turn; 0 for before the first.
    pub to_turn: TurnId,
    /// The client's id for it.
    pub request_id: RequestId,
    /// The event that says so.
    pub seq: Seq,
}

/// A place in the network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// A host name in small letters, or an address where none was used.
    #[schema(min_length = 1, max_length = 253, pattern = "^[a-z0-9._:-]+$")]
    pub host: String,
    /// The port.
    #[schema(minimum = 1)]
    pub port: u16,
}

/// Whether a pull request is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PullRequestStatus {
    /// It can be merged.
    Open,
    /// It was merged.
    Merged,
    /// It was closed without a merge.
    Closed,
}

/// A log that is not one: what [`SessionState::fold`] found wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    /// A log begins with `session_created`.
    #[error("the log does not begin with session_created")]
    NoBeginning,
    /// Sequence numbers go up by one.
    #[error("event {found} follows event {after}")]
    Gap {
        /// The last good one.
        after: Seq,
        /// What came instead of the next.
        found: Seq,
    },
}

impl SessionState {
    /// The state after the first event of a log. `None` if it is not `session_created` with sequence number 1.
    #[must_use]
    pub fn begin(event: &Event) -> Option<Self> {
        let EventBody::SessionCreated { session, owner, repo, base_branch, base_commit, branch, model, agent, title } =
            &event.body
        else {
            return None;
        };
        (event.seq == Seq(1)).then(|| Self {
            id: session.clone(),
            owner: owner.user.clone(),
            repo: repo.clone(),
            base_branch: base_branch.clone(),
            base_commit: base_commit.clone(),
            branch: branch.clone(),
            model: model.clone(),
            agent: agent.clone(),
            title: title.clone(),
            title_from: TitleSource::Prompt,
            created_ms: event.time_ms,
            updated_ms: event.time_ms,
            seq: event.seq,
            status: SessionStatus::Idle,
            participants: vec![owner.clone()],
            members: BTreeMap::from([(owner.user.clone(), SessionRole::Owner)]),
            visibility: Visibility::Team,
            invitations: Vec::new(),
            invitations_made: 0,
            archived_ms: None,
            deleted: None,
            prompts: Vec::new(),
            waiting: Vec::new(),
            queue_paused_by: None,
            requests: Vec::new(),
            turns: Vec::new(),
            open_calls: Vec::new(),
            sandbox: SandboxPhase::Absent,
            image: None,
            image_commit: None,
            base_changed: None,
            snapshots: Vec::new(),
            denied: Vec::new(),
            allowed: Vec::new(),
            todos: Vec::new(),
            files: BTreeMap::new(),
            pushed: None,
            pull_requests: Vec::new(),
            budget: None,
            spent: Spent::default(),
            day_spent: DaySpent::default(),
            last_event_ms: event.time_ms,
            usage: ModelUsage::default(),
            cost_micro_usd: 0,
            forked_from: None,
            forks: Vec::new(),
            rewound: None,
            parent: None,
            children: Vec::new(),
        })
    }

    /// The state after a whole log.
    ///
    /// # Errors
    /// [`LogFault`] when the events are not a log: no beginning, or a gap or double in the sequence numbers.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Self, LogFault> {
        let mut events = events.into_iter();
        let mut state = events.next().and_then(Self::begin).ok_or(LogFault::NoBeginning)?;
        for event in events {
            state.apply_next(event)?;
        }
        Ok(state)
    }

    /// Takes in an event that must be the next one.
    ///
    /// # Errors
    /// [`LogFault::Gap`] when it is another.
    pub fn apply_next(&mut self, event: &Event) -> Result<(), LogFault> {
        if event.seq != self.seq.next() {
            return Err(LogFault::Gap { after: self.seq, found: event.seq });
        }
        self.apply(event);
        Ok(())
    }

    /// Takes in the next event. An event that was taken in already (by its sequence number) changes nothing.
    pub fn apply(&mut self, event: &Event) {
        if event.seq <= self.seq {
            return;
        }
        self.seq = event.seq;
        self.charge(event);
        // What a fork copied happened before it began.
        self.updated_ms = self.updated_ms.max(event.time_ms);
        self.last_event_ms = event.time_ms;
        self.apply_body(&event.cause, &event.body);
    }

    fn apply_body(&mut self, cause: &Cause, body: &EventBody) {
        match body {
            // A second beginning cannot be written; `fold` refuses a log that has one by its sequence number.
            EventBody::SessionCreated { .. } => {}
            EventBody::ParticipantJoined { person } => self.participants.push(person.clone()),
            EventBody::TitleChanged { title, usage, cost_micro_usd } => {
                self.title.clone_from(title);
                self.usage.add(*usage);
                self.cost_micro_usd = self.cost_micro_usd.saturating_add(cost_micro_usd.unwrap_or(0));
                self.title_from = match cause {
                    Cause::User { .. } => TitleSource::Person,
                    Cause::Turn { .. } | Cause::Sandbox | Cause::Forge | Cause::System => TitleSource::Model,
                };
            }
            EventBody::PromptAdded { prompt, request_id, author, text } => {
                self.add_prompt(*prompt, request_id, author, text);
            }
            EventBody::PromptCancelled { prompt, request_id } => {
                self.settle_prompt(*prompt, PromptStatus::Cancelled);
                if let (Some(request_id), Cause::User { user }) = (request_id, cause) {
                    self.remember_request(request_id, user, &Asked::Cancel(*prompt));
                }
            }
            EventBody::PromptEdited { prompt, request_id, by, text } => {
                self.edit_prompt(*prompt, by, text);
                self.remember_request(request_id, by, &Asked::Edit(*prompt, text));
            }
            EventBody::PromptMoved { prompt, request_id, by, before } => {
                self.move_prompt(*prompt, *before);
                self.remember_request(request_id, by, &Asked::Move(*prompt, *before));
            }
            EventBody::SteerRequested { prompt, request_id, by } => {
                self.steer_prompt(*prompt);
                if let Some(request_id) = request_id {
                    self.remember_request(request_id, by, &Asked::Steer(*prompt));
                }
            }
            EventBody::PromptSteered { prompt, turn } => {
                self.settle_prompt(*prompt, PromptStatus::Steered);
                if let Some(known) = self.turns.iter_mut().find(|known| known.id == *turn) {
                    known.steered.push(*prompt);
                    known.question = None;
                }
            }
            EventBody::QueuePaused { by } => self.queue_paused_by = Some(by.clone()),
            EventBody::QueueResumed { .. } => self.queue_paused_by = None,
            EventBody::TurnStarted { turn, prompt } => {
                self.settle_prompt(*prompt, PromptStatus::Taken);
                self.turns.push(TurnState {
                    id: *turn,
                    prompt: *prompt,
                    steered: Vec::new(),
                    steps: 0,
                    gateway_requests: 0,
                    resumes: 0,
                    stop_requested_by: None,
                    paused: None,
                    question: None,
                    outcome: None,
                    undone: false,
                });
                self.status = SessionStatus::Running;
            }
            EventBody::TurnResumed { turn, .. } => {
                if let Some(known) = self.turns.iter_mut().find(|known| known.id == *turn) {
                    known.resumes = known.resumes.saturating_add(1);
                }
            }
            EventBody::QuestionAsked { turn, question, .. } => {
                if let Some(known) = self.turns.iter_mut().find(|known| known.id == *turn) {
                    known.question = Some(question.clone());
                }
            }
            EventBody::TurnPaused { turn, exhausted } => {
                self.pause_turn(*turn, Some(exhausted.clone()));
                self.status = SessionStatus::Paused;
            }
            EventBody::TurnContinued { turn } => {
                self.pause_turn(*turn, None);
                self.status = SessionStatus::Running;
            }
            EventBody::BudgetChanged { budget } => self.budget = Some(*budget),
            EventBody::ModelRetried { .. }
            | EventBody::HarnessStarted { .. }
            | EventBody::ModelFellBack { .. }
            | EventBody::OutputsLeftOut { .. }
            | EventBody::PluginDecided { .. }
            | EventBody::PushRefused { .. } => {}
            EventBody::StopRequested { turn, by, reach } => self.note_stop(*turn, by, *reach),
            EventBody::ChildOf { .. } | EventBody::ChildSpawned { .. } | EventBody::ChildReported { .. } => {
                self.note_family(body);
            }
            EventBody::TurnEnded { turn, outcome } => self.end_turn(*turn, outcome),
            EventBody::SandboxChanged { phase, .. } => {
                self.sandbox = *phase;
                if *phase == SandboxPhase::Ready {
                    self.image_commit = None;
                }
            }
            EventBody::ModelRequested { turn, step, .. } => {
                if let Some(known) = self.turns.iter_mut().find(|known| known.id == *turn) {
                    known.steps = *step;
                    // It was cut off while it asked, and goes on.
                    known.question = None;
                }
            }
            EventBody::GatewayRequested { turn, request, .. } => {
                if let Some(known) = self.turns.iter_mut().find(|known| known.id == *turn) {
                    known.gateway_requests = *request;
                }
            }
            EventBody::ModelReplied { turn, blocks, usage, cost_micro_usd, .. } => {
                if !self.is_copied(self.seq) {
                    self.usage.add(*usage);
                    self.cost_micro_usd = self.cost_micro_usd.saturating_add(cost_micro_usd.unwrap_or(0));
                }
                self.open_calls.extend(blocks.iter().filter_map(|block| asked_call(*turn, block)));
            }
            EventBody::ConversationSummarized { usage, cost_micro_usd, .. }
            | EventBody::GatewayReplied { usage, cost_micro_usd, .. } => {
                if !self.is_copied(self.seq) {
                    self.usage.add(*usage);
                    self.cost_micro_usd = self.cost_micro_usd.saturating_add(cost_micro_usd.unwrap_or(0));
                }
            }
            EventBody::ToolStarted { turn, call, name, .. } => {
                match self.open_calls.iter_mut().find(|open| open.turn == *turn && open.call == *call) {
                    Some(open) => {
                        open.started = true;
                        open.name.clone_from(name);
                    }
                    None => self.open_calls.push(OpenCall {
                        turn: *turn,
                        call: call.clone(),
                        name: name.clone(),
                        started: true,
                    }),
                }
            }
            EventBody::ToolFinished { turn, call, .. } => {
                self.open_calls.retain(|open| !(open.turn == *turn && open.call == *call));
            }
            EventBody::ImageChosen { image, commit, .. } => {
                self.image = Some(image.clone());
                // A fork stands on work that was done at its source's commit.
                let other = *commit != self.base_commit && self.forked_from.is_none();
                self.image_commit = other.then(|| commit.clone());
            }
            EventBody::BaseChanged { commit, .. } => {
                self.base_commit.clone_from(commit);
                self.image_commit = None;
                self.base_changed = Some(self.seq);
            }
            EventBody::SnapshotTaken { snapshot, turn, guarantee, .. } => remember(
                &mut self.snapshots,
                SnapshotState { snapshot: snapshot.clone(), turn: *turn, guarantee: *guarantee },
                limits::STATE_SNAPSHOTS_MAX,
            ),
            EventBody::NetworkDenied { host, port, .. } => {
                let place = Place { host: host.clone(), port: *port };
                self.denied.retain(|known| *known != place);
                remember(&mut self.denied, place, limits::STATE_PLACES_MAX);
            }
            EventBody::NetworkAllowed { host, port, .. } => {
                let place = Place { host: host.clone(), port: *port };
                self.denied.retain(|known| *known != place);
                self.allowed.push(place);
            }
            EventBody::TodoChanged { items } => self.todos.clone_from(items),
            EventBody::FilesChanged { files, .. } => {
                for file in files {
                    if self.files.len() < limits::STATE_FILES_MAX || self.files.contains_key(&file.path) {
                        self.files.insert(file.path.clone(), file.kind);
                    }
                }
            }
            // What a fork copied was pushed to another session's branch.
            EventBody::BranchPushed { .. } if self.is_copied(self.seq) => {}
            EventBody::BranchPushed { new, .. } => self.pushed = Some(new.clone()),
            EventBody::PullRequestOpened { number, title, author, url } => {
                self.pull_requests.push(PullRequestState {
                    number: *number,
                    title: title.clone(),
                    author: author.clone(),
                    url: url.clone(),
                    status: PullRequestStatus::Open,
                    merge_commit: None,
                    approved_by: Vec::new(),
                });
            }
            EventBody::PullRequestChanged { number, change } => self.change_pull_request(*number, change),
            EventBody::ForkedFrom { session, turn, until } => {
                // Everybody who took part there is told by an event of their own, in the order in which they came.
                self.participants.clear();
                // One that is copied is its source's.
                self.forked_from.get_or_insert_with(|| Origin { session: session.clone(), turn: *turn, until: *until });
            }
            EventBody::SessionForked { into, turn, purpose } => {
                self.forks.push(ForkState { session: into.clone(), turn: *turn, purpose: *purpose, kept: false });
            }
            EventBody::Rewound { to_turn, request_id } => self.take_back(*to_turn, request_id),
            EventBody::AttemptKept { session, .. } => {
                if let Some(known) = self.forks.iter_mut().find(|known| known.session == *session) {
                    known.kept = true;
                }
            }
            EventBody::MemberAdded { person, role, invitation } => self.admit(&person.user, *role, *invitation),
            EventBody::RoleChanged { user, role, invitation } => self.admit(user, *role, *invitation),
            EventBody::MemberRemoved { user } => drop(self.members.remove(user)),
            EventBody::OwnershipTaken { person } => self.admit(&person.user, SessionRole::Owner, None),
            EventBody::VisibilityChanged { visibility } => self.visibility = *visibility,
            EventBody::InvitationMade { invitation, role, by, hash, expires_ms } => {
                self.note_invitation(InvitationState {
                    id: *invitation,
                    role: *role,
                    by: by.clone(),
                    hash: hash.clone(),
                    expires_ms: *expires_ms,
                });
            }
            EventBody::InvitationRevoked { invitation } => self.invitations.retain(|known| known.id != *invitation),
            EventBody::SessionArchived => self.archived_ms = Some(self.updated_ms),
            EventBody::SessionUnarchived => self.archived_ms = None,
            EventBody::SessionDeleted { by, purge_ms } => {
                self.deleted = Some(Deletion { by: by.clone(), deleted_ms: self.updated_ms, purge_ms: *purge_ms });
            }
            EventBody::SessionRestored => self.deleted = None,
            EventBody::Warning { .. } => {}
        }
    }

    /// Undoes the turns after one. What the files and the list of to-dos were then is said by the events that follow.
    fn take_back(&mut self, to_turn: TurnId, request_id: &RequestId) {
        for turn in self.turns.iter_mut().filter(|turn| turn.id > to_turn) {
            turn.undone = true;
        }
        let kept = self.snapshots.iter().rposition(|snapshot| snapshot.turn == Some(to_turn));
        self.snapshots.truncate(kept.map_or(0, |last| last + 1));
        self.files.clear();
        self.todos.clear();
        self.status = self.resting_status();
        self.rewound = Some(RewoundState { to_turn, request_id: request_id.clone(), seq: self.seq });
    }

    /// Whether this event was copied from the session that this one was forked from.
    #[must_use]
    pub fn is_copied(&self, seq: Seq) -> bool {
        self.forked_from.as_ref().is_some_and(|origin| seq <= origin.until)
    }

    fn note_stop(&mut self, turn: TurnId, by: &UserId, reach: Reach) {
        if let Some(known) = self.turns.iter_mut().find(|known| known.id == turn) {
            known.stop_requested_by.get_or_insert_with(|| by.clone());
        }
        match reach {
            Reach::WithChildren => self.stop_children(by),
            Reach::Alone => {}
        }
    }

    fn pause_turn(&mut self, turn: TurnId, exhausted: Option<Exhausted>) {
        if let Some(known) = self.turns.iter_mut().find(|known| known.id == turn) {
            known.paused = exhausted;
        }
    }

    /// Adds what an event cost: the time since the event before it where a turn ran, a reply's tokens and price, a call that began.
    fn charge(&mut self, event: &Event) {
        let running = self.running_turn().map(|turn| turn.id);
        // A title may come after the turn that it was written beside, and so may what came of a request that the turn's end cut off.
        let titled = matches!(&event.body, EventBody::TitleChanged { usage, .. } if usage.total() > 0);
        let last = self.turns.last().filter(|_| titled).map(|turn| turn.id);
        let asked_in = if let EventBody::GatewayReplied { turn, .. } = &event.body { Some(*turn) } else { None };
        let Some(turn) = asked_in.or(running).or(last) else { return };
        // Before a resumption nothing ran since the event before: the server was down.
        let down = matches!(event.body, EventBody::TurnResumed { .. });
        let passed_ms = event.time_ms.saturating_sub(self.last_event_ms).min(limits::TURN_QUIET_MS_MAX);
        let time_ms = if down || running.is_none() { 0 } else { passed_ms };
        let mut cost = Spent { time_ms, ..Spent::default() };
        if let EventBody::ModelReplied { usage, cost_micro_usd, .. }
        | EventBody::ConversationSummarized { usage, cost_micro_usd, .. }
        | EventBody::GatewayReplied { usage, cost_micro_usd, .. }
        | EventBody::TitleChanged { usage, cost_micro_usd, .. } = &event.body
        {
            cost.tokens = usage.total();
            cost.cost_micro_usd = cost_micro_usd.unwrap_or(0);
        }
        if let EventBody::ToolStarted { .. } = &event.body {
            cost.tool_calls = 1;
        }
        self.spent.add(cost);
        // What a fork copied counts against its own budget, but not against anybody's day a second time.
        if self.is_copied(event.seq) {
            return;
        }
        let Some(author) = self.author_of(turn).map(|person| person.user.clone()) else { return };
        let day = day_of(event.time_ms);
        if self.day_spent.day != day {
            self.day_spent = DaySpent { day, by: BTreeMap::new() };
        }
        self.day_spent.by.entry(author).or_default().add(cost);
    }

    fn end_turn(&mut self, turn: TurnId, outcome: &TurnOutcome) {
        if let Some(known) = self.turns.iter_mut().find(|known| known.id == turn) {
            known.paused = None;
            known.outcome = Some(outcome.clone());
        }
        self.open_calls.retain(|open| open.turn != turn);
        self.status = match outcome {
            TurnOutcome::Failed { .. } => SessionStatus::Failed,
            TurnOutcome::Done | TurnOutcome::Stopped { .. } => self.resting_status(),
        };
    }

    fn resting_status(&self) -> SessionStatus {
        match self.pull_requests.last() {
            _ if self.question().is_some() => SessionStatus::Asking,
            Some(last) if last.status == PullRequestStatus::Merged => SessionStatus::Merged,
            Some(_) | None => SessionStatus::Idle,
        }
    }

    fn change_pull_request(&mut self, number: u32, change: &PullRequestChange) {
        let Some(known) = self.pull_requests.iter_mut().find(|known| known.number == number) else { return };
        match change {
            PullRequestChange::Synchronized { .. } => {}
            PullRequestChange::Reviewed { by, verdict } => {
                known.approved_by.retain(|approver| approver != by);
                if verdict == "approved" {
                    known.approved_by.push(by.clone());
                }
            }
            PullRequestChange::Merged { commit, .. } => {
                known.status = PullRequestStatus::Merged;
                known.merge_commit = Some(commit.clone());
            }
            PullRequestChange::Closed { .. } => known.status = PullRequestStatus::Closed,
            PullRequestChange::Reopened { .. } => known.status = PullRequestStatus::Open,
        }
        self.status = match (self.status, self.resting_status()) {
            // A review or a push does not undo that the last turn failed; a merge ends the matter.
            (SessionStatus::Running | SessionStatus::Paused, _) | (SessionStatus::Failed, SessionStatus::Idle) => {
                self.status
            }
            (SessionStatus::Idle | SessionStatus::Asking | SessionStatus::Merged | SessionStatus::Failed, resting) => {
                resting
            }
        };
    }

    /// The turn that is running, unless it waits for its budget.
    #[must_use]
    pub fn running_turn(&self) -> Option<&TurnState> {
        self.open_turn().filter(|turn| turn.paused.is_none())
    }

    /// The turn that has begun and not ended, if there is one.
    #[must_use]
    pub fn open_turn(&self) -> Option<&TurnState> {
        self.turns.last().filter(|turn| turn.outcome.is_none())
    }

    /// The question that the session's people are asked: the last turn that counts ended with it.
    #[must_use]
    pub fn question(&self) -> Option<&Question> {
        let last = self.last_turn().filter(|turn| turn.outcome == Some(TurnOutcome::Done));
        last.and_then(|turn| turn.question.as_ref())
    }

    /// The last turn that counts: one that was not undone. `None` before the first.
    #[must_use]
    pub fn last_turn(&self) -> Option<&TurnState> {
        self.turns.iter().rev().find(|turn| !turn.undone)
    }
}

/// Adds to a list that forgets its oldest entries beyond `max`.
fn remember<T>(list: &mut Vec<T>, entry: T, max: usize) {
    if list.len() >= max {
        list.drain(..=list.len() - max);
    }
    list.push(entry);
}

fn asked_call(turn: TurnId, block: &Block) -> Option<OpenCall> {
    match block {
        Block::ToolCall { call, name, .. } => {
            Some(OpenCall { turn, call: call.clone(), name: name.clone(), started: false })
        }
        Block::Text { .. } | Block::Reasoning { .. } => None,
    }
}

/// FNV-1a, 64 bits, in hex. Not a secret and not proof against malice: it tells an honest retry from a changed prompt
/// without keeping every prompt in memory. Source: Fowler, Noll and Vo, draft-eastlake-fnv.
#[must_use]
pub fn fingerprint(text: &str) -> String {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}
