// The REST API as functions. A refusal is thrown as `Refused` and says in words what happened and what to do.

import type {
  AgentInfo,
  BuildInfo,
  BuildLog,
  CreatedToken,
  EventPage,
  ImageInfo,
  InvitationView,
  Joined,
  Me,
  MergeMethod,
  ModelInfo,
  NewBuild,
  NewFork,
  NewPrompt,
  NewRepo,
  NewSession,
  NewUser,
  OpenPullRequest,
  Person,
  Place,
  PoolInfo,
  PromptAccepted,
  PromptId,
  PromptPatch,
  PullRequestState,
  PullRequestView,
  Refusal,
  RefusalCode,
  RepoInfo,
  RewindRequest,
  SandboxRetry,
  SavedPrompt,
  SessionDiff,
  SessionId,
  SessionState,
  SessionSummary,
  SignInLink,
  SteeredPrompt,
  StopAccepted,
  TokenInfo,
  Warm,
  Warming,
} from "./generated.ts";

/** The server said no, or could not be asked. */
export class Refused extends Error {
  readonly code: RefusalCode | "unreachable";
  readonly hint: string;

  constructor(code: RefusalCode | "unreachable", message: string, hint: string) {
    super(message);
    this.name = "Refused";
    this.code = code;
    this.hint = hint;
  }

  /** Any thrown thing as a refusal that can be shown. */
  static from(thrown: unknown): Refused {
    if (thrown instanceof Refused) return thrown;
    const words = thrown instanceof Error ? thrown.message : String(thrown);
    return new Refused("internal", `Something unexpected happened: ${words}.`, "Reload the page and try again.");
  }
}

