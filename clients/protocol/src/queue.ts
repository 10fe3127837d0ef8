// The prompts of a session: those that wait, and what became of the others. The twin of crates/protocol/src/state/queue.rs.

import type { Cause, EventBody, PromptId, PromptState, PromptStatus, RequestId, SessionState, UserId } from "./generated.ts";
import { clip, fingerprint } from "./text.ts";

/** Requests about the queue whose ids the folded state remembers. */
const STATE_REQUESTS_MAX = 200;
/** How much of a prompt the folded state keeps once the prompt has run. */
const STATE_PROMPT_CHARS_MAX = 300;

/** What is said about prompts while they wait. */
type QueueBody = Extract<
  EventBody,
  {
    type:
      | "prompt_added"
      | "prompt_cancelled"
      | "prompt_edited"
      | "prompt_moved"
      | "steer_requested"
      | "prompt_steered"
      | "queue_paused"
      | "queue_resumed";
  }
>;

/** The prompts that wait, the next one first. */
export function queue(state: SessionState): PromptState[] {
  return state.waiting.map((id) => promptOf(state, id)).filter((prompt) => prompt !== undefined);
}

/** Takes in what happened to the queue. */
export function applyToQueue(state: SessionState, cause: Cause, body: QueueBody): void {
  switch (body.type) {
    case "prompt_added":
      state.prompts.push({
        id: body.prompt,
        request_id: body.request_id,
        author: body.author,
        text: body.text,
        fingerprint: fingerprint(body.text),
        edited_by: null,
        status: "queued",
      });
      state.waiting.push(body.prompt);
      return;
    case "prompt_cancelled":
      settlePrompt(state, body.prompt, "cancelled");
      // Logs from before cancelling had ids have none here.
      if (body.request_id && cause.by === "user") remember(state, body.request_id, cause.user, `cancel ${body.prompt}`);
      return;
    case "prompt_edited": {
      const known = promptOf(state, body.prompt);
      if (known) Object.assign(known, { text: body.text, edited_by: body.by });
      remember(state, body.request_id, body.by, `edit ${body.prompt} ${body.text}`);
      return;
    }
    case "prompt_moved": {
      const place = body.before === null ? "to the end" : `before ${body.before}`;
      movePrompt(state, body.prompt, body.before);
      remember(state, body.request_id, body.by, `move ${body.prompt} ${place}`);
      return;
    }
    case "steer_requested":
      steerPrompt(state, body.prompt);
      if (body.request_id !== null) remember(state, body.request_id, body.by, `steer ${body.prompt}`);
      return;
    case "prompt_steered":
      settlePrompt(state, body.prompt, "steered");
      for (const turn of state.turns.filter((known) => known.id === body.turn)) {
        turn.steered.push(body.prompt);
        turn.question = null;
      }
      return;
    case "queue_paused":
      state.queue_paused_by = body.by;
      return;
    case "queue_resumed":
      state.queue_paused_by = null;
      return;
    default:
      body satisfies never;
  }
}

/** A prompt that waits no more. */
export function settlePrompt(state: SessionState, prompt: PromptId, status: PromptStatus): void {
  state.waiting = state.waiting.filter((id) => id !== prompt);
  const known = promptOf(state, prompt);
  if (!known) return;
  known.status = status;
  known.text = clip(known.text, STATE_PROMPT_CHARS_MAX);
}

function movePrompt(state: SessionState, prompt: PromptId, before: PromptId | null): void {
  const rest = state.waiting.filter((id) => id !== prompt);
  const place = before === null ? -1 : rest.indexOf(before);
  state.waiting = rest.toSpliced(place < 0 ? rest.length : place, 0, prompt);
}

/** Behind those that wait to be said already, before all others. */
function steerPrompt(state: SessionState, prompt: PromptId): void {
  const rest = state.waiting.filter((id) => id !== prompt);
  const next = rest.findIndex((id) => promptOf(state, id)?.status !== "steering");
  state.waiting = rest.toSpliced(next < 0 ? rest.length : next, 0, prompt);
  const known = promptOf(state, prompt);
  if (known) known.status = "steering";
}

function remember(state: SessionState, request_id: RequestId, by: UserId, asked: string): void {
  state.requests = [...state.requests, { request_id, by, fingerprint: fingerprint(asked) }].slice(-STATE_REQUESTS_MAX);
}

function promptOf(state: SessionState, prompt: PromptId): PromptState | undefined {
  return state.prompts.find((known) => known.id === prompt);
}
