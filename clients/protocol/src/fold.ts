// What is true of a session now: a fold over its events. The twin of crates/protocol/src/state.rs, held to it by
// crates/protocol/fixtures.

import { applyToFamily, stopChildren } from "./children.ts";
import type {
  Cause,
  Event,
  EventBody,
  ModelUsage,
  InvitationId,
  Place,
  PullRequestChange,
  PullRequestState,
  Question,
  SessionRole,
  SessionState,
  SessionStatus,
  Spent,
  TurnId,
  TurnOutcome,
  TurnState,
  UserId,
} from "./generated.ts";
import { applyToQueue, settlePrompt } from "./queue.ts";

/** Changed paths the folded state remembers. */
const STATE_FILES_MAX = 5000;
/** Snapshots the folded state remembers. */
const STATE_SNAPSHOTS_MAX = 1000;
/** Places in the network the folded state remembers. */
const STATE_PLACES_MAX = 200;
/** The longest that counts as work between two events of a turn. What is more is a clock that jumped. */
const TURN_QUIET_MS_MAX = 30 * 60 * 1000;
/** Milliseconds of a day; days are those of UTC. */
const DAY_MS = 24 * 3600 * 1000;

/** The state after the first event of a log, or `undefined` if that is not a beginning. */
export function begin(event: Event): SessionState | undefined {
  const body = event.body;
  if (body.type !== "session_created" || event.seq !== 1) return undefined;
  return {
    id: body.session,
    owner: body.owner.user,
    repo: body.repo,
    base_branch: body.base_branch,
    base_commit: body.base_commit,
    branch: body.branch,
    model: body.model,
    ...(body.agent === undefined ? {} : { agent: body.agent }),
    title: body.title,
    title_from: "prompt",
    created_ms: event.time_ms,
    updated_ms: event.time_ms,
    seq: event.seq,
    status: "idle",
    participants: [body.owner],
    members: { [body.owner.user]: "owner" },
    visibility: "team",
    invitations: [],
    invitations_made: 0,
    archived_ms: null,
    deleted: null,
    prompts: [],
    waiting: [],
    queue_paused_by: null,
    requests: [],
    turns: [],
    open_calls: [],
    sandbox: "absent",
    image: null,
    snapshots: [],
    denied: [],
    allowed: [],
    todos: [],
    files: {},
    pushed: null,
    pull_requests: [],
    budget: null,
    spent: { cost_micro_usd: 0, tokens: 0, time_ms: 0, tool_calls: 0 },
    day_spent: { day: 0, by: {} },
    last_event_ms: event.time_ms,
    usage: { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0 },
    cost_micro_usd: 0,
    forked_from: null,
    forks: [],
    rewound: null,
    parent: null,
    children: [],
  };
}

/** The state after a whole log. Throws where the events are not a log. */
export function fold(events: readonly Event[]): SessionState {
  const [first, ...rest] = events;
  const state = first && begin(first);
  if (!state) throw new Error("the log does not begin with session_created");
  for (const event of rest) {
    if (event.seq !== state.seq + 1) throw new Error(`event ${event.seq} follows event ${state.seq}`);
    apply(state, event);
  }
  return state;
}

/** Takes in the next event, changing `state`. An event that was taken in already changes nothing. */
export function apply(state: SessionState, event: Event): void {
  if (event.seq <= state.seq) return;
  state.seq = event.seq;
  charge(state, event);
  // What a fork copied happened before it began.
  state.updated_ms = Math.max(state.updated_ms, event.time_ms);
  state.last_event_ms = event.time_ms;
  applyBody(state, event.cause, event.body);
}

/** The turn that is running, if one is. */
export function openTurn(state: SessionState): TurnState | undefined {
  const last = state.turns.at(-1);
  return last && last.outcome === null ? last : undefined;
}

/** What the session's people are asked: the last turn that counts ended with it. */
export function question(state: SessionState): Question | undefined {
  const last = state.turns.findLast((turn) => !turn.undone);
  return (last?.outcome?.type === "done" && last.question) || undefined;
}

