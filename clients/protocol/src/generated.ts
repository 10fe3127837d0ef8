// Generated from crates/protocol. Do not edit: `HANGAR_BLESS=1 cargo test -p hangar-protocol` writes it anew.
/* oxlint-disable */

/**
 * What becomes of the prompts that wait when a turn is stopped.
 */
export type AfterStop = "drain" | "pause";

/**
 * An external agent that can work in a session.
 */
export type AgentInfo = {
/**
 * Its id, as sessions name it.
 */
id: string,
/**
 * `provider/model` that it asks unless a session says otherwise; `None` for the server's default.
 */
model: string | null, };

/**
 * What a client may say on a WebSocket. Anything else is ignored on the stream of one session, and refused on that of many.
 */
export type Ask = { "ask": "follow",
/**
 * Each with its cursor.
 */
sessions: Array<FollowFrom>, } | { "ask": "unfollow",
/**
 * Which.
 */
sessions: Array<SessionId>, } | { "ask": "typing",
/**
 * In which session; may be left out on the stream of one.
 */
session: SessionId | null, };

/**
 * One of several attempts at the same wish.
 */
export type Attempt = {
/**
 * In which round of attempts.
 */
round: number,
/**
 * It is the one that was chosen.
 */
kept: boolean,
/**
 * `provider/model`.
 */
model: string,
/**
 * What it changed against the commit that the session began from; `None` while it runs, or where that cannot be found out.
 */
diff: DiffStat | null,
/**
 * What it cost in millionths of a US dollar, as far as prices are known.
 */
cost_micro_usd: number,
/**
 * Tokens it read and wrote.
 */
tokens: number,
/**
 * How long its turns took that have ended, in milliseconds.
 */
duration_ms: number,
/**
 * Its id.
 */
id: SessionId,
/**
 * The repository it works on.
 */
repo: RepoPath,
/**
 * Its title.
 */
title: string,
/**
 * Who began it.
 */
owner: UserId,
/**
 * What it is doing.
 */
status: SessionStatus,
/**
 * When it began: milliseconds since 1970-01-01 UTC.
 */
created_ms: number,
/**
 * When something last happened in it.
 */
updated_ms: number,
/**
 * The newest pull request, where there is one.
 */
pull_request: PullRequestState | null,
/**
 * Who may see it.
 */
visibility: Visibility,
/**
 * Who has a role of their own in it.
 */
members: { [key in UserId]: SessionRole },
/**
 * Since when it is put away, likewise.
 */
archived_ms: number | null,
/**
 * Whether it was deleted, and until when it can be taken back.
 */
deleted: Deletion | null,
/**
 * The session whose agent began it; not there where a person did.
 */
parent?: SessionId,
/**
 * What is wrong with its log on disk; not there where it is whole.
 */
damaged?: string,
/**
 * Where what was looked for stands in it; only in the answer to a search.
 */
found?: Found, };

/**
 * Where the workspace of a session begins whose sandbox has failed.
 */
export type BeginAt = "base" | "image";

/**
 * A piece of data too large for an event, kept beside the log under the hash of its content.
 */
export type BlobRef = {
/**
 * SHA-256, 64 hex digits.
 */
sha256: string,
/**
 * Its size.
 */
bytes: number, };

/**
 * One piece of a model's reply.
 */
export type Block = { "type": "text",
/**
 * Markdown.
 */
text: string, } | { "type": "reasoning",
/**
 * Readable form; empty where the provider gives none.
 */
text: string,
/**
 * The provider's own block, replayed untouched in the next request.
 */
provider: unknown, } | { "type": "tool_call",
/**
 * The model's name for this call.
 */
call: CallId,
/**
 * The tool.
 */
name: string,
/**
 * Arguments, as the tool's JSON schema describes them.
 */
input: unknown, };

/**
 * A limit on each measure; `null` where there is none.
 */
export type Budget = {
/**
 * Millionths of a US dollar.
 */
cost_micro_usd: number | null,
/**
 * Tokens read and written, cached ones included.
 */
tokens: number | null,
/**
 * Time in which turns ran, in milliseconds.
 */
time_ms: number | null,
/**
 * Tool calls that began.
 */
tool_calls: number | null, };

/**
 * Whose budget it is.
 */
export type BudgetScope = "session" | "parent" | "user_day" | "team_day";

/**
 * A build of an image.
 */
export type BuildInfo = {
/**
 * Its number, from 1 since the server started.
 */
build: number,
/**
 * The repository.
 */
repo: RepoPath,
/**
 * How far it is.
 */
status: BuildStatus,
/**
 * What is being done, or was done last.
 */
step: string,
/**
 * When it was asked for: milliseconds since 1970-01-01 UTC.
 */
asked_ms: number,
/**
 * When it ended; `None` before.
 */
ended_ms: number | null,
/**
 * The image it made.
 */
image: string | null,
/**
 * Why it failed: the step, how it ended, and its last lines.
 */
failure: string | null, };

/**
 * `GET /images/builds/{build}/log`: what a build has said.
 */
export type BuildLog = {
/**
 * The build as it is now.
 */
info: BuildInfo,
/**
 * Its output from the position asked for, at most 64 KiB.
 */
text: string,
/**
 * The position after `text`, in bytes: ask from here for what comes next.
 */
next: number, };

/**
 * How far a build is.
 */
export type BuildStatus = "queued" | "running" | "built" | "unchanged" | "failed" | "cancelled";

/**
 * A tool call, as the model named it.
 */
export type CallId = string;

/**
 * What made an event happen.
 */
export type Cause = { "by": "user",
/**
 * Who.
 */
user: UserId, } | { "by": "turn",
/**
 * Which.
 */
turn: TurnId, } | { "by": "sandbox" } | { "by": "forge" } | { "by": "system" };

/**
 * A check of a pull request's head.
 */
export type CheckInfo = {
/**
 * Its name.
 */
name: string,
/**
 * `queued`, `in_progress`, `success`, `failure`, `neutral` …
 */
status: string, };

/**
 * On which files a session begins that another one's agent begins.
 */
export type ChildFiles = "branch" | "workspace";

/**
 * How far a child is.
 */
export type ChildPhase = "working" | "paused" | "done" | "asking" | "stopped" | "failed";

/**
 * A child, as the state of the session that began it remembers it.
 */
export type ChildState = {
/**
 * The session that it is.
 */
session: SessionId,
/**
 * In which turn it was begun.
 */
turn: TurnId,
/**
 * By which call.
 */
call: CallId,
/**
 * The repository it works on.
 */
repo: RepoPath,
/**
 * What it was called at its beginning.
 */
title: string,
/**
 * What it may use up, as far as that is limited.
 */
share: Budget,
/**
 * How far it is.
 */
phase: ChildPhase,
/**
 * The beginning of its agent's last words, or why it failed or waits.
 */
words: string,
/**
 * Its newest pull request.
 */
pull_request: PullRequestState | null,
/**
 * What it had used up when it was last heard of, with those that it began itself.
 */
spent: Spent,
/**
 * After which of its own events that was.
 */
as_of: Seq,
/**
 * Who stopped this session and thereby the child, until that is heard to have ended.
 */
stop_requested_by: UserId | null, };

/**
 * A wish of a person, carried to a session's task together with who wished it.
 */
