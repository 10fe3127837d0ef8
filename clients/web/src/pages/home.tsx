// What to do next, and what is being done.

import { A, useNavigate } from "@solidjs/router";
import type { ModelInfo, SessionSummary } from "@hangar/protocol";
import { Button, Dialog, EmptyState, ErrorNote, Field, Icon, Inline, Loading, Select, When } from "@hangar/ui";
import { createEffect, createMemo, createSignal, For, type JSX, onMount, Show } from "solid-js";
import { api } from "../account.tsx";
import { createAction } from "../action.ts";
import { createDraft } from "../drafts.ts";
import { createFetched } from "../fetched.ts";
import { offerKeys } from "../keys.ts";
import { createSessionList } from "../session-list.ts";
import { PromptBox } from "../session/prompt-box.tsx";
import { SessionBadge } from "../status.tsx";
import { warmWhileTyping } from "../warm.ts";

export function Home(): JSX.Element {
  const list = createSessionList();
  onMount(() => { document.title = "hangar"; });
  return (
    <main class="page home" id="content">
      <NewSession />
      <ErrorNote problem={list.problem()} onRetry={list.nudge} />
      <Show when={list.sessions()} fallback={<Show when={!list.problem()}><Loading label="Loading sessions" /></Show>}>
        {(sessions) => <SessionList sessions={sessions()} />}
      </Show>
    </main>
  );
}

const REPO_KEY = "hangar.repo";
const AGENT_KEY = "hangar.agent";
/** What a list of agents calls the one that has no entry in it. */
const OWN_AGENT = "hangar";

function NewSession(): JSX.Element {
  const navigate = useNavigate();
  const repos = createFetched(() => api.repos());
  const models = createFetched(() => api.models());
  const agents = createFetched(() => api.agents());
  const [text, setText] = createDraft("new");
  const [repo, setRepo] = createSignal<string | null>(localStorage.getItem(REPO_KEY));
  const [wanted, setWanted] = createSignal(localStorage.getItem(AGENT_KEY) ?? OWN_AGENT);
  const [adding, setAdding] = createSignal(false);
  let box: HTMLTextAreaElement | undefined;
  createEffect(() => {
    const names = repos.value()?.map((known) => known.repo);
    const chosen = repo();
    if (names && (chosen === null || !names.includes(chosen))) setRepo(names[0] ?? null);
  });
  warmWhileTyping(text, repo);
  const choose = (name: string): void => {
    localStorage.setItem(REPO_KEY, name);
    setRepo(name);
  };
  const external = createMemo(() => agents.value()?.find((known) => known.id === wanted()));
  const chooseAgent = (id: string): void => {
    localStorage.setItem(AGENT_KEY, id);
    setWanted(id);
  };
  const begin = createAction(async (requestId: string) => {
    const chosen = repo();
    if (chosen === null) return setAdding(true);
    const made = await api.createSession({ repo: chosen, base_branch: null, model: null, agent: external()?.id ?? null, prompt: { request_id: requestId, text: text() }, visibility: null });
    setText("");
    navigate(`/s/${made.id}`);
  });
  offerKeys([{ key: "c", does: "Write a new prompt", run: () => box?.focus() }]);
  const model = createMemo((): ModelInfo | undefined =>
    models.value()?.find((known) => (external()?.model ? known.id === external()?.model : known.default)) ?? models.value()?.[0]);
  return (
    <section class="new-session" aria-labelledby="new-session">
      <h1 id="new-session">What shall we build?</h1>
      <PromptBox
        label="Your wish"
        placeholder="Describe a change, a bug or a question…"
        text={text()}
        onText={setText}
        onSend={begin.run}
        busy={begin.busy()}
        ref={(element) => { box = element; }}
        rows={2}
        repo={repo()}
        action="Start"
      >
        <Show
          when={(repos.value()?.length ?? 0) > 0}
          fallback={<Show when={repos.value()}><Button icon="plus" onClick={() => setAdding(true)}>Add a repository</Button></Show>}
        >
          <Select label="Repository" icon="branch" placeholder="Repository" options={repos.value()?.map((known) => known.repo) ?? []} value={repo()} onChange={choose} />
          <Show when={agents.value()?.length}>
            <Select label="Agent" placeholder="Agent" options={[OWN_AGENT, ...(agents.value() ?? []).map((known) => known.id)]} value={external()?.id ?? OWN_AGENT} onChange={chooseAgent} />
          </Show>
          <Button kind="quiet" icon="plus" class="icon-button" aria-label="Add a repository" title="Add a repository" onClick={() => setAdding(true)} />
        </Show>
      </PromptBox>
      <Show when={model()}>
        {(used) => <p class="model-note"><span class="mono">{used().id}</span><Show when={used().note}> · {used().note}</Show></p>}
      </Show>
      <ErrorNote problem={begin.problem() ?? repos.problem() ?? models.problem()} />
      <AddRepository open={adding()} onClose={() => setAdding(false)} onAdded={async (name) => { await repos.refetch(); choose(name); setAdding(false); }} />
    </section>
  );
}

