// What a person reads of a session, in order: the log and the stream's hints, grouped into rows. A fold like that of the
// state; `takeFrame` changes the timeline it is given, so that it can run on a plain object or on a reactive store.

import type {
  BlobRef,
  ChildPhase,
  Event,
  EventBody,
  FileChange,
  Frame,
  HarnessMemory,
  Person,
  PromptId,
  PromptStatus,
  PullRequestChange,
  PullRequestState,
  RepoPath,
  SandboxPhase,
  Seq,
  SessionId,
  TextChannel,
  Question,
  TodoItem,
  ToolStatus,
  TurnId,
  TurnOutcome,
  UserId,
} from "./generated.ts";
import { byteLength, dropBytes } from "./text.ts";

/** Words or thoughts of a reply. `bytes` is how long `text` is in UTF-8: the place where the next delta must begin. */
export interface ReplyBlock {
  channel: TextChannel;
  text: string;
  bytes: number;
}

/** One answer of the model: streaming until `done`. Sparse while it streams: block numbers count tool calls too. */
export interface ReplyItem {
  kind: "reply";
  key: string;
  turn: TurnId;
  step: number;
  blocks: ReplyBlock[];
  done: boolean;
  time: number;
  retry: { attempt: number; wait_ms: number; reason: string; time: number } | null;
}

/** One tool call, from the model's asking to its end. */
export interface ToolItem {
  kind: "tool";
  key: string;
  turn: TurnId;
  call: string;
  name: string;
  input: unknown;
  status: "waiting" | "running" | ToolStatus;
  output: string;
  outputBytes: number;
  blob: BlobRef | null;
  started: number | null;
  duration_ms: number | null;
}

/** What the sandbox is doing; updated while it is being made. */
export interface SandboxItem {
  kind: "sandbox";
  key: string;
  phase: SandboxPhase;
  detail: string;
  duration_ms: number;
  time: number;
}

/** A place that the sandbox may not reach; counted on while nothing else happens. */
export interface DeniedItem {
  kind: "denied";
  key: string;
  host: string;
  port: number;
  reason: string;
  approvable: boolean;
  count: number;
  time: number;
}

export type TimelineItem =
  | ReplyItem
  | ToolItem
  | { kind: "prompt"; key: string; prompt: PromptId; author: UserId; text: string; time: number; status: PromptStatus }
  | { kind: "turn_end"; key: string; turn: TurnId; outcome: TurnOutcome; started: number; time: number; tools: number }
  | { kind: "resumed"; key: string; reason: string; time: number }
  | { kind: "queue"; key: string; paused: boolean; by: UserId; time: number }
  | { kind: "stop"; key: string; by: UserId; time: number }
  | SandboxItem
  | { kind: "files"; key: string; files: FileChange[]; more: number; time: number }
  | { kind: "todo"; key: string; items: TodoItem[]; time: number }
  | { kind: "question"; key: string; question: Question; time: number }
  | { kind: "pushed"; key: string; branch: string; commit: string; time: number }
  | { kind: "refused"; key: string; reason: string; time: number }
  | { kind: "image"; key: string; image: string; commit: string; age_ms: number; time: number }
  | DeniedItem
  | { kind: "base"; key: string; commit: string; by: UserId; time: number }
  | { kind: "allowed"; key: string; host: string; port: number; by: UserId; time: number }
  | { kind: "pull"; key: string; number: number; title: string; author: UserId; time: number }
  | { kind: "pull_change"; key: string; number: number; change: PullRequestChange; time: number }
  | { kind: "joined"; key: string; person: Person; time: number }
  | { kind: "title"; key: string; title: string; by: UserId | null; time: number }
  | { kind: "origin"; key: string; session: SessionId; turn: TurnId; time: number }
  | { kind: "fork"; key: string; session: SessionId; turn: TurnId; attempt: number | null; time: number }
  | { kind: "parent"; key: string; session: SessionId; time: number }
  | { kind: "child"; key: string; session: SessionId; repo: RepoPath; title: string; time: number }
  | { kind: "child_news"; key: string; session: SessionId; phase: ChildPhase; words: string; pull: PullRequestState | null; time: number }
  | { kind: "rewound"; key: string; turn: TurnId; by: UserId | null; time: number }
  | { kind: "kept"; key: string; session: SessionId; time: number }
  | { kind: "people"; key: string; change: PeopleChange; by: UserId | null; time: number }
  | { kind: "note"; key: string; text: string; time: number }
  | { kind: "warning"; key: string; text: string; time: number };

