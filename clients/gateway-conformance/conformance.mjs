// Asks models through hangar's gateway with Anthropic's and OpenAI's own libraries. Behind it stands aimock, which knows nothing of hangar and
// takes the one right key only.
//
// It writes the address of the services as its first line, reads one line of JSON with what it is to use, and writes at its end how much it has
// seen: {gateway, token, key} in, {checks, services} out.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import Anthropic from "@anthropic-ai/sdk";
import { LLMock } from "@copilotkit/aimock";
import OpenAI from "openai";

const KEY = process.env.SERVICE_KEY ?? assert.fail("SERVICE_KEY is not set");
const services = new LLMock({ port: 0, chunkSize: 3, auth: { apiKeys: [KEY] } });
const counted = { prompt_tokens: 11, completion_tokens: 7, input_tokens: 11, output_tokens: 7 };
const words = "Hi there, whoever asks.";
services.onMessage("hello", { content: words, usage: counted });
services.onMessage("weather", { toolCalls: [{ name: "weather", arguments: { city: "Berlin" } }], usage: counted });
services.onMessage("busy", { error: { message: "come back later", type: "rate_limit_error" }, status: 429, retryAfter: 7 });
await services.start();
console.log(services.url);
const { gateway, token } = JSON.parse(await new Promise((resolve) => createInterface({ input: process.stdin }).once("line", resolve)));

const anthropic = new Anthropic({ baseURL: `${gateway}/anthropic`, authToken: token, apiKey: null });
const openai = new OpenAI({ baseURL: `${gateway}/openai/v1`, apiKey: token });
const say = (content) => [{ role: "user", content }];
const message = (content, more = {}) => ({ model: "judged/claude", max_tokens: 100, messages: say(content), ...more });
const checks = [];
async function check(name, work) {
  try {
    await work();
    checks.push(name);
  } catch (error) {
    throw new Error(`${name}: ${error.message}`, { cause: error });
  }
}
async function refused(kind, status, text, call) {
  const error = await call.then(() => assert.fail(`expected ${status}`), (error) => error);
  assert.ok(error instanceof kind, `${error?.constructor?.name}: ${error?.message}`);
  assert.equal(error.status, status);
  assert.ok(error.message.includes(text), error.message);
  return error;
}