export type Command = { "type": "create" } & RepoTarget | { "type": "prompt",
/**
 * The same id with the same text is answered like the first time and adds nothing; with another text it is a conflict.
 */
request_id: RequestId,
/**
 * At most [`crate::limits::PROMPT_BYTES_MAX`] bytes.
 */
text: string, } | { "type": "steer",
/**
 * As with a prompt, whose number space it shares: the same id with the same text is answered like the first time.
 */
request_id: RequestId,
/**
 * At most [`crate::limits::PROMPT_BYTES_MAX`] bytes.
 */
text: string, } | { "type": "prompt_and_resume",
/**
 * As with a prompt.
 */
request_id: RequestId,
/**
 * At most [`crate::limits::PROMPT_BYTES_MAX`] bytes.
 */
text: string, } | { "type": "cancel_prompt",
/**
 * The prompt.
 */
prompt: PromptId,
/**
 * The same id for the same prompt is answered like the first time; without one, a second time is a conflict.
 */
request_id: RequestId | null, } | { "type": "edit_prompt",
/**
 * The prompt.
 */
prompt: PromptId,
/**
 * The same id with the same content is answered like the first time; with other content it is a conflict.
 */
request_id: RequestId,
/**
 * At most [`crate::limits::PROMPT_BYTES_MAX`] bytes.
 */
text: string, } | { "type": "move_prompt",
/**
 * The prompt.
 */
prompt: PromptId,
/**
 * As with an edit.
 */
request_id: RequestId,
/**
 * The waiting prompt that it comes before; `None` for the end of the queue.
 */
before: PromptId | null, } | { "type": "steer_prompt",
/**
 * The prompt.
 */
prompt: PromptId,
/**
 * As with an edit.
 */
request_id: RequestId, } | { "type": "stop",
/**
 * The turn that is meant, so that a stop which is sent twice never ends the next one; `None` for whichever runs.
 */
turn: TurnId | null,
/**
 * What becomes of the prompts that wait.
 */
then: AfterStop,
/**
 * Whether the sessions that this one began are stopped with it.
 */
reach: Reach, } | { "type": "resume" } | { "type": "continue_turn" } | { "type": "set_budget" } & Budget | { "type": "rename",
/**
 * 1 to [`crate::limits::TITLE_CHARS_MAX`] characters.
 */
title: string, } | { "type": "allow_network" } & Place | { "type": "retry_sandbox",
/**
 * Where its workspace begins.
 */
begin_at: BeginAt, } | { "type": "keep_attempt",
/**
 * The session that it is.
 */
session: SessionId, } | { "type": "open_pull_request" } & OpenPullRequest | { "type": "set_role",
/**
 * Who.
 */
person: Person,
/**
 * What they may do.
 */
role: SessionRole, } | { "type": "remove_member",
/**
 * Who.
 */
user: UserId, } | { "type": "take_ownership" } | { "type": "set_visibility",
/**
 * To whom.
 */
visibility: Visibility, } | { "type": "invite",
/**
 * What they may do.
 */
role: SessionRole,
/**
 * SHA-256 of the link's secret, 64 hex digits.
 */
hash: string,
/**
 * When it stops working: milliseconds since 1970-01-01 UTC.
 */
expires_ms: number,
/**
 * What time it is by the server's clock.
 */
now_ms: number, } | { "type": "revoke_invitation",
/**
 * Which.
 */
invitation: InvitationId, } | { "type": "join",
/**
 * SHA-256 of the link's secret, 64 hex digits.
 */
hash: string,
/**
 * What time it is by the server's clock.
 */
now_ms: number, } | { "type": "archive" } | { "type": "unarchive" } | { "type": "delete",
/**
 * From when on it is removed for good: milliseconds since 1970-01-01 UTC.
 */
purge_ms: number, } | { "type": "restore" };

/**
 * A commit of a pull request.
 */
export type CommitInfo = {
/**
 * 40 hex digits.
 */
sha: string,
/**
 * The whole message.
 */
message: string,
/**
 * Author's name.
 */
author_name: string,
/**
 * Author's address.
 */
author_email: string, };

/**
 * A personal access token, the one time it is shown.
 */
export type CreatedToken = {
/**
 * The secret: send it as `Authorization: Bearer …`, or as the password of git.
 */
secret: string,
/**
 * Its number.
 */
id: number,
/**
 * What it is for.
 */
label: string,
/**
 * When it was made: milliseconds since 1970-01-01 UTC.
 */
created_ms: number,
/**
 * When it was last used, likewise; `None` for never.
 */
used_ms: number | null, };

/**
 * `GET /budgets`: what was used up today (UTC).
 */
export type DayBudgets = {
/**
 * Days since 1970-01-01 UTC.
 */
day: number,
/**
 * What one person may use up.
 */
user_day: Budget,
/**
 * What all people together may use up.
 */
team_day: Budget,
/**
 * What all people together used up.
 */
spent: Spent,
/**
 * What each person used up. Owners of the server see everybody, others themselves.
 */
by: { [key in UserId]: Spent }, };

/**
 * What each person used up of a session on one day.
 */
export type DaySpent = {
/**
 * The day: days since 1970-01-01 UTC.
 */
day: number,
/**
 * By who prompted.
 */
by: { [key in UserId]: Spent }, };

/**
 * A session that was deleted and can still be taken back.
 */
export type Deletion = {
/**
 * Who deleted it.
 */
by: UserId,
/**
 * When: milliseconds since 1970-01-01 UTC.
 */
deleted_ms: number,
/**
 * From when on it is removed for good, likewise.
 */
purge_ms: number, };

/**
 * How much a diff changes.
 */
export type DiffStat = {
/**
 * Files.
 */
files: number,
/**
 * Lines added.
 */
additions: number,
/**
 * Lines removed.
 */
deletions: number, };

/**
 * The body of every answer whose status is 400 or more.
 */
export type ErrorBody = {
/**
 * Why the request was not carried out.
 */
error: Refusal, };

/**
 * One entry of a session's log.
 */
export type Event = {
/**
 * Position in the log: 1, 2, 3 … without gaps.
 */
seq: Seq,
/**
 * When it was appended: milliseconds since 1970-01-01 UTC, by the server's clock.
 */
time_ms: number,
/**
 * What made it happen.
 */
cause: Cause,
/**
 * What happened.
 */
body: EventBody, };

/**
 * What happened.
 */