/** Who may do what, and where the session is kept. */
export type PeopleChange = Extract<
  EventBody,
  {
    type:
      | "member_added"
      | "role_changed"
      | "member_removed"
      | "ownership_taken"
      | "visibility_changed"
      | "invitation_made"
      | "invitation_revoked"
      | "session_archived"
      | "session_unarchived"
      | "session_deleted"
      | "session_restored";
  }
>;

/** The rows, and what is needed to find the one that the next frame belongs to. */
export interface Timeline {
  items: TimelineItem[];
  /** The last event that was taken in. */
  seq: Seq;
  /** When the running turn began; `null` between turns. */
  turnStarted: number | null;
  /** The last turn that an external agent works on, and when its program had started. */
  harness: { turn: TurnId; time: number } | null;
}

/** What an external agent knows of what was said before, for people. */
const KNOWS: Record<HarnessMemory, string> = { new: "", loaded: ", with its own conversation", told: ", told what was said before" };

/** A timeline of which nothing has been read. */
export function emptyTimeline(): Timeline {
  return { items: [], seq: 0, turnStarted: null, harness: null };
}

/** How far back a row is looked for. Rows that change are near the end: a turn has far fewer open calls. */
const LOOK_BACK = 2000;

/** Takes in a frame. Frames that were taken in already, or that a gap makes useless, change nothing. */
export function takeFrame(timeline: Timeline, frame: Frame): void {
  switch (frame.frame) {
    case "event":
      if (frame.event.seq <= timeline.seq) return;
      timeline.seq = frame.event.seq;
      takeEvent(timeline, frame.event);
      return;
    case "text":
      takeText(timeline, frame);
      return;
    case "text_reset": {
      const reply = openReply(timeline, frame.turn, frame.step);
      if (reply) reply.blocks = [];
      return;
    }
    case "tool_output": {
      const tool = last(timeline, (item): item is ToolItem => item.kind === "tool" && item.call === frame.call);
      if (!tool || tool.duration_ms !== null) return;
      const fresh = unseen(tool.outputBytes, frame.offset, frame.text);
      if (fresh === "") return;
      tool.output += fresh;
      tool.outputBytes += byteLength(fresh);
      return;
    }
    case "caught_up":
    case "cursor":
    case "presence":
    case "typing":
    case "session_changed":
    case "session_unlisted":
    case "list_complete":
    case "refused":
    case "bye":
      return;
    default:
      frame satisfies never;
  }
}

/** The part of `text`, which begins at byte `offset`, that lies behind the `known` bytes; nothing where some are missing between. */
function unseen(known: number, offset: number, text: string): string {
  if (offset > known) return "";
  return offset === known ? text : dropBytes(text, known - offset);
}

function takeText(timeline: Timeline, frame: Extract<Frame, { frame: "text" }>): void {
  const reply = openReply(timeline, frame.turn, frame.step) ?? harnessReply(timeline, frame.turn, frame.step);
  if (!reply) return;
  while (reply.blocks.length <= frame.block) {
    // Blocks in between are tool calls, which stream nothing: they stay empty and are not shown.
    reply.blocks.push({ channel: frame.channel, text: "", bytes: 0 });
  }
  const block = reply.blocks[frame.block];
  if (!block) return;
  const fresh = unseen(block.bytes, frame.offset, frame.text);
  if (fresh === "") return;
  block.channel = frame.channel;
  block.text += fresh;
  block.bytes += byteLength(fresh);
  reply.retry = null;
}

/** The row of an external agent's reply, which nothing announces; none for what came late of one that is done. */
function harnessReply(timeline: Timeline, turn: TurnId, step: number): ReplyItem | undefined {
  if (timeline.harness?.turn !== turn) return undefined;
  const before = last(timeline, (item): item is ReplyItem => item.kind === "reply" && item.turn === turn);
  if (before && before.step >= step) return undefined;
  const { time } = timeline.harness;
  timeline.items.push({ kind: "reply", key: `t${turn}.${step}`, turn, step, blocks: [], done: false, time, retry: null });
  return openReply(timeline, turn, step);
}

/** The reply that is being written, if it is this one: replies come one after the other, so only the newest can be. */
function openReply(timeline: Timeline, turn: TurnId, step: number): ReplyItem | undefined {
  const reply = last(timeline, (item): item is ReplyItem => item.kind === "reply");
  return reply && !reply.done && reply.turn === turn && reply.step === step ? reply : undefined;
}

