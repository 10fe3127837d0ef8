//! The rules of a session.
//!
//! ```text
//!   Input (a person's command, or a report of something that ran)
//!     │
//!     ▼           ┌── Refusal: nothing happened
//!   decide(state, input) ──┤
//!                 └── Decision: events to write, then effects to start, then an answer to give
//! ```
//!
//! `decide` is pure: no clock, no I/O, no randomness. What it says depends on nothing but the folded log and the input, so a
//! restart that folds the same log decides the same.

mod budget;
mod children;
mod command;
mod forks;
mod gateway;
mod life;
mod people;
mod prompt;
mod queue;
mod report;
mod sandbox;
mod stop;
mod who_may;

pub use self::{
    children::{Birth, begin_child, check_spawn, share_of},
    forks::{check_fork, check_rewind},
    gateway::TURN_REQUESTS_MAX,
    people::no_invitation,
    who_may::needed,
};
pub(crate) use self::{
    children::{check_room_at_work, family_is_full},
    command::check_title,
    forks::round_of,
    who_may::{check_kept, no_session},
};
use self::{command::decide_command, forks::rewind, report::decide_report};
use std::collections::BTreeMap;

use hangar_protocol::{
    Cause, ChildState, EventBody, Exhausted, GatewayOutcome, ModelUsage, Person, Refusal, SessionId, SessionState,
    TodoItem, TurnId, UserId, Visibility,
    api::{OpenPullRequest, PromptAccepted, RepoTarget, Rewind, StopAccepted},
    command::Commanded,
    event::{FileChange, FileChangeKind, ForkPurpose, PullRequestChange, SandboxPhase, SnapshotGuarantee, TurnOutcome},
    state::Place,
};

/// How often a turn is resumed before hangar stops believing that the next time will go better.
pub const TURN_RESUMES_MAX: u32 = 5;

/// Something a session has to think about.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A person wants something.
    Command(Commanded),
    /// A person wants to go back. What was true then is read from the log by whoever asks.
    Rewind {
        /// Who.
        by: Person,
        /// Where to.
        wish: Rewind,
        /// The session as it was then.
        past: Past,
    },
    /// Something that ran has news.
    Report(Report),
}

/// What a session's state cannot say of an earlier time by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// The files changed until then.
    pub files: BTreeMap<String, FileChangeKind>,
    /// The to-do list.
    pub todos: Vec<TodoItem>,
}

/// News from what a session set going.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// The agent wrote an event of its turn.
    Agent {
        /// Its turn.
        turn: TurnId,
        /// What to write.
        body: EventBody,
    },
    /// The agent is about to ask the model: what waits to be said to its turn is said now.
    StepBegins {
        /// Its turn.
        turn: TurnId,
    },
    /// A program in the sandbox wants to ask a model through the gateway, and its budget allows it.
    GatewayAsks {
        /// In which turn.
        turn: TurnId,
        /// `provider/model`.
        model: String,
    },
    /// What came of a request through the gateway.
    GatewayReplied {
        /// In which turn it was asked.
        turn: TurnId,
        /// Which request.
        request: u32,
        /// How it ended.
        outcome: GatewayOutcome,
        /// What it used up.
        usage: ModelUsage,
        /// What that cost in millionths of a US dollar, where the price is known.
        cost_micro_usd: Option<u64>,
        /// Until the answer's first byte.
        first_byte_ms: u32,
        /// Until its last.
        duration_ms: u32,
    },
    /// The model wrote a title.
    Titled {
        /// The title.
        title: String,
        /// What it cost in tokens.
        usage: ModelUsage,
        /// What that cost in millionths of a US dollar, where the price is known.
        cost_micro_usd: Option<u64>,
    },
    /// The agent's turn is over.
    TurnOver {
        /// Which.
        turn: TurnId,
        /// How.
        outcome: TurnOutcome,
    },
    /// The agent stopped in mid-turn: a budget is used up.
    TurnPaused {
        /// Which turn.
        turn: TurnId,
        /// What is used up.
        exhausted: Exhausted,
    },
    /// The sandbox changed its phase.
    Sandbox {
        /// To what.
        phase: SandboxPhase,
        /// Why.
        detail: String,
        /// How long the step took.
        duration_ms: u32,
    },
    /// Files changed in the workspace.
    Files {
        /// Some of them.
        files: Vec<FileChange>,
        /// How many more.
        more: u32,
    },
    /// The broker let a push through.
    Pushed {
        /// The branch.
        branch: String,
        /// Where it was.
        old: Option<String>,
        /// Where it is.
        new: String,
    },
    /// The broker refused something.
    PushRefused {
        /// What and why.
        reason: String,
    },
    /// A pull request of this session exists at the forge. Reported by whoever opened it and again by the forge.
    PullRequestOpened {
        /// Its number.
        number: u32,
        /// Its title.
        title: String,
        /// In whose name.
        author: UserId,
        /// Where to see it.
        url: String,
    },
    /// A pull request changed at the forge.
    PullRequestChanged {
        /// Its number.
        number: u32,
        /// How.
        change: PullRequestChange,
    },
    /// The session's task begins after the last one ended without tidying up (crash, kill, power loss, restart).
    Woken {
        /// Why it had ended, as far as is known.
        reason: String,
    },
    /// The image for the session's first sandbox was chosen.
    ImageChosen {
        /// Its id.
        image: String,
        /// The commit it was built from.
        commit: String,
        /// How old it is.
        age_ms: u64,
    },
    /// The sandbox's files were kept, durably.
    SnapshotTaken {
        /// The layer.
        snapshot: String,
        /// After which turn.
        turn: Option<TurnId>,
        /// What was promised about programs that were running.
        guarantee: SnapshotGuarantee,
        /// Files in the layer.
        files: u32,
        /// Their bytes.
        bytes: u64,
        /// How long the sandbox had to wait.
        duration_ms: u32,
    },
    /// The sandbox wanted to reach a place it may not.
    NetworkDenied {
        /// Where.
        place: Place,
        /// Why not.
        reason: String,
        /// Whether a person can open the way.
        approvable: bool,
        /// How often since it was last told.
        count: u32,
    },
    /// Another session began as a fork of this one.
    Forked {
        /// Which.
        into: SessionId,
        /// After which turn.
        turn: TurnId,
        /// What for.
        purpose: ForkPurpose,
        /// Who made it.
        by: UserId,
    },
    /// A session that this one's agent began is there, or further than it was. Its words are whole.
    Child(Box<ChildState>),
    /// The session whose agent began this one was stopped with what is below it, or its agent cancelled this one.
    StoppedFromAbove {
        /// Who asked.
        by: UserId,
    },
    /// The budget of a session above this one was changed.
    BudgetAboveRaised {
        /// By whom.
        by: UserId,
    },
    /// Something did not work that nobody waits for.
    Warning {
        /// What.
        text: String,
    },
}