export type EventBody = { "type": "session_created",
/**
 * Its id.
 */
session: SessionId,
/**
 * Who began it.
 */
owner: Person,
/**
 * The repository it works on.
 */
repo: RepoPath,
/**
 * The branch its pull request goes to.
 */
base_branch: string,
/**
 * The commit it started from (40 hex digits).
 */
base_commit: string,
/**
 * The branch it works on and may push.
 */
branch: string,
/**
 * `provider/model`.
 */
model: string,
/**
 * The external agent that works in it, by its id in the configuration; `None` for hangar's own.
 */
agent?: string,
/**
 * First words of the first prompt, until somebody renames it.
 */
title: string, } | { "type": "participant_joined",
/**
 * Who.
 */
person: Person, } | { "type": "title_changed",
/**
 * The new one.
 */
title: string,
/**
 * What it cost in tokens, where a model wrote it.
 */
usage: ModelUsage,
/**
 * What that cost in millionths of a US dollar; `None` where the model has no known price.
 */
cost_micro_usd: number | null, } | { "type": "prompt_added",
/**
 * Its number.
 */
prompt: PromptId,
/**
 * The client's id for it.
 */
request_id: RequestId,
/**
 * Whose words these are; the commits of its turn carry this person's name.
 */
author: UserId,
/**
 * The words.
 */
text: string, } | { "type": "prompt_cancelled",
/**
 * Which.
 */
prompt: PromptId,
/**
 * The client's id for it, where it gave one.
 */
request_id: RequestId | null, } | { "type": "prompt_edited",
/**
 * Which.
 */
prompt: PromptId,
/**
 * The client's id for the change.
 */
request_id: RequestId,
/**
 * Who changed it: its author or the session's owner.
 */
by: UserId,
/**
 * The new words.
 */
text: string, } | { "type": "prompt_moved",
/**
 * Which.
 */
prompt: PromptId,
/**
 * The client's id for the change.
 */
request_id: RequestId,
/**
 * Who moved it: its author or the session's owner.
 */
by: UserId,
/**
 * The waiting prompt that it comes before; `None` for the end of the queue.
 */
before: PromptId | null, } | { "type": "steer_requested",
/**
 * Which.
 */
prompt: PromptId,
/**
 * The client's id for the change; `None` where the prompt was added for it.
 */
request_id: RequestId | null,
/**
 * Who wants it: its author or the session's owner.
 */
by: UserId, } | { "type": "prompt_steered",
/**
 * Which.
 */
prompt: PromptId,
/**
 * To which turn.
 */
turn: TurnId, } | { "type": "queue_paused",
/**
 * Who wants it.
 */
by: UserId, } | { "type": "queue_resumed",
/**
 * Who wants it.
 */
by: UserId, } | { "type": "turn_started",
/**
 * Its number.
 */
turn: TurnId,
/**
 * The prompt it works on.
 */
prompt: PromptId, } | { "type": "turn_resumed",
/**
 * Which.
 */
turn: TurnId,
/**
 * Why it had been interrupted.
 */
reason: string, } | { "type": "turn_paused",
/**
 * Which.
 */
turn: TurnId,
/**
 * What is used up, and who can raise it.
 */
exhausted: Exhausted, } | { "type": "turn_continued",
/**
 * Which.
 */
turn: TurnId, } | { "type": "budget_changed",
/**
 * The new one; a measure without a limit has none, whatever the server's usual budget says.
 */
budget: Budget, } | { "type": "stop_requested",
/**
 * Which. Where none ran and only children are to be stopped, the last.
 */
turn: TurnId,
/**
 * Who.
 */
by: UserId,
/**
 * Whether the sessions that this one began are stopped with it.
 */
reach: Reach, } | { "type": "turn_ended",
/**
 * Which.
 */
turn: TurnId,
/**
 * How.
 */
outcome: TurnOutcome, } | { "type": "sandbox_changed",
/**
 * The new phase.
 */
phase: SandboxPhase,
/**
 * The cause in words, for people; empty where there is nothing to add to the phase.
 */
detail: string,
/**
 * How long the step that ended took; 0 where none did.
 */
duration_ms: number, } | { "type": "model_requested",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * Requests of a turn are counted from 1.
 */
step: number,
/**
 * `provider/model`.
 */
model: string, } | { "type": "model_retried",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * Which request.
 */
step: number,
/**
 * Which attempt failed, from 1.
 */
attempt: number,
/**
 * How long hangar waits before the next.
 */
wait_ms: number,
/**
 * What the provider said, without secrets.
 */
reason: string, } | { "type": "model_fell_back",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * Which request.
 */
step: number,
/**
 * `provider/model` that did not answer.
 */
from: string,
/**
 * `provider/model` that is asked until the turn ends.
 */
to: string,
/**
 * Why, without secrets.
 */
reason: string, } | { "type": "outputs_left_out",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * Before which request.
 */
step: number,
/**
 * Those of the last so many replies stay.
 */
replies_kept: number,
/**
 * How many tokens the model was shown before, as far as is known.
 */
tokens_before: number, } | { "type": "conversation_summarized",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * Before which request.
 */
step: number,
/**
 * What it wrote, and the to-do list.
 */
summary: string,
/**
 * How many tokens the model was shown before, as far as is known.
 */
tokens_before: number,
/**
 * What the summary cost in tokens.
 */
usage: ModelUsage,
/**
 * What that cost in millionths of a US dollar; `None` where the model has no known price.
 */
cost_micro_usd: number | null, } | { "type": "model_replied",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * To which request.
 */
step: number,
/**
 * What it says, in order.
 */
blocks: Array<Block>,
/**
 * What it cost in tokens.
 */
usage: ModelUsage,
/**
 * What it cost in millionths of a US dollar; `None` where the model has no known price.
 */
cost_micro_usd: number | null,
/**
 * Why the model stopped.
 */
stop: StopReason,
/**
 * From the request's first byte out to the first token in.
 */
first_token_ms: number,
/**
 * From the request's first byte out to the last token in.
 */
duration_ms: number, } | { "type": "harness_started",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * The agent, by its id in the configuration.
 */
agent: string,
/**
 * What the program calls itself, with its version; empty where it does not say.
 */
program: string,
/**
 * The program's own name for the conversation, by which it takes it up again.
 */
conversation: string,
/**
 * What it knows of what was said before.
 */
memory: HarnessMemory,
/**
 * From the wish for it until it could be given a prompt.
 */
duration_ms: number, } | { "type": "gateway_requested",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * Requests through the gateway are counted from 1 in each turn.
 */
request: number,
/**
 * `provider/model`.
 */
model: string, } | { "type": "gateway_replied",
/**
 * In which turn it was asked.
 */
turn: TurnId,
/**
 * Which request.
 */
request: number,
/**
 * How it ended.
 */
outcome: GatewayOutcome,
/**
 * What it cost in tokens, as far as the provider said.
 */
usage: ModelUsage,
/**
 * What that cost in millionths of a US dollar; `None` where the model has no known price.
 */
cost_micro_usd: number | null,
/**
 * From the request's first byte out to the answer's first byte in.
 */
first_byte_ms: number,
/**
 * From the request's first byte out to the answer's last byte in.
 */
duration_ms: number, } | { "type": "tool_started",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * The call.
 */
call: CallId,
/**
 * The tool; of an MCP server's, its own name and not that of the tool by which it was called.
 */
name: string,
/**
 * Its arguments, after hooks.
 */
input: unknown, } | { "type": "tool_finished",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * The call.
 */
call: CallId,
/**
 * How it ended.
 */
status: ToolStatus,
/**
 * What the model is told, at most [`crate::limits::EVENT_OUTPUT_BYTES_MAX`] bytes of it.
 */
output: string,
/**
 * Where all of it is when `output` had to be cut, or the image where there is one.
 */
blob: BlobRef | null,
/**
 * The model is shown an image beside `output`, which is then short: what kind of file `blob` is.
 */
image?: ImageKind,
/**
 * How long it ran.
 */
duration_ms: number, } | { "type": "plugin_decided",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * About which call; `None` where it was asked about something else.
 */
call: CallId | null,
/**
 * The plugin's name.
 */
plugin: string,
/**
 * Where it was asked.
 */
hook: HookPoint,
/**
 * What it decided.
 */
decision: PluginDecision,
/**
 * How long it took, in microseconds.
 */
duration_us: number, } | { "type": "todo_changed",
/**
 * The whole list as it is now.
 */
items: Array<TodoItem>, } | { "type": "question_asked",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * Which call asks.
 */
call: CallId,
/**
 * What it asks.
 */
question: Question, } | { "type": "files_changed",
/**
 * At most [`crate::limits::EVENT_FILES_MAX`] of them.
 */
files: Array<FileChange>,
/**
 * How many more there were.
 */
more: number, } | { "type": "branch_pushed",
/**
 * The branch.
 */
branch: string,
/**
 * Where it was; `None` for a new branch.
 */
old: string | null,
/**
 * Where it is (40 hex digits).
 */
new: string, } | { "type": "push_refused",
/**
 * What and why.
 */
reason: string, } | { "type": "pull_request_opened",
/**
 * Its number at the forge.
 */
number: number,
/**
 * Its title.
 */
title: string,
/**
 * In whose name.
 */
author: UserId,
/**
 * The page that shows it, relative to the server's address or absolute.
 */
url: string, } | { "type": "pull_request_changed",
/**
 * Its number at the forge.
 */
number: number,
/**
 * What happened to it.
 */
change: PullRequestChange, } | { "type": "image_chosen",
/**
 * The image's id.
 */
image: string,
/**
 * The commit it was built from (40 hex digits).
 */
commit: string,
/**
 * How old it is, in milliseconds.
 */
age_ms: number, } | { "type": "base_changed",
/**
 * The commit it begins at now (40 hex digits).
 */
commit: string,
/**
 * Who.
 */
by: UserId, } | { "type": "snapshot_taken",
/**
 * The layer that holds what changed since the snapshot before (64 hex digits).
 */
snapshot: string,
/**
 * After which turn; `None` when it was taken before the sandbox went.
 */
turn: TurnId | null,
/**
 * What was promised about programs that were running.
 */
guarantee: SnapshotGuarantee,
/**
 * Files in the layer.
 */
files: number,
/**
 * Their bytes.
 */
bytes: number,
/**
 * How long the sandbox had to wait for it, in milliseconds.
 */
duration_ms: number, } | { "type": "network_denied",
/**
 * The name it asked for, or the address where it used none.
 */
host: string,
/**
 * The port.
 */
port: number,
/**
 * Why not, in words.
 */
reason: string,
/**
 * Whether a person can open the way for this session.
 */
approvable: boolean,
/**
 * How often since it was last told.
 */
count: number, } | { "type": "network_allowed",
/**
 * The name.
 */
host: string,
/**
 * The port.
 */
port: number,
/**
 * Who.
 */
by: UserId, } | { "type": "forked_from",
/**
 * The other session.
 */
session: SessionId,
/**
 * After which of its turns; 0 for before the first.
 */
turn: TurnId,
/**
 * The last copied event.
 */
until: Seq, } | { "type": "session_forked",
/**
 * The other session.
 */
into: SessionId,
/**
 * After which turn; 0 for before the first.
 */
turn: TurnId,
/**
 * What for.
 */
purpose: ForkPurpose, } | { "type": "rewound",
/**
 * That turn; 0 for before the first.
 */
to_turn: TurnId,
/**
 * The client's id for it.
 */
request_id: RequestId, } | { "type": "attempt_kept",
/**
 * That session.
 */
session: SessionId,
/**
 * In which round of attempts.
 */
round: number, } | { "type": "child_of",
/**
 * The other session.
 */
parent: SessionId,
/**
 * In which of its turns.
 */
turn: TurnId,
/**
 * By which call: one call begins one session, however often it is made.
 */
call: CallId,
/**
 * How many sessions are above this one, from 1.
 */
depth: number,
/**
 * On which files it begins.
 */
files: ChildFiles, } | { "type": "child_spawned",
/**
 * The session.
 */
child: SessionId,
/**
 * In which turn.
 */
turn: TurnId,
/**
 * By which call.
 */
call: CallId,
/**
 * The repository it works on.
 */
repo: RepoPath,
/**
 * Its title.
 */
title: string,
/**
 * What it may use up, as far as that is limited.
 */
share: Budget, } | { "type": "child_reported",
/**
 * The session.
 */
child: SessionId,
/**
 * How far it is.
 */
phase: ChildPhase,
/**
 * The last words of its agent, or why it failed or waits; at most [`crate::limits::CHILD_WORDS_BYTES_MAX`] bytes.
 */
words: string,
/**
 * Its newest pull request.
 */
pull_request: PullRequestState | null,
/**
 * What it has used up so far, with those that it began itself.
 */
spent: Spent,
/**
 * After which of its own events this is so: what is older than what is known is not written.
 */
as_of: Seq, } | { "type": "member_added",
/**
 * Who.
 */
person: Person,
/**
 * What they may do.
 */
role: SessionRole,
/**
 * The invitation they accepted, whose author is the cause; `None` where somebody gave them the role.
 */
invitation: InvitationId | null, } | { "type": "role_changed",
/**
 * Who.
 */
user: UserId,
/**
 * What they may do now.
 */
role: SessionRole,
/**
 * The invitation they accepted, likewise.
 */
invitation: InvitationId | null, } | { "type": "member_removed",
/**
 * Who.
 */
user: UserId, } | { "type": "ownership_taken",
/**
 * Who.
 */
person: Person, } | { "type": "visibility_changed",
/**
 * Who may see it now.
 */
visibility: Visibility, } | { "type": "invitation_made",
/**
 * Its number.
 */
invitation: InvitationId,
/**
 * What whoever accepts it may do.
 */
role: SessionRole,
/**
 * Who invites.
 */
by: UserId,
/**
 * SHA-256 of the link's secret, 64 hex digits.
 */
hash: string,
/**
 * When it stops working: milliseconds since 1970-01-01 UTC.
 */
expires_ms: number, } | { "type": "invitation_revoked",
/**
 * Which.
 */
invitation: InvitationId, } | { "type": "session_archived" } | { "type": "session_unarchived" } | { "type": "session_deleted",
/**
 * Who did it.
 */
by: UserId,
/**
 * From when on it is removed for good: milliseconds since 1970-01-01 UTC.
 */
purge_ms: number, } | { "type": "session_restored" } | { "type": "warning",
/**
 * What, and what to do.
 */
text: string, };