function last<Item extends TimelineItem>(timeline: Timeline, fits: (item: TimelineItem) => item is Item): Item | undefined {
  const stop = Math.max(0, timeline.items.length - LOOK_BACK);
  for (let index = timeline.items.length - 1; index >= stop; index -= 1) {
    const item = timeline.items[index];
    if (item && fits(item)) return item;
  }
  return undefined;
}

function takeEvent(timeline: Timeline, event: Event): void {
  const { body, time_ms: time } = event;
  const key = `e${event.seq}`;
  const add = (item: TimelineItem): void => {
    timeline.items.push(item);
  };
  const newest = timeline.items.at(-1);
  switch (body.type) {
    case "session_created":
      return;
    case "participant_joined":
      return add({ kind: "joined", key, person: body.person, time });
    case "title_changed":
      return add({ kind: "title", key, title: body.title, by: event.cause.by === "user" ? event.cause.user : null, time });
    case "prompt_added":
      return add({ kind: "prompt", key, prompt: body.prompt, author: body.author, text: body.text, time, status: "queued" });
    case "prompt_cancelled":
      settlePrompt(timeline, body.prompt, "cancelled");
      return;
    case "prompt_edited": {
      const known = promptOf(timeline, body.prompt);
      if (known) known.text = body.text;
      return;
    }
    case "steer_requested":
      settlePrompt(timeline, body.prompt, "steering");
      return;
    case "prompt_steered":
      hearPrompt(timeline, body.prompt, "steered");
      return;
    // The queue's order is shown with the queue.
    case "prompt_moved":
      return;
    case "queue_paused":
      return add({ kind: "queue", key, paused: true, by: body.by, time });
    case "queue_resumed":
      return add({ kind: "queue", key, paused: false, by: body.by, time });
    case "turn_started":
      timeline.turnStarted = time;
      hearPrompt(timeline, body.prompt, "taken");
      return;
    case "turn_resumed": {
      // What a reply had said when the server died was never written down: it is asked for again, in a row of its own.
      const lost = last(timeline, (item): item is ReplyItem => item.kind === "reply");
      if (lost && !lost.done) Object.assign(lost, { blocks: [], done: true, retry: null });
      return add({ kind: "resumed", key, reason: body.reason, time });
    }
    case "turn_paused":
      return add({ kind: "warning", key, text: body.exhausted.reason, time });
    case "turn_continued":
      return add({ kind: "note", key, text: "The turn goes on", time });
    case "budget_changed":
      return add({ kind: "note", key, text: "The session has another budget", time });
    case "stop_requested":
      return add({ kind: "stop", key, by: body.by, time });
    case "turn_ended":
      endTurn(timeline, body.turn, body.outcome, key, time);
      return;
    case "sandbox_changed": {
      // The row that says that it is being made, or synced, becomes the one that says how that ended.
      const known = last(timeline, (item): item is SandboxItem => item.kind === "sandbox");
      if (known?.phase !== "preparing" && known?.phase !== "syncing") {
        return add({ kind: "sandbox", key, phase: body.phase, detail: body.detail, duration_ms: body.duration_ms, time });
      }
      known.phase = body.phase;
      known.detail = body.detail;
      known.duration_ms = body.duration_ms;
      return;
    }
    case "model_requested": {
      // A request that is asked again after a restart continues in its row: what it had said before is void.
      const known = openReply(timeline, body.turn, body.step);
      if (known) known.blocks = [];
      else add({ kind: "reply", key, turn: body.turn, step: body.step, blocks: [], done: false, time, retry: null });
      return;
    }
    case "model_retried": {
      const reply = openReply(timeline, body.turn, body.step);
      if (!reply) return;
      reply.blocks = [];
      reply.retry = { attempt: body.attempt, wait_ms: body.wait_ms, reason: body.reason, time };
      return;
    }
    case "model_fell_back": {
      const reply = openReply(timeline, body.turn, body.step);
      if (reply) reply.retry = null;
      return add({ kind: "warning", key, text: `${body.reason} The turn goes on with ${body.to}.`, time });
    }
    case "outputs_left_out":
      return add({ kind: "note", key, text: "Outputs of older calls are left out of what the model reads", time });
    case "conversation_summarized":
      return add({ kind: "note", key, text: "The model goes on from a summary of the conversation", time });
    case "harness_started":
      // Its replies have no request of hangar's before them: their text begins them.
      timeline.harness = { turn: body.turn, time };
      return add({ kind: "note", key, text: `${body.program || body.agent} works on it${KNOWS[body.memory]}`, time });
    // The program that asked shows what it was answered.
    case "gateway_requested":
      return;
    case "gateway_replied":
      if (body.outcome.type === "failed") {
        add({ kind: "warning", key, text: `A program in the sandbox got no answer of a model: ${body.outcome.reason}`, time });
      }
      return;
    case "model_replied":
      takeReply(timeline, body, key, time);
      return;
    case "tool_started": {
      const tool = openTool(timeline, body.turn, body.call);
      if (tool) {
        tool.status = "running";
        tool.started = time;
        tool.name = body.name;
        tool.input = body.input;
        return;
      }
      return add({ ...newTool(key, body.turn, body.call, body.name, body.input), status: "running", started: time });
    }
    case "tool_finished": {
      const tool = openTool(timeline, body.turn, body.call);
      if (!tool) return;
      tool.status = body.status;
      tool.output = body.output;
      tool.outputBytes = 0;
      // What an image shows is no text to read.
      tool.blob = body.image ? null : body.blob;
      tool.duration_ms = body.duration_ms;
      return;
    }
    case "plugin_decided":
      return add({ kind: body.decision.type === "denied" || body.decision.type === "failed" ? "warning" : "note", key, text: decided(body), time });
    case "todo_changed":
      if (newest?.kind === "todo") newest.items = body.items;
      else add({ kind: "todo", key, items: body.items, time });
      return;
    case "question_asked":
      return add({ kind: "question", key, question: body.question, time });
    case "files_changed":
      if (newest?.kind === "files") {
        const named = new Set(body.files.map((file) => file.path));
        newest.files = [...newest.files.filter((file) => !named.has(file.path)), ...body.files];
        newest.more += body.more;
        return;
      }
      return add({ kind: "files", key, files: body.files, more: body.more, time });
    case "branch_pushed":
      return add({ kind: "pushed", key, branch: body.branch, commit: body.new, time });
    case "push_refused":
      return add({ kind: "refused", key, reason: body.reason, time });
    case "image_chosen":
      return add({ kind: "image", key, image: body.image, commit: body.commit, age_ms: body.age_ms, time });
    case "base_changed":
      return add({ kind: "base", key, commit: body.commit, by: body.by, time });
    // One comes after every turn: what it is good for is shown at the turn's end.
    case "snapshot_taken":
      return;
    case "network_denied":
      if (newest?.kind === "denied" && newest.host === body.host && newest.port === body.port) {
        newest.count += body.count;
        return;
      }
      return add({ kind: "denied", key, host: body.host, port: body.port, reason: body.reason, approvable: body.approvable, count: body.count, time });
    case "network_allowed":
      return add({ kind: "allowed", key, host: body.host, port: body.port, by: body.by, time });
    case "pull_request_opened":
      return add({ kind: "pull", key, number: body.number, title: body.title, author: body.author, time });
    case "pull_request_changed":
      return add({ kind: "pull_change", key, number: body.number, change: body.change, time });
    case "forked_from":
      return add({ kind: "origin", key, session: body.session, turn: body.turn, time });
    case "session_forked": {
      const attempt = body.purpose.type === "attempt" ? body.purpose.round : null;
      return add({ kind: "fork", key, session: body.into, turn: body.turn, attempt, time });
    }
    case "child_of":
      return add({ kind: "parent", key, session: body.parent, time });
    case "child_spawned":
      return add({ kind: "child", key, session: body.child, repo: body.repo, title: body.title, time });
    case "child_reported":
      return add({ kind: "child_news", key, session: body.child, phase: body.phase, words: body.words, pull: body.pull_request, time });
    case "rewound":
      return add({ kind: "rewound", key, turn: body.to_turn, by: event.cause.by === "user" ? event.cause.user : null, time });
    case "attempt_kept":
      return add({ kind: "kept", key, session: body.session, time });
    case "member_added":
    case "role_changed":
    case "member_removed":
    case "ownership_taken":
    case "visibility_changed":
    case "invitation_made":
    case "invitation_revoked":
    case "session_archived":
    case "session_unarchived":
    case "session_deleted":
    case "session_restored":
      return add({ kind: "people", key, change: body, by: event.cause.by === "user" ? event.cause.user : null, time });
    case "warning":
      return add({ kind: "warning", key, text: body.text, time });
    default:
      body satisfies never;
  }
}

