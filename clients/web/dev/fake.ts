// A server that speaks the API from memory, for working on the pages without a built hangar. It plays the logs under
// crates/protocol/fixtures as sessions; a prompt plays the turn of `prompt-to-merge` at a human pace. It is a tool of
// development: nothing of it is in the app, and the end-to-end tests that count run against the real server.

import { readFileSync, readdirSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import { fold } from "../../protocol/src/fold.ts";
import type { Cause, Event, EventBody, Frame, Me, PullRequestState, PullRequestView, RefusalCode, SessionDiff, SessionState, SessionSummary, TokenInfo } from "../../protocol/src/generated.ts";
import { byteLength } from "../../protocol/src/text.ts";
import { SAMPLE_DIFF } from "./sample-diff.ts";

class No extends Error {
  constructor(readonly status: number, readonly code: RefusalCode, message: string, readonly hint: string) {
    super(message);
  }
}

const FIXTURES = new URL("../../../crates/protocol/fixtures/", import.meta.url);

function fixture(name: string): Event[] {
  return (JSON.parse(readFileSync(new URL(name, FIXTURES), "utf8")) as { events: Event[] }).events;
}

/** A session: its log, and those who follow it. */
class Session {
  readonly followers = new Set<(frame: Frame) => void>();
  stopping: string | null = null;
  reviews: PullRequestView["reviews"] = [];
  body = "Refuses version numbers such as `01.2.3`, as [SemVer 2.0.0](https://semver.org/#spec-item-2) asks.\n\n- parser changed\n- test added";

  constructor(readonly log: Event[], readonly changed: (session: Session) => void) {}

  get state(): SessionState {
    return fold(this.log);
  }

  append(cause: Cause, body: EventBody): void {
    const event: Event = { seq: this.log.length + 1, time_ms: Date.now(), cause, body };
    this.log.push(event);
    this.send({ frame: "event", event });
    this.changed(this);
  }

  send(frame: Frame): void {
    for (const follower of this.followers) follower(frame);
  }
}

export class Fake {
  readonly sessions = new Map<string, Session>();
  readonly users: Me[] = [
    { user: "ada", name: "Ada Lovelace", email: "ada@example.com", role: "owner" },
  ];
  readonly codes = new Map([["ada", "ada"]]);
  readonly repos = ["demo/semver", "demo/semver-phone", "acme/website"];
  tokens: TokenInfo[] = [];
  #next = 1;
  readonly #sockets = new WebSocketServer({ noServer: true });
  /** Those who follow the list. */
  readonly #lists = new Set<(frame: Frame) => void>();
  readonly #changed = (session: Session): void => {
    for (const give of this.#lists) give({ frame: "session_changed", summary: summary(session.state) });
  };

  /** @param pace How many times faster than a human pace turns are played. */
  constructor(readonly pace: number) {
    for (const name of readdirSync(FIXTURES)) {
      const log = fixture(name);
      const shift = Date.now() - (log.at(-1)?.time_ms ?? 0) - (name.length % 7) * 3_600_000;
      const moved = log.map((event) => ({ ...event, time_ms: event.time_ms + shift }));
      this.sessions.set(fold(moved).id, new Session(moved, this.#changed));
    }
    this.sessions.set("large00000", new Session(largeLog(10_000), this.#changed));
  }

  answer = (request: IncomingMessage, response: ServerResponse): void => {
    this.#answer(request, response).catch((thrown: unknown) => {
      const no = thrown instanceof No ? thrown : new No(500, "internal", String(thrown), "");
      send(response, no.status, { error: { code: no.code, message: no.message, hint: no.hint } });
    });
  };

  upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (request.url === "/api/v1/stream?list=true" && this.#who(request)) {
      this.#sockets.handleUpgrade(request, socket, head, (client: WebSocket) => {
        const give = (frame: Frame): void => client.send(JSON.stringify(frame));
        for (const session of this.sessions.values()) give({ frame: "session_changed", summary: summary(session.state) });
        give({ frame: "list_complete" });
        this.#lists.add(give);
        client.on("close", () => this.#lists.delete(give));
      });
      return;
    }
    const found = /^\/api\/v1\/sessions\/([a-z0-9]+)\/stream\?after=(\d+)(?:&presence=true)?$/.exec(request.url ?? "");
    const session = found?.[1] === undefined ? undefined : this.sessions.get(found[1]);
    if (!session || !this.#who(request)) {
      socket.end("HTTP/1.1 404 Not Found\r\n\r\n");
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (client: WebSocket) => {
      const give = (frame: Frame): void => client.send(JSON.stringify(frame));
      const after = Number(found?.[2] ?? 0);
      for (const event of session.log.slice(after)) give({ frame: "event", event });
      give({ frame: "caught_up", seq: session.log.length });
      session.followers.add(give);
      client.on("close", () => session.followers.delete(give));
    });
  };

  #who(request: IncomingMessage): Me | undefined {
    const token = /^Bearer hgr_fake0*(\d+)$/.exec(request.headers.authorization ?? "")?.[1];
    if (token !== undefined) return this.tokens.some((known) => known.id === Number(token)) ? this.users[0] : undefined;
    const login = /hangar_session=(\w+)/.exec(request.headers.cookie ?? "")?.[1];
    return this.users.find((user) => user.user === login);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://fake");
    const path = url.pathname.replace(/^\/api\/v1/, "");
    const route = `${request.method} ${path}`;
    const body = (await readBody(request)) as Record<string, unknown>;
    if (request.method !== "GET" && request.headers["x-hangar"] !== "1") throw new No(403, "forbidden", "The request did not come from hangar's page.", "Send the header X-Hangar: 1.");
    if (route === "POST /sign-in") {
      const login = this.codes.get(String(body["code"]));
      if (login === undefined) throw new No(401, "unauthenticated", "This sign-in link is not valid any more.", "Each link works once. Ask an owner for a new one.");
      // A link works once; that of the developer, any number of times.
      if (login !== "ada") this.codes.delete(String(body["code"]));
      response.setHeader("set-cookie", `hangar_session=${login}; HttpOnly; SameSite=Strict; Path=/`);
      return send(response, 204);
    }
    const who = this.#who(request);
    if (!who) throw new No(401, "unauthenticated", "Nobody is signed in.", "Open a sign-in link.");
    const by: Cause = { by: "user", user: who.user };
    switch (route) {
      case "GET /me": return send(response, 200, who);
      case "POST /sign-out":
        response.setHeader("set-cookie", "hangar_session=; Max-Age=0; Path=/");
        return send(response, 204);
      case "GET /users": return send(response, 200, this.users);
      case "POST /users":
        if (who.role !== "owner") throw new No(403, "forbidden", "Only owners can add people.", "Ask an owner of this server.");
        if (this.users.some((user) => user.user === body["user"])) throw new No(409, "conflict", `There is already somebody called ${String(body["user"])}.`, "Choose another login.");
        this.users.push(body as unknown as Me);
        this.codes.set(`code-${String(body["user"])}`, String(body["user"]));
        return send(response, 201, { url: `http://${request.headers.host ?? ""}/sign-in#code-${String(body["user"])}`, expires_ms: Date.now() + 86_400_000 });
      case "GET /tokens": return send(response, 200, this.tokens);
      case "POST /tokens": {
        const info = { id: this.#next++, label: String(body["label"]), created_ms: Date.now(), used_ms: null };
        this.tokens.push(info);
        return send(response, 201, { ...info, secret: `hgr_fake${String(info.id).padStart(32, "0")}` });
      }
      case "GET /repos": return send(response, 200, this.repos.map((repo) => ({ repo, default_branch: "main", clone_url: `http://fake/git/${repo}.git`, created_ms: 0 })));
      case "POST /repos":
        if (!/^[\w.-]+\/[\w.-]+$/.test(String(body["repo"]))) throw new No(400, "bad_request", `${JSON.stringify(body["repo"])} is not a repository.`, "Write it as owner/name, for example acme/website.");
        this.repos.push(String(body["repo"]));
        return send(response, 201, { repo: body["repo"], default_branch: "main", clone_url: "", created_ms: 0 });
      case "GET /agents": return send(response, 200, []);
      case "GET /models": return send(response, 200, [{ id: "scripted/demo", note: "A scripted model: it plays a recorded transcript. Set ANTHROPIC_API_KEY or OPENAI_API_KEY for a real one.", default: true }]);
      case "GET /sessions": return send(response, 200, [...this.sessions.values()].map((session) => summary(session.state)));
      case "POST /sessions": return this.#create(response, who, body);
    }
    const token = /^DELETE \/tokens\/(\d+)$/.exec(route);
    if (token) {
      this.tokens = this.tokens.filter((known) => known.id !== Number(token[1]));
      return send(response, 204);
    }
    const link = /^POST \/users\/([\w-]+)\/sign-in-link$/.exec(route);
    if (link?.[1] !== undefined) {
      this.codes.set(`again-${link[1]}`, link[1]);
      return send(response, 201, { url: `http://${request.headers.host ?? ""}/sign-in#again-${link[1]}`, expires_ms: Date.now() + 86_400_000 });
    }
    const parts = /^\/sessions\/([a-z0-9]+)(\/.*)?$/.exec(path);
    const session = parts?.[1] === undefined ? undefined : this.sessions.get(parts[1]);
    if (!session) throw new No(404, "not_found", "There is no such session, or you may not see it.", "Look at the list of sessions.");
    return this.#ofSession(request.method ?? "", parts?.[2] ?? "", session, who, by, body, response);
  }

  #create(response: ServerResponse, who: Me, body: Record<string, unknown>): void {
    const id = `s${Date.now().toString(36)}${this.#next++}`;
    const prompt = body["prompt"] as { text: string } | null;
    const session = new Session([], this.#changed);
    this.sessions.set(id, session);
    const { role: _, ...owner } = who;
    session.append({ by: "user", user: who.user }, {
      type: "session_created", session: id, owner, repo: String(body["repo"]), base_branch: "main",
      base_commit: "4f2d9c0e7b1a4d5f8c3e6a7b9d0f1e2c3a4b5d6e", branch: `hangar/${id}`, model: "scripted/demo", title: (prompt?.text ?? "New session").split("\n")[0]?.slice(0, 80) ?? "",
    });
    if (prompt) this.#prompt(session, who, prompt as { text: string; request_id: string | null });
    send(response, 201, summary(session.state));
  }

  #prompt(session: Session, who: Me, prompt: { text: string; request_id: string | null }): number {
    const state = session.state;
    const known = state.prompts.find((candidate) => candidate.request_id === prompt.request_id);
    if (known) return known.id;
    if (!state.participants.some((person) => person.user === who.user)) {
      const { role: _, ...person } = who;
      session.append({ by: "user", user: who.user }, { type: "participant_joined", person });
    }
    const id = state.prompts.length + 1;
    session.append({ by: "user", user: who.user }, { type: "prompt_added", prompt: id, request_id: prompt.request_id ?? `s-${id}`, author: who.user, text: prompt.text });
    if (state.status !== "running") void this.#play(session);
    return id;
  }

  async #ofSession(method: string, rest: string, session: Session, who: Me, by: Cause, body: Record<string, unknown>, response: ServerResponse): Promise<void> {
    const state = session.state;
    const pull = state.pull_requests.at(-1);
    const cancel = /^\/prompts\/(\d+)$/.exec(rest);
    if (method === "DELETE" && cancel) {
      session.append(by, { type: "prompt_cancelled", prompt: Number(cancel[1]), request_id: null });
      return send(response, 204);
    }
    if (method === "GET" && rest.startsWith("/blobs/")) {
      response.writeHead(200, { "content-type": "application/octet-stream" });
      response.end("the whole output\n".repeat(900));
      return;
    }
    switch (`${method} ${rest}`) {
      case "GET ": return send(response, 200, state);
      case "PATCH ":
        session.append(by, { type: "title_changed", title: String(body["title"]), usage: NO_USAGE, cost_micro_usd: null });
        return send(response, 200, summary(session.state));
      case "GET /events": return send(response, 200, { events: session.log, head: session.log.length });
      case "POST /prompts": {
        const id = this.#prompt(session, who, body as { text: string; request_id: string | null });
        return send(response, 202, { prompt: id, seq: session.log.length });
      }
      case "POST /stop": {
        const turn = state.turns.at(-1);
        if (!turn || turn.outcome !== null) throw new No(409, "conflict", "Nothing is running in this session.", "Send a prompt to begin a turn.");
        session.stopping = who.user;
        session.append(by, { type: "stop_requested", turn: turn.id, by: who.user, reach: "with_children" });
        return send(response, 202, { turn: turn.id });
      }
      case "GET /diff": return send(response, 200, Object.keys(state.files).length > 0 ? SAMPLE_DIFF : ({ files: [], omitted: 0 } satisfies SessionDiff));
      case "POST /pull-request": {
        if (pull?.status === "open") throw new No(409, "conflict", `Pull request #${pull.number} of this session is still open.`, "Merge or close it first.");
        if (Object.keys(state.files).length === 0) throw new No(409, "conflict", "This session has changed nothing yet.", "Ask the agent for a change first.");
        const number = (pull?.number ?? 0) + 1;
        session.body = String(body["body"] ?? "");
        session.append(by, { type: "pull_request_opened", number, title: String(body["title"] ?? state.title), author: who.user, url: `/s/${state.id}/pull-request` });
        return send(response, 201, session.state.pull_requests.at(-1));
      }
      case "GET /pull-request":
        if (!pull) throw new No(404, "not_found", "This session has no pull request yet.", "Open one.");
        return send(response, 200, this.#view(session, pull));
      case "POST /pull-request/reviews": {
        if (!pull) throw new No(404, "not_found", "This session has no pull request yet.", "Open one.");
        if (pull.author === who.user && body["verdict"] !== "comment") throw new No(409, "conflict", "Can not approve your own pull request.", "Somebody who did not ask for the change has to approve it.");
        const verdict = { approve: "approved", request_changes: "changes_requested", comment: "commented" }[String(body["verdict"])] ?? "commented";
        session.reviews.push({ by: who.user, verdict: verdict.toUpperCase(), body: String(body["body"]) });
        session.append({ by: "forge" }, { type: "pull_request_changed", number: pull.number, change: { type: "reviewed", by: who.user, verdict } });
        return send(response, 200, session.state.pull_requests.at(-1));
      }
      case "POST /pull-request/merge":
        if (pull?.status !== "open") throw new No(409, "conflict", "This pull request is not open.", "Nothing is left to merge.");
        session.append({ by: "forge" }, { type: "pull_request_changed", number: pull.number, change: { type: "merged", by: who.user, commit: "c73e5a7b9d1f3254e6a8b0c2d4f6e8a0b2c4d6f8" } });
        return send(response, 200, session.state.pull_requests.at(-1));
      default: throw new No(404, "not_found", `The fake has no ${method} ${rest}.`, "Add it in clients/web/dev/fake.ts.");
    }
  }

  #view(session: Session, pull: PullRequestState): PullRequestView {
    const { branch, base_branch } = session.state;
    return {
      ...pull, body: session.body,
      head_branch: branch, base_branch, mergeable: pull.status === "open" ? true : null,
      commits: [{ sha: "a91c3e5f7d2b4860c1e3f5a7b9d1c3e5f7a9b1d3", message: "Refuse leading zeroes in version numbers\n\nSemVer forbids them.", author_name: "Ada Lovelace", author_email: "ada@example.com" }],
      reviews: session.reviews, checks: [{ name: "cargo test", status: "success" }], diff: SAMPLE_DIFF,
    };
  }

  /** Plays the recorded turn for the oldest waiting prompt, and so on until none waits. */
  async #play(session: Session): Promise<void> {
    const recorded = fixture("prompt-to-merge.json");
    const begin = recorded.findIndex((event) => event.body.type === "turn_started");
    const end = recorded.findIndex((event) => event.body.type === "turn_ended");
    for (let next = waiting(session); next !== undefined; next = waiting(session)) {
      const turn = session.state.turns.length + 1;
      session.stopping = null;
      let before = recorded[begin]?.time_ms ?? 0;
      for (const event of recorded.slice(begin, end + 1)) {
        await this.#wait(Math.min(event.time_ms - before, 3000));
        before = event.time_ms;
        if (session.stopping !== null) break;
        const body = { ...event.body } as EventBody & { turn?: number; prompt?: number };
        if ("turn" in body) body.turn = turn;
        if (body.type === "turn_started") body.prompt = next;
        if (body.type === "model_replied") await this.#stream(session, turn, body);
        if (body.type === "tool_finished" && body.output.length > 200) {
          session.send({ frame: "tool_output", call: body.call, offset: 0, text: body.output.slice(0, 160) });
          await this.#wait(400);
        }
        session.append(event.cause.by === "turn" ? { by: "turn", turn } : event.cause, body);
      }
      if (session.stopping === null) continue;
      for (const open of session.state.open_calls.filter((call) => call.started)) {
        session.append({ by: "turn", turn }, { type: "tool_finished", turn, call: open.call, status: "interrupted", output: "Stopped.", blob: null, duration_ms: 300 });
      }
      session.append({ by: "turn", turn }, { type: "turn_ended", turn, outcome: { type: "stopped", by: session.stopping } });
    }
  }

  async #stream(session: Session, turn: number, body: Extract<EventBody, { type: "model_replied" }>): Promise<void> {
    for (const [index, block] of body.blocks.entries()) {
      if (block.type === "tool_call") continue;
      for (let at = 0; at < block.text.length && session.stopping === null; at += 9) {
        session.send({ frame: "text", turn, step: body.step, block: index, channel: block.type, offset: byteLength(block.text.slice(0, at)), text: block.text.slice(at, at + 9) });
        await this.#wait(35);
      }
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((done) => setTimeout(done, ms / this.pace));
  }
}

