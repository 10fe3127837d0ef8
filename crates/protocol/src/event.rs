//! What happened in a session. The log of a session is a list of these and nothing else is true about it.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::{
    budget::{Budget, Exhausted, Spent},
    children::{ChildFiles, ChildPhase},
    command::Reach,
    conversation::{Block, ModelUsage, Question, StopReason, TodoItem},
    ids::{CallId, Person, PromptId, RepoPath, RequestId, Seq, SessionId, TurnId, UserId},
    people::{InvitationId, SessionRole, Visibility},
    plugin::{HookPoint, PluginDecision},
    state::PullRequestState,
};

/// One entry of a session's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema)]
pub struct Event {
    /// Position in the log: 1, 2, 3 … without gaps.
    pub seq: Seq,
    /// When it was appended: milliseconds since 1970-01-01 UTC, by the server's clock.
    #[ts(type = "number")]
    pub time_ms: u64,
    /// What made it happen.
    pub cause: Cause,
    /// What happened.
    pub body: EventBody,
}

/// What made an event happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Cause {
    /// A person's command.
    User {
        /// Who.
        user: UserId,
    },
    /// The agent, in a turn (whose prompt has an author).
    Turn {
        /// Which.
        turn: TurnId,
    },
    /// Something inside the sandbox.
    Sandbox,
    /// The forge: a push, a review, a merge.
    Forge,
    /// hangar itself: recovery, limits.
    System,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(EventKind),
    doc = "A kind of event, as `kinds=` names it: the `type` of the event's body.",
    derive(
        PartialOrd,
        Ord,
        Hash,
        Serialize,
        Deserialize,
        TS,
        ToSchema,
        strum::IntoStaticStr,
        strum::EnumString,
        strum::VariantArray
    ),
    strum(serialize_all = "snake_case"),
    serde(rename_all = "snake_case"),
    allow(missing_docs, reason = "the variants are those of `EventBody`, which documents them")
)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventBody {
    /// The session began. Always the first event, and the only one of its kind.
    SessionCreated {
        /// Its id.
        session: SessionId,
        /// Who began it.
        owner: Person,
        /// The repository it works on.
        repo: RepoPath,
        /// The branch its pull request goes to.
        base_branch: String,
        /// The commit it started from (40 hex digits).
        base_commit: String,
        /// The branch it works on and may push.
        branch: String,
        /// `provider/model`.
        model: String,
        /// The external agent that works in it, by its id in the configuration; `None` for hangar's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        agent: Option<String>,
        /// First words of the first prompt, until somebody renames it.
        title: String,
    },
    /// Somebody took part for the first time.
    ParticipantJoined {
        /// Who.
        person: Person,
    },
    /// The session has another title.
    TitleChanged {
        /// The new one.
        title: String,
        /// What it cost in tokens, where a model wrote it.
        #[serde(default)]
        usage: ModelUsage,
        /// What that cost in millionths of a US dollar; `None` where the model has no known price.
        #[serde(default)]
        #[ts(type = "number | null")]
        cost_micro_usd: Option<u64>,
    },
    /// A prompt was accepted and waits for its turn.
    PromptAdded {
        /// Its number.
        prompt: PromptId,
        /// The client's id for it.
        request_id: RequestId,
        /// Whose words these are; the commits of its turn carry this person's name.
        author: UserId,
        /// The words.
        text: String,
    },
    /// A waiting prompt was taken back.
    PromptCancelled {
        /// Which.
        prompt: PromptId,
        /// The client's id for it, where it gave one.
        #[serde(default)]
        request_id: Option<RequestId>,
    },
    /// A waiting prompt has other words.
    PromptEdited {
        /// Which.
        prompt: PromptId,
        /// The client's id for the change.
        request_id: RequestId,
        /// Who changed it: its author or the session's owner.
        by: UserId,
        /// The new words.
        text: String,
    },
    /// A waiting prompt has another place in the queue. Its words are as they were.
    PromptMoved {
        /// Which.
        prompt: PromptId,
        /// The client's id for the change.
        request_id: RequestId,
        /// Who moved it: its author or the session's owner.
        by: UserId,
        /// The waiting prompt that it comes before; `None` for the end of the queue.
        before: Option<PromptId>,
    },
    /// A waiting prompt is to be said to the running turn. Should that end before, it is the next to have a turn of its own.
    SteerRequested {
        /// Which.
        prompt: PromptId,
        /// The client's id for the change; `None` where the prompt was added for it.
        request_id: Option<RequestId>,
        /// Who wants it: its author or the session's owner.
        by: UserId,
    },
    /// A prompt was said to the running turn: the next request to the model has its words.
    PromptSteered {
        /// Which.
        prompt: PromptId,
        /// To which turn.
        turn: TurnId,
    },
    /// Prompts that wait have no turn until the queue goes on.
    QueuePaused {
        /// Who wants it.
        by: UserId,
    },
    /// The queue goes on.
    QueueResumed {
        /// Who wants it.
        by: UserId,
    },
    /// The agent began to work on a prompt.
    TurnStarted {
        /// Its number.
        turn: TurnId,
        /// The prompt it works on.
        prompt: PromptId,
    },
    /// After a crash or restart the server went on with an open turn.
    TurnResumed {
        /// Which.
        turn: TurnId,
        /// Why it had been interrupted.
        reason: String,
    },
    /// A turn waits: a budget is used up. Its work is kept, and it goes on where it was once it is continued.
    TurnPaused {
        /// Which.
        turn: TurnId,
        /// What is used up, and who can raise it.
        exhausted: Exhausted,
    },
    /// A turn that waited goes on.
    TurnContinued {
        /// Which.
        turn: TurnId,
    },
    /// The session has another budget.
    BudgetChanged {
        /// The new one; a measure without a limit has none, whatever the server's usual budget says.
        budget: Budget,
    },
    /// Somebody asked the running turn to stop.
    StopRequested {
        /// Which. Where none ran and only children are to be stopped, the last.
        turn: TurnId,
        /// Who.
        by: UserId,
        /// Whether the sessions that this one began are stopped with it.
        #[serde(default)]
        reach: Reach,
    },
    /// A turn is over.
    TurnEnded {
        /// Which.
        turn: TurnId,
        /// How.
        outcome: TurnOutcome,
    },
    /// The sandbox changed its phase.
    SandboxChanged {
        /// The new phase.
        phase: SandboxPhase,
        /// The cause in words, for people; empty where there is nothing to add to the phase.
        detail: String,
        /// How long the step that ended took; 0 where none did.
        duration_ms: u32,
    },
    /// A request left for the model.
    ModelRequested {
        /// In which turn.
        turn: TurnId,
        /// Requests of a turn are counted from 1.
        step: u32,
        /// `provider/model`.
        model: String,
    },
    /// A request failed in a way that may pass; it is sent again after a pause.
    ModelRetried {
        /// In which turn.
        turn: TurnId,
        /// Which request.
        step: u32,
        /// Which attempt failed, from 1.
        attempt: u32,
        /// How long hangar waits before the next.
        wait_ms: u32,
        /// What the provider said, without secrets.
        reason: String,
    },
    /// A model did not answer, and the turn goes on with the one that is configured for that. The request is sent to it at once.
    ModelFellBack {
        /// In which turn.
        turn: TurnId,
        /// Which request.
        step: u32,
        /// `provider/model` that did not answer.
        from: String,
        /// `provider/model` that is asked until the turn ends.
        to: String,
        /// Why, without secrets.
        reason: String,
    },
    /// The conversation nearly fills what the model can read: outputs of older calls are left out of what it is shown from here on. The
    /// log keeps them.
    OutputsLeftOut {
        /// In which turn.
        turn: TurnId,
        /// Before which request.
        step: u32,
        /// Those of the last so many replies stay.
        replies_kept: u32,
        /// How many tokens the model was shown before, as far as is known.
        #[ts(type = "number")]
        tokens_before: u64,
    },
    /// The conversation fills what the model can read: from here on it is shown this summary, which it wrote itself, instead of all that
    /// was said before. The log keeps that.
    ConversationSummarized {
        /// In which turn.
        turn: TurnId,
        /// Before which request.
        step: u32,
        /// What it wrote, and the to-do list.
        summary: String,
        /// How many tokens the model was shown before, as far as is known.
        #[ts(type = "number")]
        tokens_before: u64,
        /// What the summary cost in tokens.
        usage: ModelUsage,
        /// What that cost in millionths of a US dollar; `None` where the model has no known price.
        #[ts(type = "number | null")]
        cost_micro_usd: Option<u64>,
    },
    /// A reply is complete.
    ModelReplied {
        /// In which turn.
        turn: TurnId,
        /// To which request.
        step: u32,
        /// What it says, in order.
        blocks: Vec<Block>,
        /// What it cost in tokens.
        usage: ModelUsage,
        /// What it cost in millionths of a US dollar; `None` where the model has no known price.
        #[ts(type = "number | null")]
        cost_micro_usd: Option<u64>,
        /// Why the model stopped.
        stop: StopReason,
        /// From the request's first byte out to the first token in.
        first_token_ms: u32,
        /// From the request's first byte out to the last token in.
        duration_ms: u32,
    },
    /// The program of an external agent runs and is about to be given the turn's prompt. Each turn has a program of its own, and one more
    /// after each interruption.
    HarnessStarted {
        /// In which turn.
        turn: TurnId,
        /// The agent, by its id in the configuration.
        agent: String,
        /// What the program calls itself, with its version; empty where it does not say.
        program: String,
        /// The program's own name for the conversation, by which it takes it up again.
        conversation: String,
        /// What it knows of what was said before.
        memory: HarnessMemory,
        /// From the wish for it until it could be given a prompt.
        duration_ms: u32,
    },
    /// A program in the sandbox asks a model through the gateway. Written before the request leaves.
    GatewayRequested {
        /// In which turn.
        turn: TurnId,
        /// Requests through the gateway are counted from 1 in each turn.
        request: u32,
        /// `provider/model`.
        model: String,
    },
    /// What came of a request through the gateway. It may come after the end of its turn, which cut it off.
    GatewayReplied {
        /// In which turn it was asked.
        turn: TurnId,
        /// Which request.
        request: u32,
        /// How it ended.
        outcome: GatewayOutcome,
        /// What it cost in tokens, as far as the provider said.
        usage: ModelUsage,
        /// What that cost in millionths of a US dollar; `None` where the model has no known price.
        #[ts(type = "number | null")]
        cost_micro_usd: Option<u64>,
        /// From the request's first byte out to the answer's first byte in.
        first_byte_ms: u32,
        /// From the request's first byte out to the answer's last byte in.
        duration_ms: u32,
    },
    /// A tool began to run. Written before the tool has any effect.
    ToolStarted {
        /// In which turn.
        turn: TurnId,
        /// The call.
        call: CallId,
        /// The tool; of an MCP server's, its own name and not that of the tool by which it was called.
        name: String,
        /// Its arguments, after hooks.
        #[ts(type = "unknown")]
        input: serde_json::Value,
    },
    /// A tool ended.
    ToolFinished {
        /// In which turn.
        turn: TurnId,
        /// The call.
        call: CallId,
        /// How it ended.
        status: ToolStatus,
        /// What the model is told, at most [`crate::limits::EVENT_OUTPUT_BYTES_MAX`] bytes of it.
        output: String,
        /// Where all of it is when `output` had to be cut, or the image where there is one.
        blob: Option<BlobRef>,
        /// The model is shown an image beside `output`, which is then short: what kind of file `blob` is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        image: Option<ImageKind>,
        /// How long it ran.
        duration_ms: u32,
    },
    /// A plugin refused or changed something, gave the model words, or failed. That it lets something pass is not written.
    PluginDecided {
        /// In which turn.
        turn: TurnId,
        /// About which call; `None` where it was asked about something else.
        call: Option<CallId>,
        /// The plugin's name.
        plugin: String,
        /// Where it was asked.
        hook: HookPoint,
        /// What it decided.
        decision: PluginDecision,
        /// How long it took, in microseconds.
        duration_us: u32,
    },
    /// The agent changed its to-do list.
    TodoChanged {
        /// The whole list as it is now.
        items: Vec<TodoItem>,
    },
    /// The agent asks the session's people something. Its turn ends with that, and what they say next is the answer.
    QuestionAsked {
        /// In which turn.
        turn: TurnId,
        /// Which call asks.
        call: CallId,
        /// What it asks.
        question: Question,
    },
    /// Files in the workspace changed.
    FilesChanged {
        /// At most [`crate::limits::EVENT_FILES_MAX`] of them.
        files: Vec<FileChange>,
        /// How many more there were.
        more: u32,
    },
    /// Commits arrived at the forge through the broker.
    BranchPushed {
        /// The branch.
        branch: String,
        /// Where it was; `None` for a new branch.
        old: Option<String>,
        /// Where it is (40 hex digits).
        new: String,
    },
    /// The broker refused something the sandbox asked for.
    PushRefused {
        /// What and why.
        reason: String,
    },
    /// A pull request was opened.
    PullRequestOpened {
        /// Its number at the forge.
        number: u32,
        /// Its title.
        title: String,
        /// In whose name.
        author: UserId,
        /// The page that shows it, relative to the server's address or absolute.
        url: String,
    },
    /// A pull request changed at the forge.
    PullRequestChanged {
        /// Its number at the forge.
        number: u32,
        /// What happened to it.
        change: PullRequestChange,
    },
    /// The image was chosen whose files the session starts from. Written once, before its first sandbox.
    ImageChosen {
        /// The image's id.
        image: String,
        /// The commit it was built from (40 hex digits).
        commit: String,
        /// How old it is, in milliseconds.
        #[ts(type = "number")]
        age_ms: u64,
    },
    /// A person let the session begin at its image's commit, since its sandbox could not be brought to a newer one.
    BaseChanged {
        /// The commit it begins at now (40 hex digits).
        commit: String,
        /// Who.
        by: UserId,
    },
    /// The files of the sandbox were kept: on disk, complete and verified when this is written.
    SnapshotTaken {
        /// The layer that holds what changed since the snapshot before (64 hex digits).
        snapshot: String,
        /// After which turn; `None` when it was taken before the sandbox went.
        turn: Option<TurnId>,
        /// What was promised about programs that were running.
        guarantee: SnapshotGuarantee,
        /// Files in the layer.
        files: u32,
        /// Their bytes.
        #[ts(type = "number")]
        bytes: u64,
        /// How long the sandbox had to wait for it, in milliseconds.
        duration_ms: u32,
    },
    /// Something in the sandbox wanted to reach a place that the session's network policy does not allow.
    NetworkDenied {
        /// The name it asked for, or the address where it used none.
        host: String,
        /// The port.
        port: u16,
        /// Why not, in words.
        reason: String,
        /// Whether a person can open the way for this session.
        approvable: bool,
        /// How often since it was last told.
        count: u32,
    },
    /// A person opened the network of this session towards a place.
    NetworkAllowed {
        /// The name.
        host: String,
        /// The port.
        port: u16,
        /// Who.
        by: UserId,
    },
    /// The session began as a fork: the events after this one, up to `until`, are copied from another session's log, so that this log needs no other.
    /// Among the first events where there is one (a later one was copied from a source that is a fork itself). Work that is copied was paid for there.
    ForkedFrom {
        /// The other session.
        session: SessionId,
        /// After which of its turns; 0 for before the first.
        turn: TurnId,
        /// The last copied event.
        until: Seq,
    },
    /// Another session began as a fork of this one. Nothing else of this one changed.
    SessionForked {
        /// The other session.
        into: SessionId,
        /// After which turn; 0 for before the first.
        turn: TurnId,
        /// What for.
        purpose: ForkPurpose,
    },
    /// Files and conversation were taken back to where they were after a turn. What came later stays in the log and is undone.
    Rewound {
        /// That turn; 0 for before the first.
        to_turn: TurnId,
        /// The client's id for it.
        request_id: RequestId,
    },
    /// One of several attempts at the same wish was chosen: it goes on in the session that it is.
    AttemptKept {
        /// That session.
        session: SessionId,
        /// In which round of attempts.
        round: u32,
    },
    /// The session was begun by the agent of another one. Its author is who prompted that turn; visibility and members are those of the other
    /// session at that time. Among the first events where there is one.
    ChildOf {
        /// The other session.
        parent: SessionId,
        /// In which of its turns.
        turn: TurnId,
        /// By which call: one call begins one session, however often it is made.
        call: CallId,
        /// How many sessions are above this one, from 1.
        depth: u32,
        /// On which files it begins.
        #[serde(default)]
        files: ChildFiles,
    },
    /// The agent began a session of its own. That is there when this is written.
    ChildSpawned {
        /// The session.
        child: SessionId,
        /// In which turn.
        turn: TurnId,
        /// By which call.
        call: CallId,
        /// The repository it works on.
        repo: RepoPath,
        /// Its title.
        title: String,
        /// What it may use up, as far as that is limited.
        share: Budget,
    },
    /// A session that the agent began is further than it was.
    ChildReported {
        /// The session.
        child: SessionId,
        /// How far it is.
        phase: ChildPhase,
        /// The last words of its agent, or why it failed or waits; at most [`crate::limits::CHILD_WORDS_BYTES_MAX`] bytes.
        words: String,
        /// Its newest pull request.
        pull_request: Option<PullRequestState>,
        /// What it has used up so far, with those that it began itself.
        spent: Spent,
        /// After which of its own events this is so: what is older than what is known is not written.
        as_of: Seq,
    },
    /// Somebody has a role of their own in the session.
    MemberAdded {
        /// Who.
        person: Person,
        /// What they may do.
        role: SessionRole,
        /// The invitation they accepted, whose author is the cause; `None` where somebody gave them the role.
        invitation: Option<InvitationId>,
    },
    /// A member has another role.
    RoleChanged {
        /// Who.
        user: UserId,
        /// What they may do now.
        role: SessionRole,
        /// The invitation they accepted, likewise.
        invitation: Option<InvitationId>,
    },
    /// Somebody has no role of their own any more.
    MemberRemoved {
        /// Who.
        user: UserId,
    },
    /// An owner of the server made themselves an owner of the session.
    OwnershipTaken {
        /// Who.
        person: Person,
    },
    /// Others may see the session, or may not any more.
    VisibilityChanged {
        /// Who may see it now.
        visibility: Visibility,
    },
    /// A link was made by which people become members.
    InvitationMade {
        /// Its number.
        invitation: InvitationId,
        /// What whoever accepts it may do.
        role: SessionRole,
        /// Who invites.
        by: UserId,
        /// SHA-256 of the link's secret, 64 hex digits.
        hash: String,
        /// When it stops working: milliseconds since 1970-01-01 UTC.
        #[ts(type = "number")]
        expires_ms: u64,
    },
    /// A link was taken back.
    InvitationRevoked {
        /// Which.
        invitation: InvitationId,
    },
    /// The session was put away: lists leave it out.
    SessionArchived,
    /// The session was taken out again.
    SessionUnarchived,
    /// The session was deleted. It can be taken back until it is removed.
    SessionDeleted {
        /// Who did it.
        by: UserId,
        /// From when on it is removed for good: milliseconds since 1970-01-01 UTC.
        #[ts(type = "number")]
        purge_ms: u64,
    },
    /// The session was taken back.
    SessionRestored,
    /// Something did not work that nobody waits for; the session goes on.
    Warning {
        /// What, and what to do.
        text: String,
    },
}