function AddRepository(props: { open: boolean; onClose: () => void; onAdded: (name: string) => Promise<void> }): JSX.Element {
  const [name, setName] = createSignal("");
  const [source, setSource] = createSignal("");
  const add = createAction(async () => {
    const made = await api.addRepo({ repo: name().trim(), source: source().trim() || null });
    setName("");
    setSource("");
    await props.onAdded(made.repo);
  });
  return (
    <Dialog open={props.open} onClose={props.onClose} title="Add a repository" about="It is copied into hangar's own forge, where sessions work on it.">
      <form class="stack" onSubmit={(event) => { event.preventDefault(); void add.run(); }}>
        <Field label="Name here" placeholder="owner/name" value={name()} onInput={setName} required mono maxLength={140} />
        <Field label="Copy from" placeholder="https://…" value={source()} onInput={setSource} mono maxLength={2000} help="An https address, or, for owners, a directory of the server's machine. Empty makes an empty repository." />
        <ErrorNote problem={add.problem()} />
        <div class="row end"><Button kind="primary" type="submit" busy={add.busy()}>Add</Button></div>
      </form>
    </Dialog>
  );
}

type Group = "running" | "review" | "waiting" | "done";

const GROUPS: ReadonlyArray<{ group: Group; title: string }> = [
  { group: "running", title: "Running" },
  { group: "review", title: "Waiting for review" },
  { group: "waiting", title: "Waiting for you" },
  { group: "done", title: "Done" },
];

function groupOf(session: SessionSummary): Group {
  if (session.status === "running") return "running";
  if (session.status === "merged") return "done";
  if (session.status === "failed" || session.status === "paused" || session.status === "asking") return "waiting";
  if (session.pull_request === null) return "waiting";
  return session.pull_request.status === "open" ? "review" : "done";
}

function SessionList(props: { sessions: SessionSummary[] }): JSX.Element {
  const grouped = createMemo(() => {
    return GROUPS.map(({ group, title }) => ({ title, sessions: props.sessions.filter((session) => groupOf(session) === group) })).filter(
      (part) => part.sessions.length > 0,
    );
  });
  const step = (by: number): void => {
    const rows = [...document.querySelectorAll<HTMLElement>(".session-row a")];
    const at = rows.indexOf(document.activeElement as HTMLElement);
    rows[Math.max(0, Math.min(rows.length - 1, at + by))]?.focus();
  };
  offerKeys([
    { key: "j", does: "Next session", run: () => step(1) },
    { key: "k", does: "Previous session", run: () => step(-1) },
  ]);
  return (
    <Show when={props.sessions.length > 0} fallback={<EmptyState icon="message" title="No session yet.">Write a wish above. An agent works on it in a sandbox, and it ends as a pull request in your name.</EmptyState>}>
      <For each={grouped()}>
        {(part) => (
          <section class="group">
            <h2>{part.title} <span class="count">{part.sessions.length}</span></h2>
            <ul class="session-list">
              <For each={part.sessions}>{(session) => <Row session={session} />}</For>
            </ul>
          </section>
        )}
      </For>
    </Show>
  );
}

function Row(props: { session: SessionSummary }): JSX.Element {
  return (
    <li class="session-row">
      <A href={`/s/${props.session.id}`}>
        <span class="session-title cut"><Inline text={props.session.title} /></span>
        <span class="session-facts">
          <span class="mono cut">{props.session.repo}</span>
          <Show when={props.session.pull_request}>
            {(pull) => <span class="pull-mark" classList={{ merged: pull().status === "merged" }}><Icon name={pull().status === "merged" ? "merge" : "pull"} />#{pull().number}</span>}
          </Show>
          <span class="wide">{props.session.owner}</span>
          <When ms={props.session.updated_ms} />
        </span>
        <SessionBadge status={props.session.status} pull={props.session.pull_request} />
      </A>
    </li>
  );
}