function applyBody(state: SessionState, cause: Cause, body: EventBody): void {
  switch (body.type) {
    case "session_created":
    case "model_retried":
    case "harness_started":
    case "model_fell_back":
    case "outputs_left_out":
    case "plugin_decided":
    case "push_refused":
    case "warning":
      return;
    case "participant_joined":
      state.participants.push(body.person);
      return;
    case "title_changed":
      state.title = body.title;
      state.title_from = cause.by === "user" ? "person" : "model";
      // Logs from before models wrote titles have no costs here.
      if (body.usage) addUsage(state.usage, body.usage);
      state.cost_micro_usd += body.cost_micro_usd ?? 0;
      return;
    case "prompt_added":
    case "prompt_cancelled":
    case "prompt_edited":
    case "prompt_moved":
    case "steer_requested":
    case "prompt_steered":
    case "queue_paused":
    case "queue_resumed":
      applyToQueue(state, cause, body);
      return;
    case "turn_started":
      settlePrompt(state, body.prompt, "taken");
      state.turns.push({
        id: body.turn,
        prompt: body.prompt,
        steered: [],
        steps: 0,
        gateway_requests: 0,
        resumes: 0,
        stop_requested_by: null,
        paused: null,
        question: null,
        outcome: null,
        undone: false,
      });
      state.status = "running";
      return;
    case "turn_resumed": {
      const turn = turnOf(state, body.turn);
      if (turn) turn.resumes += 1;
      return;
    }
    case "question_asked": {
      const turn = turnOf(state, body.turn);
      if (turn) turn.question = body.question;
      return;
    }
    case "turn_paused": {
      const turn = turnOf(state, body.turn);
      if (turn) turn.paused = body.exhausted;
      state.status = "paused";
      return;
    }
    case "turn_continued": {
      const turn = turnOf(state, body.turn);
      if (turn) turn.paused = null;
      state.status = "running";
      return;
    }
    case "budget_changed":
      state.budget = body.budget;
      return;
    case "stop_requested": {
      const turn = turnOf(state, body.turn);
      if (turn) turn.stop_requested_by ??= body.by;
      // Logs from before sessions had children do not say how far a stop goes.
      if (body.reach !== "alone") stopChildren(state, body.by);
      return;
    }
    case "child_of":
    case "child_spawned":
    case "child_reported":
      applyToFamily(state, body);
      return;
    case "turn_ended":
      endTurn(state, body.turn, body.outcome);
      return;
    case "sandbox_changed":
      state.sandbox = body.phase;
      if (body.phase === "ready") delete state.image_commit;
      return;
    case "model_requested": {
      const turn = turnOf(state, body.turn);
      if (turn) {
        turn.steps = body.step;
        // It was cut off while it asked, and goes on.
        turn.question = null;
      }
      return;
    }
    case "gateway_requested": {
      const turn = turnOf(state, body.turn);
      if (turn) turn.gateway_requests = body.request;
      return;
    }
    case "conversation_summarized":
    case "gateway_replied":
      if (!isCopied(state, state.seq)) {
        addUsage(state.usage, body.usage);
        state.cost_micro_usd += body.cost_micro_usd ?? 0;
      }
      return;
    case "model_replied":
      if (!isCopied(state, state.seq)) {
        addUsage(state.usage, body.usage);
        state.cost_micro_usd += body.cost_micro_usd ?? 0;
      }
      for (const block of body.blocks) {
        if (block.type !== "tool_call") continue;
        state.open_calls.push({ turn: body.turn, call: block.call, name: block.name, started: false });
      }
      return;
    case "tool_started": {
      const open = state.open_calls.find((known) => known.turn === body.turn && known.call === body.call);
      if (open) {
        open.started = true;
        open.name = body.name;
      } else state.open_calls.push({ turn: body.turn, call: body.call, name: body.name, started: true });
      return;
    }
    case "tool_finished":
      state.open_calls = state.open_calls.filter((known) => known.turn !== body.turn || known.call !== body.call);
      return;
    case "image_chosen":
      state.image = body.image;
      if (body.commit === state.base_commit || state.forked_from) delete state.image_commit;
      else state.image_commit = body.commit;
      return;
    case "base_changed":
      state.base_commit = body.commit;
      state.base_changed = state.seq;
      delete state.image_commit;
      return;
    case "snapshot_taken": {
      const snapshot = { snapshot: body.snapshot, turn: body.turn, guarantee: body.guarantee };
      state.snapshots = [...state.snapshots, snapshot].slice(-STATE_SNAPSHOTS_MAX);
      return;
    }
    case "network_denied":
      state.denied = [...without(state.denied, body), { host: body.host, port: body.port }].slice(-STATE_PLACES_MAX);
      return;
    case "network_allowed":
      state.denied = without(state.denied, body);
      state.allowed.push({ host: body.host, port: body.port });
      return;
    case "todo_changed":
      state.todos = body.items;
      return;
    case "files_changed": {
      let count = Object.keys(state.files).length;
      for (const file of body.files) {
        const known = Object.hasOwn(state.files, file.path);
        if (!known && count >= STATE_FILES_MAX) continue;
        if (!known) count += 1;
        state.files[file.path] = file.kind;
      }
      return;
    }
    case "branch_pushed":
      // What a fork copied was pushed to another session's branch.
      if (!isCopied(state, state.seq)) state.pushed = body.new;
      return;
    case "pull_request_opened":
      state.pull_requests.push({
        number: body.number,
        title: body.title,
        author: body.author,
        url: body.url,
        status: "open",
        merge_commit: null,
        approved_by: [],
      });
      return;
    case "pull_request_changed": {
      const known = state.pull_requests.find((pull) => pull.number === body.number);
      if (known) changePullRequest(state, known, body.change);
      return;
    }
    case "forked_from":
      // Everybody who took part there is told by an event of their own, in the order in which they came.
      state.participants = [];
      // One that is copied is its source's.
      state.forked_from ??= { session: body.session, turn: body.turn, until: body.until };
      return;
    case "session_forked":
      state.forks.push({ session: body.into, turn: body.turn, purpose: body.purpose, kept: false });
      return;
    case "rewound":
      takeBack(state, body.to_turn, body.request_id);
      return;
    case "attempt_kept": {
      const fork = state.forks.find((known) => known.session === body.session);
      if (fork) fork.kept = true;
      return;
    }
    case "member_added":
      admit(state, body.person.user, body.role, body.invitation);
      return;
    case "role_changed":
      admit(state, body.user, body.role, body.invitation);
      return;
    case "member_removed":
      delete state.members[body.user];
      return;
    case "ownership_taken":
      admit(state, body.person.user, "owner", null);
      return;
    case "visibility_changed":
      state.visibility = body.visibility;
      return;
    case "invitation_made": {
      const { invitation: id, role, by, hash, expires_ms } = body;
      state.invitations_made = Math.max(state.invitations_made, id);
      const open = state.invitations.filter((known) => known.expires_ms > state.updated_ms);
      state.invitations = [...open, { id, role, by, hash, expires_ms }];
      return;
    }
    case "invitation_revoked":
      state.invitations = state.invitations.filter((known) => known.id !== body.invitation);
      return;
    case "session_archived":
      state.archived_ms = state.updated_ms;
      return;
    case "session_unarchived":
      state.archived_ms = null;
      return;
    case "session_deleted":
      state.deleted = { by: body.by, deleted_ms: state.updated_ms, purge_ms: body.purge_ms };
      return;
    case "session_restored":
      state.deleted = null;
      return;
    default:
      body satisfies never;
  }
}