/** What a plugin did, in a sentence. */
function decided({ plugin, hook, decision }: Extract<EventBody, { type: "plugin_decided" }>): string {
  switch (decision.type) {
    case "replaced":
      return hook === "tool.execute.after" ? `${plugin} changed what a call gave` : `${plugin} changed a call`;
    case "denied":
      return `${plugin} refused: ${decision.words}`;
    case "asked":
      return `${plugin} wants a person to decide: ${decision.words}`;
    case "permitted":
      return `${plugin} lets a call pass that a person allowed`;
    case "injected":
      return `${plugin} tells the agent: ${decision.text}`;
    case "failed": {
      const then = decision.on_failure === "closed" ? "so it was refused" : "and was passed over";
      return `${plugin} failed at ${hook}, ${then}: ${decision.reason}`;
    }
  }
}

function newTool(key: string, turn: TurnId, call: string, name: string, input: unknown): ToolItem {
  return {
    kind: "tool",
    key,
    turn,
    call,
    name,
    input,
    status: "waiting",
    output: "",
    outputBytes: 0,
    blob: null,
    started: null,
    duration_ms: null,
  };
}

function openTool(timeline: Timeline, turn: TurnId, call: string): ToolItem | undefined {
  return last(
    timeline,
    (item): item is ToolItem => item.kind === "tool" && item.turn === turn && item.call === call && item.duration_ms === null,
  );
}

