// What a session knows of those that its agent began, and of the one whose agent began it. The twin of crates/protocol/src/state/children.rs.

import type { ChildPhase, ChildState, EventBody, SessionState, UserId } from "./generated.ts";
import { clip } from "./text.ts";

/** Sessions below one that a person began. */
const DESCENDANTS_MAX = 64;
/** How much of a child's last words the folded state keeps. */
const WORDS_CHARS_MAX = 300;

/** What is said about a session's family. */
type FamilyBody = Extract<EventBody, { type: "child_of" | "child_spawned" | "child_reported" }>;

/** Whether a child's last turn is over. */
export function isOver(phase: ChildPhase): boolean {
  switch (phase) {
    case "working":
    case "paused":
      return false;
    case "done":
    case "asking":
    case "stopped":
    case "failed":
      return true;
  }
}

/** Takes in what happened in the family. */
export function applyToFamily(state: SessionState, body: FamilyBody): void {
  switch (body.type) {
    case "child_of":
      state.parent = { session: body.parent, turn: body.turn, call: body.call, depth: body.depth, files: body.files ?? "branch" };
      return;
    case "child_spawned":
      if (state.children.length >= DESCENDANTS_MAX || childOf(state, body.child)) return;
      state.children.push({
        session: body.child,
        turn: body.turn,
        call: body.call,
        repo: body.repo,
        title: body.title,
        share: body.share,
        phase: "working",
        words: "",
        pull_request: null,
        spent: { cost_micro_usd: 0, tokens: 0, time_ms: 0, tool_calls: 0 },
        as_of: 0,
        stop_requested_by: null,
      });
      return;
    case "child_reported": {
      const known = childOf(state, body.child);
      if (!known) return;
      known.phase = body.phase;
      known.words = clip(body.words, WORDS_CHARS_MAX);
      known.pull_request = body.pull_request;
      known.spent = body.spent;
      known.as_of = body.as_of;
      if (isOver(body.phase)) known.stop_requested_by = null;
    }
  }
}

/** Notes that those at work are to be stopped too. */
export function stopChildren(state: SessionState, by: UserId): void {
  for (const child of state.children) if (!isOver(child.phase)) child.stop_requested_by ??= by;
}

function childOf(state: SessionState, session: string): ChildState | undefined {
  return state.children.find((known) => known.session === session);
}