/** Undoes the turns after one. What the files and the list of to-dos were then is said by the events that follow. */
function takeBack(state: SessionState, toTurn: TurnId, requestId: string): void {
  for (const turn of state.turns) if (turn.id > toTurn) turn.undone = true;
  const kept = state.snapshots.findLastIndex((snapshot) => snapshot.turn === toTurn);
  state.snapshots = state.snapshots.slice(0, kept + 1);
  state.files = {};
  state.todos = [];
  state.status = restingStatus(state);
  state.rewound = { to_turn: toTurn, request_id: requestId, seq: state.seq };
}

/** Whether an event was copied from the session that this one was forked from. */
export function isCopied(state: SessionState, seq: number): boolean {
  return state.forked_from !== null && seq <= state.forked_from.until;
}

/** Somebody has this role from now on. A link that made an owner does not make another. */
function admit(state: SessionState, user: UserId, role: SessionRole, invitation: InvitationId | null): void {
  state.members[user] = role;
  state.invitations = state.invitations.filter((known) => known.id !== invitation || known.role !== "owner");
}

function without(places: Place[], place: Place): Place[] {
  return places.filter((known) => known.host !== place.host || known.port !== place.port);
}

function turnOf(state: SessionState, turn: TurnId): TurnState | undefined {
  return state.turns.find((known) => known.id === turn);
}