await check("Messages: a stream", async () => {
  const stream = anthropic.messages.stream(message("hello"));
  const pieces = [];
  stream.on("text", (piece) => pieces.push(piece));
  const whole = await stream.finalMessage();
  assert.equal(pieces.join(""), words);
  assert.ok(pieces.length > 3, "it comes in pieces");
  assert.deepEqual([whole.content[0].text, whole.usage.input_tokens, whole.usage.output_tokens], [words, 11, 7]);
});
await check("Messages: a whole reply, by the x-api-key header and the service's own name of the model", async () => {
  const keyed = new Anthropic({ baseURL: `${gateway}/anthropic`, apiKey: token, authToken: null });
  const whole = await keyed.messages.create(message("hello", { model: "claude" }));
  assert.deepEqual([whole.content[0].text, whole.model], [words, "claude"]);
});
await check("Messages: a call", async () => {
  const tools = [{ name: "weather", description: "The weather", input_schema: { type: "object", properties: { city: { type: "string" } } } }];
  const whole = await anthropic.messages.stream(message("weather", { tools })).finalMessage();
  assert.deepEqual([whole.stop_reason, whole.content[0].name, whole.content[0].input], ["tool_use", "weather", { city: "Berlin" }]);
});
await check("Messages: the models", async () => {
  const ids = [];
  for await (const model of anthropic.models.list()) ids.push(model.id);
  assert.deepEqual(ids, ["judged/claude"]);
});
await check("Responses: a stream", async () => {
  let text = "";
  let last;
  for await (const event of await openai.responses.create({ model: "judged/responses", input: "hello", stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
    last = event;
  }
  assert.deepEqual([text, last.type, last.response.usage.output_tokens], [words, "response.completed", 7]);
});
await check("Responses: a whole reply", async () => {
  assert.equal((await openai.responses.create({ model: "responses", input: "hello" })).output_text, words);
});
await check("chat completions: a stream whose count was not asked for", async () => {
  let text = "";
  for await (const chunk of await openai.chat.completions.create({ model: "judged/chat", messages: say("hello"), stream: true })) {
    assert.equal(chunk.choices.length, 1);
    text += chunk.choices[0].delta.content ?? "";
  }
  assert.equal(text, words);
});
await check("chat completions: a stream whose count was asked for", async () => {
  const chunks = [];
  const asked = { model: "chat", messages: say("hello"), stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await openai.chat.completions.create(asked)) chunks.push(chunk);
  assert.equal(chunks.at(-1).usage.completion_tokens, 7);
});
await check("chat completions: a whole reply", async () => {
  const whole = await openai.chat.completions.create({ model: "judged/chat", messages: say("hello") });
  assert.deepEqual([whole.choices[0].message.content, whole.usage.prompt_tokens], [words, 11]);
});
await check("OpenAI: the models", async () => {
  const ids = [];
  for await (const model of openai.models.list()) ids.push(model.id);
  assert.deepEqual(ids, ["judged/responses", "judged/chat", "judged/poor", "judged/idle", "judged/gone"]);
});
await check("a wrong token", async () => {
  const strangers = [new Anthropic({ baseURL: `${gateway}/anthropic`, apiKey: KEY, authToken: null }), new OpenAI({ baseURL: `${gateway}/openai/v1`, apiKey: KEY })];
  await refused(Anthropic.AuthenticationError, 401, "HANGAR_MODELS_TOKEN", strangers[0].messages.create(message("hello")));
  await refused(OpenAI.AuthenticationError, 401, "HANGAR_MODELS_TOKEN", strangers[1].responses.create({ model: "responses", input: "hello" }));
});
await check("a model that there is not, and one of another wire", async () => {
  await refused(Anthropic.NotFoundError, 404, "judged/claude", anthropic.messages.create(message("hello", { model: "none" })));
  await refused(Anthropic.BadRequestError, 400, "OpenAI Responses", anthropic.messages.create(message("hello", { model: "responses" })));
  const error = await refused(OpenAI.NotFoundError, 404, "judged/chat", openai.chat.completions.create({ model: "none", messages: say("hello") }));
  assert.equal(error.code, "model_not_found");
});
await check("a budget that is used up", async () => {
  await refused(OpenAI.APIError, 402, "used up", openai.responses.create({ model: "judged/poor", input: "hello" }));
});
await check("no turn", async () => {
  await refused(OpenAI.PermissionDeniedError, 403, "No turn", openai.responses.create({ model: "judged/idle", input: "hello" }));
});
await check("what a service would reach itself", async () => {
  const tools = [{ type: "web_search_20250305", name: "web_search" }];
  await refused(Anthropic.PermissionDeniedError, 403, "web_search_20250305", anthropic.messages.create(message("hello", { tools })));
  const search = { model: "responses", input: "hello", tools: [{ type: "web_search" }] };
  await refused(OpenAI.PermissionDeniedError, 403, "web_search", openai.responses.create(search));
});
await check("what is no path of a wire", async () => {
  await refused(OpenAI.NotFoundError, 404, "POST /openai/v1/embeddings", openai.embeddings.create({ model: "chat", input: "hello" }));
  await refused(Anthropic.NotFoundError, 404, "count_tokens", anthropic.messages.countTokens({ model: "claude", messages: say("hello") }));
});
await check("a service that is busy", async () => {
  const patient = anthropic.withOptions({ maxRetries: 0 });
  const error = await refused(Anthropic.RateLimitError, 429, "come back later", patient.messages.create(message("busy")));
  assert.equal(error.headers.get("retry-after"), "7");
});
await check("a service that is not there", async () => {
  const patient = openai.withOptions({ maxRetries: 0 });
  await refused(OpenAI.InternalServerError, 502, "cannot be reached", patient.responses.create({ model: "judged/gone", input: "hello" }));
});

const asked = services.getRequests();
for (const { headers } of asked) {
  const passed = Object.keys(headers).filter((name) => name.startsWith("x-stainless") || name === "user-agent");
  assert.deepEqual(passed.map((name) => headers[name].split("/")[0]), ["hangar"], "nothing that names the program is passed on");
}
await services.stop();
console.log(JSON.stringify({ checks: checks.length, services: asked.length }));