/// What follows from an input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// To be written, all or none, before anything else.
    pub events: Vec<(Cause, EventBody)>,
    /// To be started once the events are durable.
    pub effects: Vec<Effect>,
    /// What a command is answered once the events are durable.
    pub answer: Answer,
}

/// Something the driver sets going.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Run the agent on a turn, new or resumed.
    RunTurn(TurnId),
    /// Open the network of the sandbox that runs towards a place.
    OpenNetwork(Place),
    /// Make a sandbox again that has failed, over a workspace that begins at the session's base.
    MakeSandbox,
    /// Keep the sandbox's files as they are after this turn.
    Snapshot(TurnId),
    /// End the sandbox without keeping anything of it, and let the files follow what the log says.
    TakeBackFiles,
    /// Interrupt the running turn.
    StopTurn(TurnId),
    /// Stop a session that this one's agent began, and those below it.
    StopChild {
        /// Which.
        child: SessionId,
        /// Who asked.
        by: UserId,
    },
    /// Tell a session that this one's agent began that the budget above it was changed.
    RaiseChild {
        /// Which.
        child: SessionId,
        /// By whom.
        by: UserId,
    },
    /// Ask the model for a title, beside the turn.
    WriteTitle,
    /// Commit, push and open a pull request; the outcome answers the command.
    OpenPullRequest {
        /// In whose name.
        by: Person,
        /// Title and body as far as given.
        request: OpenPullRequest,
    },
}

/// What a command is answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Answer {
    /// It is done.
    #[default]
    Done,
    /// The prompt is on disk.
    Prompt(PromptAccepted),
    /// The turn is being stopped.
    Stop(StopAccepted),
    /// The effect will answer.
    Later,
}

/// The first events of a session.
///
/// # Errors
/// A refusal when the title is not usable.
pub fn begin(target: RepoTarget, by: Person) -> Result<Vec<(Cause, EventBody)>, Refusal> {
    check_title(&target.title)?;
    let cause = Cause::User { user: by.user.clone() };
    let RepoTarget { session, repo, base_branch, base_commit, branch, model, agent, title, visibility } = target;
    let created =
        EventBody::SessionCreated { session, owner: by, repo, base_branch, base_commit, branch, model, agent, title };
    let mut events = vec![(cause.clone(), created)];
    match visibility {
        Visibility::Team => {}
        Visibility::Private => events.push((cause, EventBody::VisibilityChanged { visibility })),
    }
    Ok(events)
}

/// What follows from `input` in a session that is in `state`.
///
/// # Errors
/// A refusal, of which nothing is written.
pub fn decide(state: &SessionState, input: Input) -> Result<Decision, Refusal> {
    match input {
        Input::Command(Commanded { by, command }) => decide_command(state, by, command),
        Input::Rewind { by, wish, past } => rewind(state, by, wish, past),
        Input::Report(report) => Ok(decide_report(state, report)),
    }
}