function addUsage(sum: ModelUsage, usage: ModelUsage): void {
  sum.input_tokens += usage.input_tokens;
  sum.output_tokens += usage.output_tokens;
  sum.cache_read_tokens += usage.cache_read_tokens;
  sum.cache_write_tokens += usage.cache_write_tokens;
}

/** Adds what an event cost: the time since the event before it where a turn ran, a reply's tokens and price, a call that began. */
function charge(state: SessionState, event: Event): void {
  const body = event.body;
  const open = openTurn(state);
  const running = open && !open.paused ? open : undefined;
  // A title may come after the turn that it was written beside, and so may what came of a request that the turn's end cut off.
  const titled = body.type === "title_changed" && body.usage !== undefined && tokensOf(body.usage) > 0;
  const askedIn = body.type === "gateway_replied" ? turnOf(state, body.turn) : undefined;
  const turn = askedIn ?? running ?? (titled ? state.turns.at(-1) : undefined);
  if (!turn) return;
  const cost: Spent = { cost_micro_usd: 0, tokens: 0, time_ms: 0, tool_calls: 0 };
  // Before a resumption nothing ran since the event before: the server was down.
  if (running && body.type !== "turn_resumed") cost.time_ms = Math.min(Math.max(0, event.time_ms - state.last_event_ms), TURN_QUIET_MS_MAX);
  if (body.type === "model_replied" || body.type === "conversation_summarized" || body.type === "gateway_replied" || (body.type === "title_changed" && body.usage)) {
    cost.tokens = tokensOf(body.usage);
    cost.cost_micro_usd = body.cost_micro_usd ?? 0;
  }
  if (body.type === "tool_started") cost.tool_calls = 1;
  add(state.spent, cost);
  // What a fork copied counts against its own budget, but not against anybody's day a second time.
  if (isCopied(state, event.seq)) return;
  const author = state.prompts.find((prompt) => prompt.id === turn.prompt)?.author;
  if (author === undefined || !state.participants.some((person) => person.user === author)) return;
  const day = Math.floor(event.time_ms / DAY_MS);
  if (state.day_spent.day !== day) state.day_spent = { day, by: {} };
  const own = (state.day_spent.by[author] ??= { cost_micro_usd: 0, tokens: 0, time_ms: 0, tool_calls: 0 });
  add(own, cost);
}

function tokensOf(usage: ModelUsage): number {
  return usage.input_tokens + usage.output_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
}

function add(sum: Spent, cost: Spent): void {
  sum.cost_micro_usd += cost.cost_micro_usd;
  sum.tokens += cost.tokens;
  sum.time_ms += cost.time_ms;
  sum.tool_calls += cost.tool_calls;
}

function endTurn(state: SessionState, turn: TurnId, outcome: TurnOutcome): void {
  const known = turnOf(state, turn);
  if (known) {
    known.paused = null;
    known.outcome = outcome;
  }
  state.open_calls = state.open_calls.filter((open) => open.turn !== turn);
  state.status = outcome.type === "failed" ? "failed" : restingStatus(state);
}

function restingStatus(state: SessionState): SessionStatus {
  if (question(state)) return "asking";
  return state.pull_requests.at(-1)?.status === "merged" ? "merged" : "idle";
}

function changePullRequest(state: SessionState, known: PullRequestState, change: PullRequestChange): void {
  switch (change.type) {
    case "synchronized":
      break;
    case "reviewed":
      known.approved_by = known.approved_by.filter((approver) => approver !== change.by);
      if (change.verdict === "approved") known.approved_by.push(change.by);
      break;
    case "merged":
      known.status = "merged";
      known.merge_commit = change.commit;
      break;
    case "closed":
      known.status = "closed";
      break;
    case "reopened":
      known.status = "open";
      break;
    default:
      change satisfies never;
  }
  const resting = restingStatus(state);
  // A review or a push does not undo that the last turn failed; a merge ends the matter.
  if (state.status === "running" || state.status === "paused" || (state.status === "failed" && resting === "idle")) return;
  state.status = resting;
}