/**
 *A kind of event, as `kinds=` names it: the `type` of the event's body.
 */
export type EventKind = "session_created" | "participant_joined" | "title_changed" | "prompt_added" | "prompt_cancelled" | "prompt_edited" | "prompt_moved" | "steer_requested" | "prompt_steered" | "queue_paused" | "queue_resumed" | "turn_started" | "turn_resumed" | "turn_paused" | "turn_continued" | "budget_changed" | "stop_requested" | "turn_ended" | "sandbox_changed" | "model_requested" | "model_retried" | "model_fell_back" | "outputs_left_out" | "conversation_summarized" | "model_replied" | "harness_started" | "gateway_requested" | "gateway_replied" | "tool_started" | "tool_finished" | "plugin_decided" | "todo_changed" | "question_asked" | "files_changed" | "branch_pushed" | "push_refused" | "pull_request_opened" | "pull_request_changed" | "image_chosen" | "base_changed" | "snapshot_taken" | "network_denied" | "network_allowed" | "forked_from" | "session_forked" | "rewound" | "attempt_kept" | "child_of" | "child_spawned" | "child_reported" | "member_added" | "role_changed" | "member_removed" | "ownership_taken" | "visibility_changed" | "invitation_made" | "invitation_revoked" | "session_archived" | "session_unarchived" | "session_deleted" | "session_restored" | "warning";

/**
 * A page of history.
 */
export type EventPage = {
/**
 * In order.
 */
events: Array<Event>,
/**
 * The log's last sequence number when the page was read; more can be fetched while it is larger than the last event's.
 */
head: Seq,
/**
 * How far was looked for events: with `after`, go on after it; with `before`, go on before it, until it is 1. It differs from the
 * last (or first) event where `kinds` leaves events out.
 */
looked_at: Seq, };

/**
 * A budget that is used up.
 */
export type Exhausted = {
/**
 * Whose.
 */
scope: BudgetScope,
/**
 * In which measure.
 */
measure: Measure,
/**
 * How much was used up, in the measure's unit.
 */
spent: number,
/**
 * How much there was.
 */
limit: number,
/**
 * What happened and who can raise it, for people.
 */
reason: string, };

/**
 * A file that changed in the workspace.
 */
export type FileChange = {
/**
 * Relative to the workspace.
 */
path: string,
/**
 * How.
 */
kind: FileChangeKind, };

/**
 * How a file changed.
 */
export type FileChangeKind = "created" | "modified" | "removed";

/**
 * A file's part of a diff.
 */
export type FileDiff = {
/**
 * Its path now, or before its removal.
 */
path: string,
/**
 * Its path before, where it was renamed.
 */
old_path: string | null,
/**
 * `added`, `modified`, `removed` or `renamed`.
 */
status: string,
/**
 * Lines added.
 */
additions: number,
/**
 * Lines removed.
 */
deletions: number,
/**
 * Hunks in unified form; `None` for binary files and for those that are too large to show.
 */
patch: string | null, };

/**
 * A session to follow and where to begin.
 */
export type FollowFrom = {
/**
 * The session.
 */
session: SessionId,
/**
 * The last event already known; 0 for none.
 */
after: Seq,
/**
 * Whether the person is shown to others as having it open, and is told who has.
 */
presence: boolean, };

/**
 * What a fork is for.
 */
export type ForkPurpose = { "type": "fork" } | { "type": "attempt",
/**
 * Rounds of attempts of a session are counted from 1.
 */
round: number, };

/**
 * A fork, as the state of the session it was made from remembers it.
 */
export type ForkState = {
/**
 * The session that it is.
 */
session: SessionId,
/**
 * After which turn; 0 for before the first.
 */
turn: TurnId,
/**
 * What for.
 */
purpose: ForkPurpose,
/**
 * It is the attempt that was chosen.
 */
kept: boolean, };

/**
 * The place in a session that fits best what was looked for.
 */
export type Found = {
/**
 * Which place.
 */
place: FoundPlace,
/**
 * Some words of it, in order; put together they are one text.
 */
pieces: Array<FoundPiece>, };

/**
 * Some words of a place where something was found.
 */
export type FoundPiece = {
/**
 * The words.
 */
text: string,
/**
 * Whether they are what was looked for.
 */
matched: boolean, };

/**
 * Where something was found.
 */
export type FoundPlace = { "type": "title" } | { "type": "prompt",
/**
 * Which.
 */
prompt: PromptId, } | { "type": "participant",
/**
 * Who.
 */
user: UserId, } | { "type": "path" };

/**
 * One message of a stream.
 *
 * Only `event` frames are numbered and durable. The others are hints about something that an event will later say in
 * full: a client that misses them has missed nothing.
 */
export type Frame = { "frame": "event",
/**
 * The event.
 */
event: Event, } | { "frame": "caught_up",
/**
 * The last event sent.
 */
seq: Seq, } | { "frame": "text",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * In which reply.
 */
step: number,
/**
 * Which of the reply's blocks, from 0.
 */
block: number,
/**
 * Whether these are thoughts or words.
 */
channel: TextChannel,
/**
 * Where `text` begins in the block, in UTF-8 bytes. A frame that a client has already seen is recognised by it.
 */
offset: number,
/**
 * The new text alone, never what came before.
 */
text: string, } | { "frame": "text_reset",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * Which reply.
 */
step: number, } | { "frame": "tool_output",
/**
 * The call.
 */
call: CallId,
/**
 * Where `text` begins in the output, in UTF-8 bytes.
 */
offset: number,
/**
 * The new output alone.
 */
text: string, } | { "frame": "cursor",
/**
 * The last event looked at.
 */
seq: Seq, } | { "frame": "presence",
/**
 * Whether `people` is everybody or those with whom something changed.
 */
scope: PresenceScope,
/**
 * At most 100. Who has no connection any more has left.
 */
people: Array<Present>,
/**
 * How many people have the session open, those included who did not fit into `people`.
 */
total: number, } | { "frame": "typing",
/**
 * Who.
 */
user: UserId,
/**
 * Their name.
 */
name: string,
/**
 * For how many milliseconds this holds.
 */
for_ms: number, } | { "frame": "session_changed",
/**
 * The session as lists show it now.
 */
summary: SessionSummary, } | { "frame": "session_unlisted",
/**
 * Which.
 */
id: SessionId, } | { "frame": "list_complete", } | { "frame": "refused",
/**
 * Why.
 */
refusal: Refusal, } | { "frame": "bye",
/**
 * Why.
 */
reason: string,
/**
 * The last event that was put on its way, where one session is followed.
 */
after?: Seq, };

/**
 * How a request through the gateway ended.
 */
export type GatewayOutcome = { "type": "answered" } | { "type": "failed",
/**
 * What the service answered instead, where it did.
 */
status: number | null,
/**
 * What it said, or what happened, without secrets.
 */
reason: string, } | { "type": "cut_off" };

/**
 * What an external agent knows of what was said before.
 */
export type HarnessMemory = "new" | "loaded" | "told";

/**
 * `GET /healthz`.
 */
export type Health = {
/**
 * Always `ok`; a server that is not does not answer.
 */
status: string,
/**
 * hangar's version.
 */
version: string, };

/**
 * A place where plugins are asked. The names are those that OpenCode's plugins know, where there is one.
 */
export type HookPoint = "session.start" | "prompt.submit" | "context.inject" | "tool.execute.before" | "permission.ask" | "tool.execute.after" | "turn.end";

/**
 * An image: a repository at a commit, with everything it needs installed.
 */
export type ImageInfo = {
/**
 * Its id.
 */
id: string,
/**
 * The repository whose files are at `/workspace`.
 */
repo: RepoPath,
/**
 * The commit (40 hex digits).
 */
commit: string,
/**
 * What lies below: `host`, or the name of a base.
 */
base: string,
/**
 * Where its recipe was read: a file of the repository, or `detected`.
 */
recipe: string,
/**
 * When it was built: milliseconds since 1970-01-01 UTC.
 */
built_ms: number,
/**
 * How long the build took.
 */
duration_ms: number,
/**
 * Its layers together, on disk.
 */
bytes: number,
/**
 * How many layers it has.
 */
layers: number,
/**
 * Whether new sessions start from it.
 */
newest: boolean,
/**
 * What a person should know: steps of a recipe that hangar does not carry out, a test run that failed.
 */
notes: Array<string>, };

