import { expect, test } from "vitest";
import type { Frame } from "../src/generated.ts";
import { emptyRoom, stillTyping, takeRoom } from "../src/room.ts";

const jane = { user: "jane", name: "Jane Doe", connections: 1 };
const rob = { user: "rob", name: "Rob", connections: 2 };

test("who is there follows from everybody and from what changed", () => {
  const frames: Frame[] = [
    { frame: "presence", scope: "everybody", people: [rob, jane], total: 2 },
    { frame: "presence", scope: "changed", people: [{ ...rob, connections: 1 }, { user: "zoe", name: "Zoe", connections: 1 }], total: 3 },
    { frame: "presence", scope: "changed", people: [{ ...jane, connections: 0 }], total: 2 },
    { frame: "text_reset", turn: 1, step: 1 },
  ];
  const room = frames.reduce((before, frame) => takeRoom(before, frame, 0), emptyRoom());
  expect(room).toEqual({ people: [{ ...rob, connections: 1 }, { user: "zoe", name: "Zoe", connections: 1 }], total: 2, typing: [] });
});

test("typing holds for a while, or until it was said", () => {
  const typing = (user: string): Frame => ({ frame: "typing", user, name: user, for_ms: 5000 });
  let room = takeRoom(takeRoom(emptyRoom(), typing("jane"), 1000), typing("rob"), 2000);
  room = takeRoom(room, typing("jane"), 4000);
  expect(room.typing.map(({ user, until }) => [user, until])).toEqual([["rob", 7000], ["jane", 9000]]);
  expect(stillTyping(room, 6999)).toBe(room);
  expect(stillTyping(room, 7000).typing.map(({ user }) => user)).toEqual(["jane"]);
  const said: Frame = { frame: "event", event: { seq: 1, time_ms: 1, cause: { by: "user", user: "jane" }, body: { type: "warning", text: "" } } };
  expect(takeRoom(room, said, 5000).typing.map(({ user }) => user)).toEqual(["rob"]);
});
