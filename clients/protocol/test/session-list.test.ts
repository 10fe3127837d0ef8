import { expect, test } from "vitest";
import type { Frame, SessionSummary } from "../src/generated.ts";
import { emptyList, listed, takeList, tellAnew } from "../src/session-list.ts";

function summary(id: string, updated_ms: number, more: Partial<SessionSummary> = {}): SessionSummary {
  return {
    id, repo: "demo/x", title: id, owner: "jane", status: "idle", created_ms: 1, updated_ms, pull_request: null, visibility: "team", members: {},
    archived_ms: null, deleted: null, ...more,
  };
}

const changed = (...of: Parameters<typeof summary>): Frame => ({ frame: "session_changed", summary: summary(...of) });
const complete: Frame = { frame: "list_complete" };

test("nothing is shown before all were told; then the newest first, and every change", () => {
  const list = emptyList();
  expect([changed("a", 1), changed("b", 2)].map((frame) => takeList(list, frame))).toEqual([false, false]);
  expect(listed(list)).toBeUndefined();
  expect(takeList(list, complete)).toBe(true);
  expect(listed(list)?.map((session) => session.id)).toEqual(["b", "a"]);
  expect(takeList(list, changed("a", 3))).toBe(true);
  expect(listed(list)?.map((session) => session.id)).toEqual(["a", "b"]);
  expect(takeList(list, { frame: "session_unlisted", id: "b" })).toBe(true);
  expect(listed(list)?.map((session) => session.id)).toEqual(["a"]);
  expect(takeList(list, { frame: "cursor", seq: 1 })).toBe(false);
});

test("what was put away or deleted is not listed", () => {
  const list = emptyList();
  const frames = [changed("a", 1), changed("b", 2, { archived_ms: 3 }), changed("c", 3, { deleted: { by: "jane", deleted_ms: 4, purge_ms: 5 } }), complete];
  for (const frame of frames) takeList(list, frame);
  expect(listed(list)?.map((session) => session.id)).toEqual(["a"]);
});

test("a new connection replaces what is shown once it has told everything", () => {
  const list = emptyList();
  for (const frame of [changed("a", 1), changed("b", 2), complete]) takeList(list, frame);
  tellAnew(list);
  expect(takeList(list, changed("b", 4))).toBe(false);
  expect(listed(list)?.map((session) => session.id)).toEqual(["b", "a"]);
  takeList(list, changed("c", 3));
  expect(takeList(list, complete)).toBe(true);
  expect(listed(list)?.map((session) => session.id)).toEqual(["b", "c"]);
});