/**
 * A kind of image that models can be shown.
 */
export type ImageKind = "image/png" | "image/jpeg" | "image/gif" | "image/webp";

/**
 * `POST /images`: an image that came in.
 */
export type ImportedImage = {
/**
 * The image.
 */
image: ImageInfo,
/**
 * Whether it was not there before.
 */
new: boolean,
/**
 * What whoever brought it should know: that a newer image is in use, that it was built over another machine's programs.
 */
remarks: Array<string>, };

/**
 * An invitation of a session, counted from 1.
 */
export type InvitationId = number;

/**
 * What stands behind the `#` of an invitation's link.
 */
export type InvitationSecret = {
/**
 * 64 hex digits.
 */
secret: string, };

/**
 * A link that lets people in, as the state remembers it.
 */
export type InvitationState = {
/**
 * Its number.
 */
id: InvitationId,
/**
 * What whoever accepts it may do.
 */
role: SessionRole,
/**
 * Who invites.
 */
by: UserId,
/**
 * SHA-256 of the link's secret, 64 hex digits. The secret itself is kept nowhere.
 */
hash: string,
/**
 * When it stops working: milliseconds since 1970-01-01 UTC, by the server's clock.
 */
expires_ms: number, };

/**
 * `POST /sessions/{id}/invitations/look`: what one is invited to, before one accepts.
 */
export type InvitationView = {
/**
 * The session.
 */
session: SessionId,
/**
 * Its title.
 */
title: string,
/**
 * The repository it works on.
 */
repo: RepoPath,
/**
 * Who invites.
 */
by: UserId,
/**
 * What one may do there once one has accepted.
 */
role: SessionRole,
/**
 * What one may do there already.
 */
has: SessionRole | null,
/**
 * When the invitation stops working: milliseconds since 1970-01-01 UTC.
 */
expires_ms: number, };

/**
 * `POST /sessions/{id}/join`: the invitation was accepted.
 */
export type Joined = {
/**
 * The session.
 */
session: SessionId,
/**
 * What one may do there now.
 */
role: SessionRole, };

/**
 * `GET /me`: who asks.
 */
export type Me = {
/**
 * What they may do.
 */
role: Role,
/**
 * The login.
 */
user: UserId,
/**
 * The name commits carry.
 */
name: string,
/**
 * The e-mail address commits carry.
 */
email: string, };

/**
 * Something that a budget limits.
 */
export type Measure = "cost" | "tokens" | "time" | "tool_calls";

/**
 * How a pull request is merged.
 */
export type MergeMethod = "merge" | "squash";

/**
 * `POST /sessions/{id}/pull-request/merge`.
 */
export type MergePullRequest = {
/**
 * How.
 */
method: MergeMethod, };

/**
 * A model the server can use.
 */
export type ModelInfo = {
/**
 * `provider/model`, as sessions name it.
 */
id: string,
/**
 * What people should know: a scripted model says here that it is one.
 */
note: string,
/**
 * Whether new sessions use it unless they say otherwise.
 */
default: boolean, };

/**
 * Tokens of one or more model requests, as the provider counted them.
 */
export type ModelUsage = {
/**
 * Tokens read, without those that came from a cache.
 */
input_tokens: number,
/**
 * Tokens written.
 */
output_tokens: number,
/**
 * Tokens read from the provider's prompt cache.
 */
cache_read_tokens: number,
/**
 * Tokens written to the provider's prompt cache.
 */
cache_write_tokens: number, };

/**
 * `POST /sessions/{id}/prompts/{prompt}/move`: another place in the queue for a prompt that waits.
 */
export type MovedPrompt = {
/**
 * The client's id: sending the same again changes nothing. `None` lets the server choose.
 */
request_id: RequestId | null,
/**
 * The waiting prompt that it comes before; `None` for the end of the queue.
 */
before: PromptId | null, };

/**
 * `POST /sessions/{id}/attempts`: the same wish in several forks at once.
 */
export type NewAttempts = {
/**
 * The wish.
 */
prompt: NewPrompt,
/**
 * How many, 2 to 8.
 */
count: number,
/**
 * `provider/model` of each in turn, begun anew where there are fewer than attempts; empty for the session's own.
 */
models: Array<string>, };

/**
 * `POST /images/builds`: build an image now.
 */
export type NewBuild = {
/**
 * The repository.
 */
repo: RepoPath, };

/**
 * `POST /sessions/{id}/forks`: a session of one's own that has everything this one had after a turn.
 */
export type NewFork = {
/**
 * After which turn; 0 for before the first. `None` takes everything up to now, for which nothing may be running.
 */
at_turn: TurnId | null,
/**
 * The first prompt of the fork; `None` lets it wait for one.
 */
prompt: NewPrompt | null,
/**
 * `provider/model`; `None` for the session's own.
 */
model: string | null,
/**
 * Its title; `None` for the session's own.
 */
title: string | null, };

/**
 * `POST /sessions/{id}/invitations`: a link by which people become members.
 */
export type NewInvitation = {
/**
 * What whoever accepts it may do.
 */
role: SessionRole,
/**
 * How long it works, in seconds, at most 30 days; `None` for 7 days.
 */
expires_in_s: number | null, };

/**
 * An invitation, the one time its link is shown.
 */
export type NewInvitationLink = {
/**
 * Open it in a browser, or give it to `hangar join`. Whoever has it and is a user of the server can accept it.
 */
url: string,
/**
 * Its number.
 */
id: InvitationId,
/**
 * What whoever accepts it may do.
 */
role: SessionRole,
/**
 * Who invites.
 */
by: UserId,
/**
 * When it stops working: milliseconds since 1970-01-01 UTC.
 */
expires_ms: number, };

/**
 * The first prompt of a session.
 */
export type NewPrompt = {
/**
 * The client's id: sending the same again adds nothing. `None` lets the server choose.
 */
request_id: RequestId | null,
/**
 * The words, at most 256 KiB.
 */
text: string, };

/**
 * `POST /repos`: bring a repository into the embedded forge.
 */
export type NewRepo = {
/**
 * Its name here.
 */
repo: RepoPath,
/**
 * Where to copy it from: an `https://` address git can clone without a password, or a directory of the server's machine (owners only).
 * `None` makes an empty repository with one commit.
 */
source: string | null, };

/**
 * `POST /sessions`: begin a session, most often with its first prompt.
 */
export type NewSession = {
/**
 * The repository.
 */
repo: RepoPath,
/**
 * The branch to start from; `None` for the repository's default.
 */
base_branch: string | null,
/**
 * `provider/model`; `None` for the server's default.
 */
model: string | null,
/**
 * An external agent of this server, by its id; `None` for hangar's own.
 */
agent: string | null,
/**
 * The first prompt; `None` opens a session that waits for one.
 */
prompt: NewPrompt | null,
/**
 * Who may see it; `None` for the server's default.
 */
visibility: Visibility | null, };

/**
 * `POST /tokens`: a personal access token for scripts.
 */
export type NewToken = {
/**
 * What it is for, in the person's words.
 */
label: string, };

/**
 * `POST /users`: let somebody in.
 */
export type NewUser = {
/**
 * Login, name and address.
 */
user: UserId,
/**
 * The name commits carry.
 */
name: string,
/**
 * The address commits carry.
 */
email: string,
/**
 * What they may do.
 */
role: Role, };

/**
 * What becomes of what a plugin was asked about when it gives no answer.
 */
export type OnFailure = "closed" | "open";

/**
 * A tool call that has begun and not ended.
 */
export type OpenCall = {
/**
 * In which turn.
 */
turn: TurnId,
/**
 * The call.
 */
call: CallId,
/**
 * The tool.
 */
name: string,
/**
 * Whether its effect may have begun (`tool_started` was written), or the model only asked for it.
 */
started: boolean, };

/**
 * `POST /sessions/{id}/pull-request`. Without a title the session's is used.
 */
export type OpenPullRequest = {
/**
 * At most 200 characters.
 */
title: string | null,
/**
 * Markdown, at most 64 KiB.
 */
body: string | null, };

/**
 * Where a fork comes from.
 */
export type Origin = {
/**
 * The session.
 */
session: SessionId,
/**
 * After which of its turns; 0 for before the first.
 */
turn: TurnId,
/**
 * The last event that was copied from there. Work up to it was paid for there and is not part of this session's usage and cost.
 */
until: Seq, };

/**
 * The call that began a session.
 */
export type Parent = {
/**
 * The session whose agent made it.
 */
session: SessionId,
/**
 * In which of its turns: the author of that turn's prompt began this session.
 */
turn: TurnId,
/**
 * The call.
 */
call: CallId,
/**
 * How many sessions are above this one: 1 for the child of one that a person began.
 */
depth: number,
/**
 * On which files it began.
 */
files: ChildFiles, };

/**
 * What a person is asked to allow.
 */
