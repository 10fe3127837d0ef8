// The list of sessions, as its stream tells it: all of them, then what changes. A new connection tells all of them again, and what
// went away in between is told by its absence.

import type { Frame, SessionId, SessionSummary } from "./generated.ts";

export interface SessionList {
  /** What is shown; `undefined` until everything was told once. */
  shown: Map<SessionId, SessionSummary> | undefined;
  /** What a new connection has told so far; `undefined` once it has told everything. */
  coming: Map<SessionId, SessionSummary> | undefined;
}

export function emptyList(): SessionList {
  return { shown: undefined, coming: new Map() };
}

/** A new connection begins. What was shown stays until it has told everything. */
export function tellAnew(list: SessionList): void {
  list.coming = new Map();
}

/** Takes in a frame; gives whether something else is to be shown now. */
export function takeList(list: SessionList, frame: Frame): boolean {
  const into = list.coming ?? list.shown;
  switch (frame.frame) {
    case "session_changed":
      into?.set(frame.summary.id, frame.summary);
      return list.coming === undefined;
    case "session_unlisted":
      into?.delete(frame.id);
      return list.coming === undefined;
    case "list_complete":
      if (list.coming) list.shown = list.coming;
      list.coming = undefined;
      return true;
    default:
      return false;
  }
}

/** What lists show: neither what was put away nor what was deleted; the newest first. */
export function listed(list: SessionList): SessionSummary[] | undefined {
  if (!list.shown) return undefined;
  const current = [...list.shown.values()].filter((session) => session.archived_ms === null && session.deleted === null);
  return current.toSorted((a, b) => b.updated_ms - a.updated_ms);
}