/** A fresh id under which a command may be sent any number of times and is carried out once. */
export function requestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `web-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

type Verdict = "approve" | "request_changes" | "comment";

/** hangar's API at `base`, asked with the browser's cookie. */
export class Api {
  readonly #base: string;
  readonly #fetch: typeof fetch;

  constructor(base = "/api/v1", ask: typeof fetch = fetch) {
    this.#base = base;
    this.#fetch = ask;
  }

  me = (): Promise<Me> => this.#ask("GET", "/me");
  signIn = (code: string): Promise<void> => this.#ask("POST", "/sign-in", { code });
  signOut = (): Promise<void> => this.#ask("POST", "/sign-out");
  users = (): Promise<Array<Person & { role?: Me["role"] }>> => this.#ask("GET", "/users");
  addUser = (user: NewUser): Promise<SignInLink> => this.#ask("POST", "/users", user);
  signInLink = (user: string): Promise<SignInLink> => this.#ask("POST", `/users/${encodeURIComponent(user)}/sign-in-link`);
  tokens = (): Promise<TokenInfo[]> => this.#ask("GET", "/tokens");
  createToken = (label: string): Promise<CreatedToken> => this.#ask("POST", "/tokens", { label });
  deleteToken = (id: number): Promise<void> => this.#ask("DELETE", `/tokens/${id}`);
  repos = (): Promise<RepoInfo[]> => this.#ask("GET", "/repos");
  savedPrompts = (repo: string): Promise<SavedPrompt[]> => this.#ask("GET", `/repos/${repo}/prompts`);
  addRepo = (repo: NewRepo): Promise<RepoInfo> => this.#ask("POST", "/repos", repo);
  images = (): Promise<ImageInfo[]> => this.#ask("GET", "/images");
  builds = (): Promise<BuildInfo[]> => this.#ask("GET", "/images/builds");
  buildImage = (build: NewBuild): Promise<BuildInfo> => this.#ask("POST", "/images/builds", build);
  buildLog = (build: number, from: number): Promise<BuildLog> => this.#ask("GET", `/images/builds/${build}/log?from=${from}`);
  cancelBuild = (build: number): Promise<void> => this.#ask("DELETE", `/images/builds/${build}`);
  pool = (): Promise<PoolInfo> => this.#ask("GET", "/pool");
  warm = (warm: Warm): Promise<Warming> => this.#ask("POST", "/warm", warm);
  models = (): Promise<ModelInfo[]> => this.#ask("GET", "/models");
  /** The external agents; hangar's own has no entry. */
  agents = (): Promise<AgentInfo[]> => this.#ask("GET", "/agents");
  sessions = (): Promise<SessionSummary[]> => this.#ask("GET", "/sessions?limit=500");
  createSession = (session: NewSession): Promise<SessionSummary> => this.#ask("POST", "/sessions", session);
  session = (id: SessionId): Promise<SessionState> => this.#ask("GET", `/sessions/${id}`);
  rename = (id: SessionId, title: string): Promise<void> => this.#ask("PATCH", `/sessions/${id}`, { title });
  events = (id: SessionId, after: number, limit: number): Promise<EventPage> =>
    this.#ask("GET", `/sessions/${id}/events?after=${after}&limit=${limit}`);
  prompt = (id: SessionId, prompt: NewPrompt): Promise<PromptAccepted> => this.#ask("POST", `/sessions/${id}/prompts`, prompt);
  cancelPrompt = (id: SessionId, prompt: PromptId): Promise<void> => this.#ask("DELETE", `/sessions/${id}/prompts/${prompt}`);
  editPrompt = (id: SessionId, prompt: PromptId, patch: PromptPatch): Promise<void> => this.#ask("PATCH", `/sessions/${id}/prompts/${prompt}`, patch);
  steerPrompt = (id: SessionId, prompt: PromptId, steered: SteeredPrompt): Promise<void> => this.#ask("POST", `/sessions/${id}/prompts/${prompt}/steer`, steered);
  resume = (id: SessionId): Promise<void> => this.#ask("POST", `/sessions/${id}/resume`);
  lookAtInvitation = (id: SessionId, secret: string): Promise<InvitationView> =>
    this.#ask("POST", `/sessions/${encodeURIComponent(id)}/invitations/look`, { secret });
  join = (id: SessionId, secret: string): Promise<Joined> => this.#ask("POST", `/sessions/${encodeURIComponent(id)}/join`, { secret });
  stop = (id: SessionId): Promise<StopAccepted> => this.#ask("POST", `/sessions/${id}/stop`);
  fork = (id: SessionId, fork: NewFork): Promise<SessionSummary> => this.#ask("POST", `/sessions/${id}/forks`, fork);
  rewind = (id: SessionId, wish: RewindRequest): Promise<SessionState> => this.#ask("POST", `/sessions/${id}/rewind`, wish);
  continueTurn = (id: SessionId): Promise<void> => this.#ask("POST", `/sessions/${id}/continue`);
  retrySandbox = (id: SessionId, retry: SandboxRetry): Promise<void> => this.#ask("POST", `/sessions/${id}/sandbox/retry`, retry);
  allowNetwork = (id: SessionId, place: Place): Promise<void> => this.#ask("POST", `/sessions/${id}/network/allow`, place);
  diff = (id: SessionId): Promise<SessionDiff> => this.#ask("GET", `/sessions/${id}/diff`);
  pullRequest = (id: SessionId): Promise<PullRequestView> => this.#ask("GET", `/sessions/${id}/pull-request`);
  openPullRequest = (id: SessionId, pull: OpenPullRequest): Promise<PullRequestState> =>
    this.#ask("POST", `/sessions/${id}/pull-request`, pull);
  merge = (id: SessionId, method: MergeMethod): Promise<PullRequestState> =>
    this.#ask("POST", `/sessions/${id}/pull-request/merge`, { method });
  review = (id: SessionId, verdict: Verdict, body: string): Promise<void> =>
    this.#ask("POST", `/sessions/${id}/pull-request/reviews`, { verdict, body });

  /** The whole of something that was too large for its event, as text. */
  async blob(id: SessionId, sha256: string): Promise<string> {
    const answer = await this.#send("GET", `/sessions/${id}/blobs/${sha256}`);
    return answer.text();
  }

  /** Where the stream of a session after event `after` is, as a WebSocket address. Who opens it is shown to others as being there. */
  streamUrl(id: SessionId, after: number): string {
    return this.#socketUrl(`/sessions/${id}/stream?after=${after}&presence=true`);
  }

  /** Where the stream of the list of sessions is, as a WebSocket address. */
  listStreamUrl(): string {
    return this.#socketUrl("/stream?list=true");
  }

  #socketUrl(path: string): string {
    const url = new URL(this.#base + path, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return url.href;
  }

  async #ask<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    const answer = await this.#send(method, path, body);
    const text = await answer.text();
    return (text === "" ? undefined : JSON.parse(text)) as Answer;
  }

  async #send(method: string, path: string, body?: unknown): Promise<Response> {
    const headers: Record<string, string> = { accept: "application/json" };
    if (method !== "GET") headers["x-hangar"] = "1";
    if (body !== undefined) headers["content-type"] = "application/json";
    let answer: Response;
    try {
      const ask = this.#fetch;
      answer = await ask(this.#base + path, {
        method,
        headers,
        credentials: "same-origin",
        body: body === undefined ? null : JSON.stringify(body),
      });
    } catch {
      throw new Refused("unreachable", "hangar cannot be reached.", "Check the connection; what you wrote is kept, so you can send it again.");
    }
    if (answer.ok) return answer;
    throw await refusalOf(answer);
  }
}

async function refusalOf(answer: Response): Promise<Refused> {
  try {
    const { error } = (await answer.json()) as { error: Refusal };
    return new Refused(error.code, error.message, error.hint);
  } catch {
    // A proxy in between answers in its own words.
    const code = answer.status === 401 ? "unauthenticated" : answer.status >= 500 ? "unavailable" : "bad_request";
    return new Refused(code, `The server answered with status ${answer.status}.`, "Try again in a moment.");
  }
}