function settlePrompt(timeline: Timeline, prompt: PromptId, status: PromptStatus): void {
  const known = promptOf(timeline, prompt);
  if (known) known.status = status;
}

function promptOf(timeline: Timeline, prompt: PromptId): Extract<TimelineItem, { kind: "prompt" }> | undefined {
  return timeline.items.find(
    (item): item is Extract<TimelineItem, { kind: "prompt" }> => item.kind === "prompt" && item.prompt === prompt,
  );
}

/** A prompt that waited moves down to where the agent hears it: what is read below it is the answer to it. */
function hearPrompt(timeline: Timeline, prompt: PromptId, status: "taken" | "steered"): void {
  const known = promptOf(timeline, prompt);
  if (!known) return;
  known.status = status;
  if (timeline.items.at(-1)?.key === known.key) return;
  const rest = timeline.items.filter((item) => item.key !== known.key);
  timeline.items = [...rest, known];
}

function takeReply(timeline: Timeline, body: Extract<Event["body"], { type: "model_replied" }>, key: string, time: number): void {
  let reply = openReply(timeline, body.turn, body.step);
  if (!reply) {
    timeline.items.push({ kind: "reply", key, turn: body.turn, step: body.step, blocks: [], done: false, time, retry: null });
    reply = openReply(timeline, body.turn, body.step);
    if (!reply) return;
  }
  reply.done = true;
  reply.retry = null;
  body.blocks.forEach((block, index) => {
    const text = block.type === "tool_call" ? "" : block.text;
    const channel = block.type === "reasoning" ? "reasoning" : "text";
    const known = reply.blocks[index];
    // The block that was streamed is kept where it was right, so that nothing on the screen is drawn again.
    if (!known) reply.blocks.push({ channel, text, bytes: 0 });
    else if (known.text !== text || known.channel !== channel) Object.assign(known, { text, channel });
    if (block.type === "tool_call") {
      timeline.items.push(newTool(`${key}.${index}`, body.turn, block.call, block.name, block.input));
    }
  });
  if (reply.blocks.length > body.blocks.length) reply.blocks = reply.blocks.slice(0, body.blocks.length);
}

function endTurn(timeline: Timeline, turn: TurnId, outcome: TurnOutcome, key: string, time: number): void {
  let tools = 0;
  for (let index = timeline.items.length - 1; index >= 0; index -= 1) {
    const item = timeline.items[index];
    if (!item || item.kind === "turn_end") break;
    if (item.kind === "reply" && item.turn === turn && !item.done) item.done = true;
    if (item.kind !== "tool" || item.turn !== turn) continue;
    tools += 1;
    if (item.duration_ms === null) {
      item.status = "interrupted";
      item.duration_ms = item.started === null ? 0 : time - item.started;
    }
  }
  timeline.items.push({ kind: "turn_end", key, turn, outcome, started: timeline.turnStarted ?? time, time, tools });
  timeline.turnStarted = null;
}