/// What an external agent knows of what was said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HarnessMemory {
    /// Nothing was.
    New,
    /// All of it: it took its own conversation up again.
    Loaded,
    /// What hangar told it of the transcript with the prompt.
    Told,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TurnOutcome {
    /// The agent says it is done.
    Done,
    /// Somebody stopped it.
    Stopped {
        /// Who.
        by: UserId,
    },
    /// It could not go on.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
}

/// How a request through the gateway ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GatewayOutcome {
    /// The model answered, and the answer came to its end.
    Answered,
    /// There was no answer, or not all of it.
    Failed {
        /// What the service answered instead, where it did.
        status: Option<u16>,
        /// What it said, or what happened, without secrets.
        reason: String,
    },
    /// Its turn ended or was stopped first.
    CutOff,
}

/// What a sandbox is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxPhase {
    /// There is none. The files of the workspace are kept on disk.
    Absent,
    /// It is being made.
    Preparing,
    /// It runs and can be read. It is being brought to the session's commit; what writes waits until that is done.
    Syncing,
    /// It runs.
    Ready,
    /// It could not be made or died.
    Failed,
}

/// What a snapshot says about programs that were running when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotGuarantee {
    /// None were: every file is as its last writer left it.
    Quiescent,
    /// They were held still while the files were copied: every file is as it was at one moment, as after a power cut.
    Frozen,
}

