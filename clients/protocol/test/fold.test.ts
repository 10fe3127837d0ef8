import { readFileSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { apply, begin, fold } from "../src/fold.ts";
import type { Event, SessionState } from "../src/generated.ts";
import { clip, dropBytes, fingerprint } from "../src/text.ts";

const folder = new URL("../../../crates/protocol/fixtures/", import.meta.url);
const fixtures = readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .map((name) => ({ name, ...(JSON.parse(readFileSync(new URL(name, folder), "utf8")) as { about: string; events: Event[]; state: SessionState }) }));

test("the fixtures are there", () => {
  expect(fixtures.length).toBeGreaterThanOrEqual(8);
});

describe.each(fixtures)("$name: $about", ({ events, state }) => {
  test("folds to the state that Rust folds it to", () => {
    expect(fold(events)).toStrictEqual(state);
  });

  test("folds to the same when everything comes twice and in overlapping pages", () => {
    const first = events[0];
    const folded = first && begin(first);
    if (!folded) throw new Error("no beginning");
    for (let page = 0; page < events.length; page += 3) {
      for (const event of events.slice(Math.max(0, page - 5), page + 3)) {
        apply(folded, event);
        apply(folded, event);
      }
    }
    expect(folded).toStrictEqual(state);
  });
});

test("what is no log is refused", () => {
  const events = fixtures[0]?.events ?? [];
  expect(() => fold([])).toThrow("does not begin");
  expect(() => fold(events.slice(1))).toThrow("does not begin");
  expect(() => fold(events.filter((event) => event.seq !== 3))).toThrow("event 4 follows event 2");
});

test("text is measured in characters and bytes as Rust does", () => {
  expect(clip("🧮🧮🧮", 2)).toBe("🧮🧮…");
  expect(clip("🧮🧮", 2)).toBe("🧮🧮");
  expect(dropBytes("größe", 4)).toBe("ße");
  expect(fingerprint("")).toBe("cbf29ce484222325");
  expect(fingerprint("foobar")).toBe("85944171f73967e8");
});