export type Permission = {
/**
 * The plugin that wants to know.
 */
plugin: string,
/**
 * SHA-256 in hex of the tool's name and the call's arguments as JSON: it is this very call that is allowed, once.
 */
call: string, };

/**
 * Somebody who takes part in a session, as their commits name them.
 */
export type Person = {
/**
 * The login.
 */
user: UserId,
/**
 * The name commits carry.
 */
name: string,
/**
 * The e-mail address commits carry.
 */
email: string, };

/**
 * A place in the network.
 */
export type Place = {
/**
 * A host name in small letters, or an address where none was used.
 */
host: string,
/**
 * The port.
 */
port: number, };

/**
 * What a plugin decided, where it did not simply let something pass.
 */
export type PluginDecision = { "type": "replaced" } | { "type": "denied",
/**
 * Why; the model is told.
 */
words: string, } | { "type": "asked",
/**
 * Why.
 */
words: string, } | { "type": "permitted",
/**
 * The call, as [`Permission::call`] has it. It is allowed this once.
 */
call: string, } | { "type": "injected",
/**
 * The words.
 */
text: string, } | { "type": "failed",
/**
 * What went wrong.
 */
reason: string,
/**
 * What became of what it was asked about.
 */
on_failure: OnFailure, };

/**
 * `GET /pool`: the sandboxes that are kept ready.
 */
export type PoolInfo = {
/**
 * Slots: sandboxes that could become any repository's.
 */
slots: SlotInfo,
/**
 * Sandboxes over the newest image of a repository, by repository.
 */
repos: Array<RepoPool>,
/**
 * A repository that was busy lately has at least so many (`pool.floor`).
 */
floor: number,
/**
 * No repository has more (`pool.ceiling`).
 */
ceiling: number,
/**
 * Memory that those there are now are expected to use.
 */
memory_bytes: number,
/**
 * Memory the sandboxes kept for repositories may use together (`pool.memory_mib`).
 */
memory_bytes_max: number, };

/**
 * Whom a `presence` frame names.
 */
export type PresenceScope = "everybody" | "changed";

/**
 * Somebody who has a session open.
 */
export type Present = {
/**
 * Who.
 */
user: UserId,
/**
 * Their name.
 */
name: string,
/**
 * With how many connections; 0 for somebody who left.
 */
connections: number, };

/**
 * The answer to an accepted prompt. When it is sent, the prompt is on disk.
 */
export type PromptAccepted = {
/**
 * Its number.
 */
prompt: PromptId,
/**
 * The session's last event after it.
 */
seq: Seq, };

/**
 * A prompt of a session, counted from 1 in the order in which prompts were accepted.
 */
export type PromptId = number;

/**
 * When the agent hears a prompt.
 */
export type PromptMode = "queue" | "steer" | "resume";

/**
 * `PATCH /sessions/{id}/prompts/{prompt}`: other words for a prompt that waits.
 */
export type PromptPatch = {
/**
 * The client's id: sending the same again changes nothing. `None` lets the server choose.
 */
request_id: RequestId | null,
/**
 * The new words, at most 256 KiB.
 */
text: string, };

/**
 * A prompt, as the state remembers it.
 */
export type PromptState = {
/**
 * Its number.
 */
id: PromptId,
/**
 * The client's id for it.
 */
request_id: RequestId,
/**
 * Whose words.
 */
author: UserId,
/**
 * The words while it waits; their beginning afterwards.
 */
text: string,
/**
 * FNV-1a 64 of the whole text in hex, as it was sent first: tells a repeated request from a changed one.
 */
fingerprint: string,
/**
 * Who gave it other words last; `None` where nobody did.
 */
edited_by: UserId | null,
/**
 * How far it is.
 */
status: PromptStatus, };

/**
 * How far a prompt is.
 */
export type PromptStatus = "queued" | "steering" | "taken" | "steered" | "cancelled";

/**
 * What happened to a pull request.
 */
export type PullRequestChange = { "type": "synchronized",
/**
 * The new head (40 hex digits).
 */
head: string, } | { "type": "reviewed",
/**
 * Who.
 */
by: string,
/**
 * `approved`, `changes_requested` or `commented`.
 */
verdict: string, } | { "type": "merged",
/**
 * Who.
 */
by: string,
/**
 * The merge commit (40 hex digits).
 */
commit: string, } | { "type": "closed",
/**
 * Who.
 */
by: string, } | { "type": "reopened",
/**
 * Who.
 */
by: string, };

/**
 * A pull request, as the state remembers it.
 */
export type PullRequestState = {
/**
 * Its number at the forge.
 */
number: number,
/**
 * Its title.
 */
title: string,
/**
 * In whose name it was opened.
 */
author: UserId,
/**
 * The page that shows it.
 */
url: string,
/**
 * Open, merged or closed.
 */
status: PullRequestStatus,
/**
 * The merge commit once merged.
 */
merge_commit: string | null,
/**
 * Who approved it and has not said otherwise since.
 */
approved_by: Array<string>, };

/**
 * Whether a pull request is still open.
 */
export type PullRequestStatus = "open" | "merged" | "closed";

/**
 * The page of a pull request in one answer.
 */
export type PullRequestView = {
/**
 * Markdown.
 */
body: string,
/**
 * The branch it comes from.
 */
head_branch: string,
/**
 * The branch it goes to.
 */
base_branch: string,
/**
 * Whether it can be merged without conflict; `None` while that is being found out.
 */
mergeable: boolean | null,
/**
 * Its commits, oldest first, at most 250.
 */
commits: Array<CommitInfo>,
/**
 * Its reviews, oldest first, at most 100.
 */
reviews: Array<ReviewInfo>,
/**
 * Its checks, at most 100.
 */
checks: Array<CheckInfo>,
/**
 * What it changes.
 */
diff: SessionDiff,
/**
 * Its number at the forge.
 */
number: number,
/**
 * Its title.
 */
title: string,
/**
 * In whose name it was opened.
 */
author: UserId,
/**
 * The page that shows it.
 */
url: string,
/**
 * Open, merged or closed.
 */
status: PullRequestStatus,
/**
 * The merge commit once merged.
 */
merge_commit: string | null,
/**
 * Who approved it and has not said otherwise since.
 */
approved_by: Array<string>, };

/**
 * What an agent asks the people of its session.
 */
export type Question = {
/**
 * The question, at most [`crate::limits::QUESTION_CHARS_MAX`] characters.
 */
text: string,
/**
 * Answers that it would understand, one line each (at most [`crate::limits::QUESTION_CHOICES_MAX`]). People may say something else.
 */
choices: Array<string>,
/**
 * What the answer [`Permission::ALLOW`] allows, where a plugin wants to know and not the agent.
 */
permission: Permission | null, };

/**
 * How far a stop goes.
 */
export type Reach = "with_children" | "alone";

/**
 * Why a request was not carried out. Nothing of it was: a refusal leaves no half-done work.
 */
export type Refusal = {
/**
 * For programs.
 */
code: RefusalCode,
/**
 * What happened, one sentence.
 */
message: string,
/**
 * What to do now, one sentence. May be empty where nothing can be done.
 */
hint: string, };

/**
 * The kinds of refusal. The command line's exit codes and HTTP's status codes follow from them.
 */
export type RefusalCode = "bad_request" | "unauthenticated" | "forbidden" | "not_found" | "conflict" | "too_large" | "too_many" | "unavailable" | "internal";

/**
 * A repository hangar knows.
 */
export type RepoInfo = {
/**
 * `owner/name`.
 */
repo: RepoPath,
/**
 * The branch that pull requests go to by default.
 */
default_branch: string,
/**
 * Where stock git can clone it from.
 */
clone_url: string,
/**
 * When it was added: milliseconds since 1970-01-01 UTC.
 */
created_ms: number, };

/**
 * A repository at the forge: `owner/name`.
 */
export type RepoPath = string;

/**
 * Sandboxes that wait for one repository.
 */
export type RepoPool = {
/**
 * The repository.
 */
repo: RepoPath,
/**
 * Ready now, for whoever comes.
 */
ready: number,
/**
 * Ready now, and kept for somebody who types.
 */
reserved: number,
/**
 * Being made, or being brought to the newest commits.
 */
preparing: number,
/**
 * How many the recent demand asks for.
 */
wanted: number,
/**
 * Sessions that found one ready.
 */
hits: number,
/**
 * Sessions that did not.
 */
misses: number,
/**
 * How long sessions that found one waited for it, in the middle of the last hundred.
 */
hit_wait_ms_p50: number,
/**
 * How long the sessions that did not had to wait, likewise.
 */
miss_wait_ms_p50: number,
/**
 * Kept for somebody who then began no session: they went back, or were ended.
 */
abandoned: number, };

/**
 * Where a session works: part of [`NewSession`], and what `Command::Create` carries once the forge has resolved it.
 */
