import { once } from "node:events";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WebSocket as NodeSocket, WebSocketServer, type WebSocket as ServerSocket } from "ws";
import { follow, type Follower, type StreamStatus } from "../src/follow.ts";
import type { Frame } from "../src/generated.ts";

const socket = NodeSocket as unknown as new (url: string) => WebSocket;

let server: WebSocketServer;
let port: number;
let followers: Follower[];

beforeEach(async () => {
  server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  port = (server.address() as { port: number }).port;
  followers = [];
});

afterEach(async () => {
  for (const follower of followers) follower.close();
  for (const client of server.clients) client.terminate();
  await new Promise((done) => server.close(done));
});

function event(seq: number): Frame {
  return { frame: "event", event: { seq, time_ms: seq, cause: { by: "system" }, body: { type: "warning", text: `${seq}` } } };
}

/** Answers the n-th connection with the n-th script; a script gets the cursor and sends what it likes. */
function serve(...scripts: Array<(send: (frame: Frame) => void, after: number, client: ServerSocket) => void>): number[] {
  const cursors: number[] = [];
  server.on("connection", (client, request) => {
    const after = Number(new URL(request.url ?? "", "http://x").searchParams.get("after"));
    const script = scripts[Math.min(cursors.length, scripts.length - 1)];
    cursors.push(after);
    script?.((frame) => client.send(JSON.stringify(frame)), after, client);
  });
  return cursors;
}

/** Follows until event `last` was handed on; gives the numbers in the order of their coming. */
async function read(last: number, options: { refused?: () => Promise<boolean> } = {}): Promise<{ seqs: number[]; statuses: StreamStatus[] }> {
  const seqs: number[] = [];
  const statuses: StreamStatus[] = [];
  await new Promise<void>((done) => {
    const follower = follow({
      url: (after) => `ws://127.0.0.1:${port}/stream?after=${after}`,
      after: 0,
      onFrames: (frames) => {
        for (const frame of frames) if (frame.frame === "event") seqs.push(frame.event.seq);
        if ((seqs.at(-1) ?? 0) >= last) done();
      },
      onStatus: (status) => {
        statuses.push(status);
        if (status === "refused") done();
      },
      schedule: (flush) => void setImmediate(flush),
      socket,
      random: () => 0,
      ...options,
    });
    followers.push(follower);
  });
  return { seqs, statuses };
}

const upTo = (n: number): number[] => Array.from({ length: n }, (_, index) => index + 1);

test("a stream that is cut again and again gives every event once, in order", async () => {
  const cursors = serve((send, after, client) => {
    for (let seq = after + 1; seq <= after + 7; seq += 1) send(event(seq));
    // Cut without a farewell, once what was sent has left.
    client.ping("", false, () => client.terminate());
  });
  const { seqs } = await read(40);
  expect(seqs.slice(0, 40)).toStrictEqual(upTo(40));
  expect(cursors.length).toBeGreaterThan(4);
  expect(cursors.toSorted((a, b) => a - b)).toStrictEqual(cursors);
});

test("events that come twice are handed on once", async () => {
  serve((send) => [1, 2, 2, 1, 3, 3, 4].forEach((seq) => send(event(seq))));
  expect((await read(4)).seqs).toStrictEqual([1, 2, 3, 4]);
});

test("a gap makes it connect again from before the gap", async () => {
  const cursors = serve(
    (send) => [1, 2, 5, 6].forEach((seq) => send(event(seq))),
    (send, after) => [1, 2, 3, 4].forEach((step) => send(event(after + step))),
  );
  expect((await read(6)).seqs).toStrictEqual([1, 2, 3, 4, 5, 6]);
  expect(cursors).toStrictEqual([0, 2]);
});

test("bye makes it come back with its cursor", async () => {
  const cursors = serve(
    (send) => [event(1), { frame: "caught_up", seq: 1 } as Frame, { frame: "bye", reason: "restart" } as Frame, event(2)].forEach(send),
    (send) => [event(2), event(3)].forEach(send),
  );
  const { seqs, statuses } = await read(3);
  expect(seqs).toStrictEqual([1, 2, 3]);
  expect(cursors).toStrictEqual([0, 1]);
  expect(statuses).toStrictEqual(["connecting", "catching_up", "live", "waiting", "connecting", "catching_up"]);
});

test("a list that was told is live, and what a cut connection told comes before the next one", async () => {
  const frames: Array<Frame["frame"] | StreamStatus> = [];
  serve(
    (send, _after, client) => { send({ frame: "session_unlisted", id: "a" }); client.ping("", false, () => client.terminate()); },
    (send) => send({ frame: "list_complete" }),
  );
  await new Promise<void>((done) => {
    const follower = follow({
      url: (after) => `ws://127.0.0.1:${port}/stream?after=${after}`,
      after: 0,
      onFrames: (some) => frames.push(...some.map((frame) => frame.frame)),
      onStatus: (status) => { frames.push(status); if (status === "live") done(); },
      // Later than the next connection.
      schedule: (flush) => void setTimeout(flush, 2000),
      socket,
      random: () => 0,
    });
    followers.push(follower);
  });
  expect(frames).toStrictEqual(["connecting", "catching_up", "session_unlisted", "waiting", "connecting", "catching_up", "live"]);
});

test("a server that is away is tried again until it is back", async () => {
  const away = port;
  await new Promise((done) => server.close(done));
  const reading = read(2);
  server = new WebSocketServer({ port: away, host: "127.0.0.1" });
  serve((send) => [event(1), event(2)].forEach(send));
  expect((await reading).seqs).toStrictEqual([1, 2]);
});

test("a refusal ends it", async () => {
  await new Promise((done) => server.close(done));
  const { seqs, statuses } = await read(1, { refused: () => Promise.resolve(true) });
  expect(seqs).toStrictEqual([]);
  expect(statuses).toStrictEqual(["connecting", "waiting", "refused"]);
  server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
});