const NO_USAGE = { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0 };

function waiting(session: Session): number | undefined {
  return session.state.waiting[0];
}

function summary(state: SessionState): SessionSummary {
  const { id, repo, title, owner, status, created_ms, updated_ms, visibility, members, archived_ms, deleted } = state;
  return { id, repo, title, owner, status, created_ms, updated_ms, pull_request: state.pull_requests.at(-1) ?? null, visibility, members, archived_ms, deleted };
}

/** A session with very many tool calls. */
function largeLog(events: number): Event[] {
  const log = fixture("prompt-to-merge.json").slice(0, 6).map((event) => ({ ...event }));
  const first = log[0];
  if (first?.body.type === "session_created") first.body = { ...first.body, session: "large00000", title: "Ten thousand events" };
  const turn = { by: "turn", turn: 1 } as const;
  while (log.length < events) {
    const seq = log.length + 1;
    const call = `c${Math.floor(seq / 4)}`;
    const body: EventBody =
      seq % 4 === 0 ? { type: "tool_started", turn: 1, call, name: "bash", input: { command: `cargo test --test part_${seq}` } }
      : seq % 4 === 1 ? { type: "tool_finished", turn: 1, call, status: "ok", output: `test part_${seq} ... ok\n`, blob: null, duration_ms: seq % 900 }
      : seq % 4 === 2 ? { type: "model_requested", turn: 1, step: seq, model: "scripted/demo" }
      : { type: "model_replied", turn: 1, step: seq - 1, blocks: [{ type: "text", text: `Part **${seq}** passes. On to the next one.` }], usage: { input_tokens: 9, output_tokens: 9, cache_read_tokens: 0, cache_write_tokens: 0 }, cost_micro_usd: 3, stop: "tool_use", first_token_ms: 1, duration_ms: 2 };
    log.push({ seq, time_ms: 1_790_000_000_000 + seq, cause: turn, body });
  }
  log.push({ seq: log.length + 1, time_ms: 1_790_000_000_000 + log.length, cause: turn, body: { type: "turn_ended", turn: 1, outcome: { type: "done" } } });
  return log;
}

function send(response: ServerResponse, status: number, body?: unknown): void {
  response.writeHead(status, body === undefined ? {} : { "content-type": "application/json" });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text === "" ? {} : JSON.parse(text);
}