export type RepoTarget = {
/**
 * The session's id.
 */
session: SessionId,
/**
 * The repository.
 */
repo: RepoPath,
/**
 * The branch its pull request goes to.
 */
base_branch: string,
/**
 * The commit it starts from (40 hex digits).
 */
base_commit: string,
/**
 * The branch it may push.
 */
branch: string,
/**
 * `provider/model`.
 */
model: string,
/**
 * The external agent that works in it; `None` for hangar's own.
 */
agent?: string,
/**
 * Shown in lists.
 */
title: string,
/**
 * Who may see it.
 */
visibility: Visibility, };

/**
 * Chosen by a client so that a command sent twice is carried out once.
 */
export type RequestId = string;

/**
 * A request about the queue, as the state remembers it.
 */
export type RequestState = {
/**
 * The client's id for it.
 */
request_id: RequestId,
/**
 * Who asked.
 */
by: UserId,
/**
 * FNV-1a 64 of what was asked in hex.
 */
fingerprint: string, };

/**
 * A review of a pull request.
 */
export type ReviewInfo = {
/**
 * Login.
 */
by: string,
/**
 * `APPROVED`, `CHANGES_REQUESTED` or `COMMENTED`.
 */
verdict: string,
/**
 * Markdown.
 */
body: string, };

/**
 * `POST /sessions/{id}/rewind`: take files and conversation back to where they were after a turn.
 */
export type RewindRequest = {
/**
 * After which turn; 0 for before the first.
 */
to_turn: TurnId,
/**
 * The client's id: sending the same again changes nothing. `None` lets the server choose.
 */
request_id: RequestId | null, };

/**
 * That a session was taken back.
 */
export type RewoundState = {
/**
 * To after which turn; 0 for before the first.
 */
to_turn: TurnId,
/**
 * The client's id for it.
 */
request_id: RequestId,
/**
 * The event that says so.
 */
seq: Seq, };

/**
 * What a person may do on this server.
 */
export type Role = "owner" | "member";

/**
 * `PUT /sessions/{id}/members/{user}`.
 */
export type RoleWish = {
/**
 * What they may do from now on.
 */
role: SessionRole, };

/**
 * `POST /sessions/{id}/prompts`: say something to the agent.
 */
export type SaidPrompt = {
/**
 * The client's id: sending the same again adds nothing. `None` lets the server choose.
 */
request_id: RequestId | null,
/**
 * The words, at most 256 KiB.
 */
text: string,
/**
 * When the agent hears it.
 */
mode: PromptMode, };

/**
 * What a sandbox is doing.
 */
export type SandboxPhase = "absent" | "preparing" | "syncing" | "ready" | "failed";

/**
 * A sandbox that has failed is to be made once more.
 */
export type SandboxRetry = {
/**
 * Where its workspace begins. Left out, at the session's commit.
 */
begin_at?: BeginAt, };

/**
 * A prompt that a repository has ready: whoever begins a prompt with `/NAME` says what its file says.
 */
export type SavedPrompt = {
/**
 * Its name: letters, digits, `-` and `_`.
 */
name: string,
/**
 * What it is for, one line.
 */
description: string,
/**
 * What may come after the name, where its file says so.
 */
hint?: string, };

/**
 * Position of an event in its session's log: 1, 2, 3 … without gaps. `0` stands for "before the first event".
 */
export type Seq = number;

/**
 * `GET /sessions/{id}/budget`: what a session used up, and what it waits for.
 */
export type SessionBudget = {
/**
 * The budget that holds: its own, else the server's usual one.
 */
budget: Budget,
/**
 * What it used up, with those that its agent began.
 */
spent: Spent,
/**
 * What its turn waits for; `null` where none waits.
 */
paused: Exhausted | null, };

/**
 * What a session changed against the commit it started from.
 */
export type SessionDiff = {
/**
 * The files.
 */
files: Array<FileDiff>,
/**
 * Files left out because the limit (3,000 files, 8 MiB) was reached.
 */
omitted: number, };

/**
 * A frame of a stream of many sessions.
 */
export type SessionFrame = {
/**
 * The session it belongs to; left out in frames about the list or the whole stream.
 */
session?: SessionId, } & ({ "frame": "event",
/**
 * The event.
 */
event: Event, } | { "frame": "caught_up",
/**
 * The last event sent.
 */
seq: Seq, } | { "frame": "text",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * In which reply.
 */
step: number,
/**
 * Which of the reply's blocks, from 0.
 */
block: number,
/**
 * Whether these are thoughts or words.
 */
channel: TextChannel,
/**
 * Where `text` begins in the block, in UTF-8 bytes. A frame that a client has already seen is recognised by it.
 */
offset: number,
/**
 * The new text alone, never what came before.
 */
text: string, } | { "frame": "text_reset",
/**
 * In which turn.
 */
turn: TurnId,
/**
 * Which reply.
 */
step: number, } | { "frame": "tool_output",
/**
 * The call.
 */
call: CallId,
/**
 * Where `text` begins in the output, in UTF-8 bytes.
 */
offset: number,
/**
 * The new output alone.
 */
text: string, } | { "frame": "cursor",
/**
 * The last event looked at.
 */
seq: Seq, } | { "frame": "presence",
/**
 * Whether `people` is everybody or those with whom something changed.
 */
scope: PresenceScope,
/**
 * At most 100. Who has no connection any more has left.
 */
people: Array<Present>,
/**
 * How many people have the session open, those included who did not fit into `people`.
 */
total: number, } | { "frame": "typing",
/**
 * Who.
 */
user: UserId,
/**
 * Their name.
 */
name: string,
/**
 * For how many milliseconds this holds.
 */
for_ms: number, } | { "frame": "session_changed",
/**
 * The session as lists show it now.
 */
summary: SessionSummary, } | { "frame": "session_unlisted",
/**
 * Which.
 */
id: SessionId, } | { "frame": "list_complete", } | { "frame": "refused",
/**
 * Why.
 */
refusal: Refusal, } | { "frame": "bye",
/**
 * Why.
 */
reason: string,
/**
 * The last event that was put on its way, where one session is followed.
 */
after?: Seq, });

/**
 * A session: random lower-case letters and digits, made by the server.
 */
export type SessionId = string;

/**
 * `PATCH /sessions/{id}`.
 */
export type SessionPatch = {
/**
 * The new title.
 */
title: string, };

/**
 * What somebody may do in a session. Ordered: a later one may do what the earlier ones may.
 */
export type SessionRole = "viewer" | "prompter" | "owner";

/**
 * The folded state of one session. Small and bounded: the words themselves stay in the log.
 */
export type SessionState = {
/**
 * Its id.
 */
id: SessionId,
/**
 * Who began it.
 */
owner: UserId,
/**
 * The repository it works on.
 */
repo: RepoPath,
/**
 * The branch its pull request goes to.
 */
base_branch: string,
/**
 * The commit it begins at.
 */
base_commit: string,
/**
 * The branch it works on.
 */
branch: string,
/**
 * `provider/model`.
 */
model: string,
/**
 * The external agent that works in it; `None` for hangar's own.
 */
agent?: string,
/**
 * Its title.
 */
title: string,
/**
 * Whose words the title is.
 */
title_from: TitleSource,
/**
 * When it began: milliseconds since 1970-01-01 UTC.
 */
created_ms: number,
/**
 * When something last happened in it.
 */
updated_ms: number,
/**
 * The last event that was folded in.
 */
seq: Seq,
/**
 * What it is doing.
 */
status: SessionStatus,
/**
 * Everybody who took part, in order of arrival.
 */
participants: Array<Person>,
/**
 * Who has a role of their own (at most [`limits::MEMBERS_MAX`]).
 */
members: { [key in UserId]: SessionRole },
/**
 * Who may see it.
 */
visibility: Visibility,
/**
 * Links that let people in and have not been taken back. Expired ones stay until the next is made.
 */
invitations: Array<InvitationState>,
/**
 * How many invitations there ever were.
 */
invitations_made: number,
/**
 * Since when it is put away: milliseconds since 1970-01-01 UTC.
 */
archived_ms: number | null,
/**
 * Whether it was deleted, and until when it can be taken back.
 */
deleted: Deletion | null,
/**
 * Every prompt, in the order in which they were accepted.
 */
prompts: Array<PromptState>,
/**
 * The prompts that wait, the next one first: those to be said to a running turn before those that wait for one of their own.
 */
waiting: Array<PromptId>,
/**
 * Who paused the queue; `None` while it is not. No turn begins while it is.
 */
queue_paused_by: UserId | null,
/**
 * Requests about the queue, oldest first (the last [`limits::STATE_REQUESTS_MAX`]).
 */
requests: Array<RequestState>,
/**
 * Every turn, in order.
 */
turns: Array<TurnState>,
/**
 * Tool calls that have begun and not ended.
 */
open_calls: Array<OpenCall>,
/**
 * What its sandbox is doing.
 */
sandbox: SandboxPhase,
/**
 * The image it started from; `None` before its first sandbox.
 */
image: string | null,
/**
 * The commit of that image, while the session could begin there instead (`begin_at` of [`crate::api::SandboxRetry`]): another one than `base_commit`, its
 * workspace was never ready, and it is no fork.
 */
image_commit?: string,
/**
 * The event that let it begin at its image's commit; its files were begun anew then.
 */
base_changed?: Seq,
/**
 * Its snapshots, oldest first (the last [`limits::STATE_SNAPSHOTS_MAX`]).
 */
snapshots: Array<SnapshotState>,
/**
 * Places its sandbox wanted to reach and may not (the last [`limits::STATE_PLACES_MAX`]).
 */
denied: Array<Place>,
/**
 * Places that people opened for this session (at most [`limits::STATE_PLACES_MAX`]).
 */
allowed: Array<Place>,
/**
 * The agent's to-do list.
 */
todos: Array<TodoItem>,
/**
 * Files changed in the workspace since the session began (at most [`limits::STATE_FILES_MAX`]).
 */
files: { [key in string]: FileChangeKind },
/**
 * Where the session's branch stands at the forge; `None` before the first push.
 */
pushed: string | null,
/**
 * Its pull requests, oldest first.
 */
pull_requests: Array<PullRequestState>,
/**
 * Its own budget; `None` where the server's usual one holds.
 */
budget: Budget | null,
/**
 * What all of its turns used up.
 */
spent: Spent,
/**
 * What they used up on the day of the last event that cost something, by person.
 */
day_spent: DaySpent,
/**
 * When the last event happened, by the clock of that moment: milliseconds since 1970-01-01 UTC. Earlier than `updated_ms` where the clock
 * was put back.
 */
last_event_ms: number,
/**
 * Tokens of all turns.
 */
usage: ModelUsage,
/**
 * Cost of all turns in millionths of a US dollar, as far as prices are known.
 */
cost_micro_usd: number,
/**
 * The session it was forked from; `None` where it was not.
 */
forked_from: Origin | null,
/**
 * The sessions that were forked from it, oldest first (at most [`limits::FORKS_MAX`]).
 */
forks: Array<ForkState>,
/**
 * The last time it was taken back; `None` where it never was.
 */
rewound: RewoundState | null,
/**
 * The call of another session's agent that began it; `None` where a person did.
 */
parent: Parent | null,
/**
 * The sessions that its agent began, oldest first (at most [`limits::DESCENDANTS_MAX`]).
 */
children: Array<ChildState>, };