/// What a fork is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ForkPurpose {
    /// To go another way.
    Fork,
    /// To be compared with others that got the same wish.
    Attempt {
        /// Rounds of attempts of a session are counted from 1.
        round: u32,
    },
}

/// How a tool ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolStatus {
    /// It did what it was asked.
    Ok,
    /// It failed; the model is told how.
    Error,
    /// It was cut off by a stop, a crash or a restart.
    Interrupted,
}

/// A piece of data too large for an event, kept beside the log under the hash of its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct BlobRef {
    /// SHA-256, 64 hex digits.
    pub sha256: String,
    /// Its size.
    #[ts(type = "number")]
    pub bytes: u64,
}

/// A kind of image that models can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub enum ImageKind {
    /// PNG.
    #[serde(rename = "image/png")]
    Png,
    /// JPEG.
    #[serde(rename = "image/jpeg")]
    Jpeg,
    /// GIF.
    #[serde(rename = "image/gif")]
    Gif,
    /// WebP.
    #[serde(rename = "image/webp")]
    Webp,
}

impl ImageKind {
    /// Its media type, as HTTP and every model service name it.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }
}

/// A file that changed in the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct FileChange {
    /// Relative to the workspace.
    pub path: String,
    /// How.
    pub kind: FileChangeKind,
}

/// How a file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileChangeKind {
    /// It is new.
    Created,
    /// Its content changed.
    Modified,
    /// It is gone.
    Removed,
}

/// What happened to a pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PullRequestChange {
    /// New commits.
    Synchronized {
        /// The new head (40 hex digits).
        head: String,
    },
    /// Somebody reviewed it.
    Reviewed {
        /// Who.
        by: String,
        /// `approved`, `changes_requested` or `commented`.
        verdict: String,
    },
    /// It was merged.
    Merged {
        /// Who.
        by: String,
        /// The merge commit (40 hex digits).
        commit: String,
    },
    /// It was closed without a merge.
    Closed {
        /// Who.
        by: String,
    },
    /// It was opened again.
    Reopened {
        /// Who.
        by: String,
    },
}
