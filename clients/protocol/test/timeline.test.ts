import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Event, Frame } from "../src/generated.ts";
import { emptyTimeline, takeFrame, type Timeline } from "../src/timeline.ts";

function log(name: string): Event[] {
  const file = new URL(`../../../crates/protocol/fixtures/${name}.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { events: Event[] }).events;
}

function read(frames: Frame[]): Timeline {
  const timeline = emptyTimeline();
  for (const frame of frames) takeFrame(timeline, frame);
  return timeline;
}

const asFrames = (events: Event[]): Frame[] => events.map((event) => ({ frame: "event", event }));
const text = (offset: number, words: string, block = 0): Frame => ({
  frame: "text", turn: 1, step: 1, block, channel: "text", offset, text: words,
});

test("a whole session reads in the order in which it happened", () => {
  const rows = read(asFrames(log("prompt-to-merge"))).items.map((item) =>
    item.kind === "tool" ? `${item.kind} ${item.name} ${item.status}` : item.kind);
  expect(rows).toStrictEqual([
    "prompt", "sandbox", "reply", "tool list ok", "tool read ok", "reply", "tool todo ok", "tool edit ok", "todo", "files",
    "reply", "tool todo ok", "tool write ok", "tool bash ok", "todo", "files", "todo", "reply", "tool bash ok", "pushed", "reply", "todo",
    "turn_end", "pull", "joined", "pull_change", "pull_change", "sandbox",
  ]);
});

test("a queued prompt moves to where its turn begins, a cancelled one stays and says so", () => {
  const rows = read(asFrames(log("queue-and-cancel"))).items.flatMap((item) =>
    item.kind === "prompt" ? [`${item.prompt} ${item.status}`] : item.kind === "turn_end" ? ["end"] : []);
  expect(rows).toStrictEqual(["1 taken", "3 cancelled", "4 queued", "end", "2 taken"]);
});

test("calls that a stop or a crash cut off do not stay open", () => {
  for (const name of ["stop", "resumed-after-crash"]) {
    const tools = read(asFrames(log(name))).items.filter((item) => item.kind === "tool");
    expect(tools.slice(0, -1).concat(name === "stop" ? tools.slice(-1) : []).map((tool) => tool.status)).not.toContain("running");
  }
});

test("deltas that come twice, overlap or leave a gap change nothing that is not theirs", () => {
  const start = log("stop").slice(0, 4);
  const timeline = read([
    ...asFrames(start),
    text(0, "grö"), text(0, "grö"), text(2, "ößer"), text(6, "!"), text(40, "lost"), text(0, "größer!?"),
  ]);
  expect(timeline.items.at(-1)).toMatchObject({ kind: "reply", done: false, blocks: [{ text: "größer!?", bytes: 10 }] });
});

test("the words of an external agent stream without a request before them, and stay where they were", () => {
  const events = log("external-agent");
  const upTo = (seq: number): Frame[] => asFrames(events.filter((event) => event.seq <= seq));
  const streamed = read([...upTo(5), text(0, "Two comm"), text(0, "Two comm")]);
  expect(streamed.items.at(-1)).toMatchObject({ kind: "reply", done: false, blocks: [{ text: "Two comm" }] });
  const whole = read([...upTo(5), text(0, "Two comm"), ...asFrames(events), text(0, "late")]);
  expect(whole.items.map((item) => (item.kind === "tool" ? `tool ${item.status}` : item.kind))).toStrictEqual([
    "prompt", "note", "reply", "tool ok", "reply", "tool ok", "reply", "turn_end",
  ]);
  expect(whole.items[2]).toMatchObject({ done: true, blocks: [{ text: "Two commands." }, { text: "" }] });
});

test("a reset voids what was shown and the text comes anew", () => {
  const start = log("stop").slice(0, 4);
  const timeline = read([...asFrames(start), text(0, "half"), { frame: "text_reset", turn: 1, step: 1 }, text(0, "whole")]);
  expect(timeline.items.at(-1)).toMatchObject({ blocks: [{ text: "whole" }] });
});

test("what a reply had said when the server died is void, as it is for who reads it later", () => {
  const start = log("stop").slice(0, 4);
  const at = { seq: 5, time_ms: 9, cause: { by: "system" } } as const;
  const after: Event[] = [
    { ...at, body: { type: "turn_resumed", turn: 1, reason: "killed" } },
    { ...at, seq: 6, body: { type: "model_requested", turn: 1, step: 1, model: "m" } },
  ];
  const seen = read([...asFrames(start), text(0, "half a sen"), ...asFrames(after), text(0, "A whole sentence.")]);
  const later = read([...asFrames(start), ...asFrames(after), text(0, "A whole sentence.")]);
  expect(seen).toStrictEqual(later);
  expect(seen.items.at(-1)).toMatchObject({ kind: "reply", done: false, blocks: [{ text: "A whole sentence." }] });
});

test("the complete reply replaces the streamed one; late deltas and doubles are ignored", () => {
  const events = log("stop");
  const streamed = read([...asFrames(events.slice(0, 4)), text(0, "I'll time"), ...asFrames(events.slice(0, 5)), text(9, " it")]);
  expect(streamed.items.filter((item) => item.kind === "reply")).toMatchObject([
    { done: true, blocks: [{ text: "I'll time a clean build." }, { text: "" }] },
  ]);
  expect(streamed.items.filter((item) => item.kind === "tool")).toHaveLength(1);
});

test("output of a running tool grows and is replaced by the event that ends it", () => {
  const events = log("stop");
  const output = (offset: number, words: string): Frame => ({ frame: "tool_output", call: "toolu_01", offset, text: words });
  const running = read([...asFrames(events.slice(0, 6)), output(0, "Compiling "), output(5, "ling hangar"), output(99, "?")]);
  expect(running.items.at(-1)).toMatchObject({ status: "running", output: "Compiling hangar" });
  const ended = read([...asFrames(events.slice(0, 6)), output(0, "x"), ...asFrames(events.slice(6, 9)), output(1, "y")]);
  expect(ended.items.find((item) => item.kind === "tool")).toMatchObject({ status: "interrupted", output: "   Compiling proc-macro2 v1.0.94\n" });
});

test("ten thousand events are read in no time that a reader would notice", () => {
  const first = log("stop").slice(0, 5);
  const many: Event[] = [...first];
  while (many.length < 10_000) {
    const seq = many.length + 1;
    const call = `c${seq - (seq % 2)}`;
    const base = { seq, time_ms: seq, cause: { by: "turn", turn: 1 } } as const;
    many.push(seq % 2 === 0
      ? { ...base, body: { type: "tool_started", turn: 1, call, name: "bash", input: {} } }
      : { ...base, body: { type: "tool_finished", turn: 1, call, status: "ok", output: "", blob: null, duration_ms: 1 } });
  }
  const began = performance.now();
  const timeline = read(asFrames(many));
  expect(performance.now() - began).toBeLessThan(2000);
  expect(timeline.items.length).toBeGreaterThan(4900);
});