/**
 * What a session is doing, as lists group it.
 */
export type SessionStatus = "idle" | "running" | "paused" | "asking" | "failed" | "merged";

/**
 * A session as lists show it.
 */
export type SessionSummary = {
/**
 * Its id.
 */
id: SessionId,
/**
 * The repository it works on.
 */
repo: RepoPath,
/**
 * Its title.
 */
title: string,
/**
 * Who began it.
 */
owner: UserId,
/**
 * What it is doing.
 */
status: SessionStatus,
/**
 * When it began: milliseconds since 1970-01-01 UTC.
 */
created_ms: number,
/**
 * When something last happened in it.
 */
updated_ms: number,
/**
 * The newest pull request, where there is one.
 */
pull_request: PullRequestState | null,
/**
 * Who may see it.
 */
visibility: Visibility,
/**
 * Who has a role of their own in it.
 */
members: { [key in UserId]: SessionRole },
/**
 * Since when it is put away, likewise.
 */
archived_ms: number | null,
/**
 * Whether it was deleted, and until when it can be taken back.
 */
deleted: Deletion | null,
/**
 * The session whose agent began it; not there where a person did.
 */
parent?: SessionId,
/**
 * What is wrong with its log on disk; not there where it is whole.
 */
damaged?: string,
/**
 * Where what was looked for stands in it; only in the answer to a search.
 */
found?: Found, };

/**
 * `POST /sign-in`: trade a one-time link for a session cookie.
 */
export type SignIn = {
/**
 * The part of the link behind `#`.
 */
code: string, };

/**
 * A one-time sign-in link, shown once.
 */
export type SignInLink = {
/**
 * Open it in a browser. It works once.
 */
url: string,
/**
 * When it stops working: milliseconds since 1970-01-01 UTC.
 */
expires_ms: number, };

/**
 * Slots that wait.
 */
export type SlotInfo = {
/**
 * Ready now.
 */
ready: number,
/**
 * Made since the server started.
 */
made: number,
/**
 * Sandboxes that began in a waiting slot.
 */
hits: number,
/**
 * Sandboxes that had to make one.
 */
misses: number, };

/**
 * What a snapshot says about programs that were running when it was taken.
 */
export type SnapshotGuarantee = "quiescent" | "frozen";

/**
 * A snapshot, as the state remembers it.
 */
export type SnapshotState = {
/**
 * The layer (64 hex digits).
 */
snapshot: string,
/**
 * After which turn; `None` when it was taken before the sandbox went.
 */
turn: TurnId | null,
/**
 * What was promised about programs that were running.
 */
guarantee: SnapshotGuarantee, };

/**
 * What was used up.
 */
export type Spent = {
/**
 * Millionths of a US dollar, as far as prices are known.
 */
cost_micro_usd: number,
/**
 * Tokens read and written, cached ones included.
 */
tokens: number,
/**
 * Time in which turns ran, in milliseconds. While a turn waits for its budget, or the server is down, none passes.
 */
time_ms: number,
/**
 * Tool calls that began.
 */
tool_calls: number, };

/**
 * `POST /sessions/{id}/prompts/{prompt}/steer`: say a prompt that waits to the running turn.
 */
export type SteeredPrompt = {
/**
 * The client's id: sending the same again changes nothing. `None` lets the server choose.
 */
request_id: RequestId | null, };

/**
 * The answer to a stop.
 */
export type StopAccepted = {
/**
 * The turn that is being stopped.
 */
turn: TurnId, };

/**
 * Why a model stopped.
 */
export type StopReason = "end_turn" | "tool_use" | "max_tokens" | "refusal";

/**
 * `POST /sessions/{id}/stop`: end the running turn.
 */
export type StopTurn = {
/**
 * The turn that is meant: sent again after that turn is stopped, it changes nothing. `None` for whichever runs.
 */
turn: TurnId | null,
/**
 * What becomes of the prompts that wait.
 */
then: AfterStop,
/**
 * Whether the sessions that this one began are stopped with it.
 */
reach: Reach, };

/**
 * What streamed text is.
 */
export type TextChannel = "reasoning" | "text";

/**
 * Whose words a session's title is.
 */
export type TitleSource = "prompt" | "model" | "person";

/**
 * An entry of the agent's to-do list.
 */
export type TodoItem = {
/**
 * What is to be done, one line.
 */
text: string,
/**
 * How far it is.
 */
status: TodoStatus, };

/**
 * How far an entry of the to-do list is.
 */
export type TodoStatus = "pending" | "in_progress" | "done";

/**
 * A personal access token as it is listed: without the secret.
 */
export type TokenInfo = {
/**
 * Its number.
 */
id: number,
/**
 * What it is for.
 */
label: string,
/**
 * When it was made: milliseconds since 1970-01-01 UTC.
 */
created_ms: number,
/**
 * When it was last used, likewise; `None` for never.
 */
used_ms: number | null, };

/**
 * How a tool ended.
 */
export type ToolStatus = "ok" | "error" | "interrupted";

/**
 * A turn of a session (the agent's work on one prompt), counted from 1.
 */
export type TurnId = number;

/**
 * How a turn ended.
 */
export type TurnOutcome = { "type": "done" } | { "type": "stopped",
/**
 * Who.
 */
by: UserId, } | { "type": "failed",
/**
 * Why, and what to do.
 */
reason: string, };

/**
 * A turn, as the state remembers it.
 */
export type TurnState = {
/**
 * Its number.
 */
id: TurnId,
/**
 * What it works on.
 */
prompt: PromptId,
/**
 * What was said to it since, in order.
 */
steered: Array<PromptId>,
/**
 * Model requests so far.
 */
steps: number,
/**
 * Requests through the gateway so far.
 */
gateway_requests: number,
/**
 * How often it was resumed after a crash or restart.
 */
resumes: number,
/**
 * Whether somebody asked it to stop, and who.
 */
stop_requested_by: UserId | null,
/**
 * The budget it waits for; `None` while it runs or is over.
 */
paused: Exhausted | null,
/**
 * What it asked last; `None` where it asked nothing, or went on since.
 */
question: Question | null,
/**
 * How it ended; `None` while it runs.
 */
outcome: TurnOutcome | null,
/**
 * The session was taken back to before it: neither its files nor its words count any more.
 */
undone: boolean, };

/**
 * A person's login. It is also the login at the embedded forge.
 */
export type UserId = string;

/**
 * Who may see a session.
 */
export type Visibility = "team" | "private";

/**
 * `PUT /sessions/{id}/visibility`.
 */
export type VisibilityWish = {
/**
 * Who may see the session from now on.
 */
visibility: Visibility, };

/**
 * `POST /warm`: somebody began to type.
 */
export type Warm = {
/**
 * The repository the session will probably be about.
 */
repo: RepoPath, };

/**
 * What comes of [`Warm`].
 */
export type Warming = {
/**
 * Whether a sandbox with the newest commits is ready already.
 */
ready: boolean,
/**
 * How long it is kept if no session comes.
 */
kept_s: number, };
