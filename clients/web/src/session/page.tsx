// The frame of one session: title, state, tabs; inside it one of three views on the same stream.

import { A, type RouteSectionProps, useLocation, useNavigate, useParams } from "@solidjs/router";
import { Button, ErrorNote, Icon, IconButton, Inline, Loading } from "@hangar/ui";
import { createEffect, createSignal, type JSX, Show, Suspense } from "solid-js";
import { api } from "../account.tsx";
import { createAction } from "../action.ts";
import { offerKeys } from "../keys.ts";
import { SessionBadge } from "../status.tsx";
import { createFollowing, FollowingProvider, useSession } from "./following.ts";

export function Session(props: RouteSectionProps): JSX.Element {
  const params = useParams<{ id: string }>();
  return (
    <Show when={params.id} keyed>
      {(id) => (
        <FollowingProvider value={createFollowing(id)}>
          <SessionFrame>{props.children}</SessionFrame>
        </FollowingProvider>
      )}
    </Show>
  );
}

function SessionFrame(props: { children: JSX.Element }): JSX.Element {
  const session = useSession();
  const navigate = useNavigate();
  const location = useLocation();
  const base = `/s/${session.id}`;
  offerKeys([
    { key: "1", does: "Timeline", run: () => navigate(base) },
    { key: "2", does: "Changes", run: () => navigate(`${base}/changes`) },
    { key: "3", does: "Pull request", run: () => navigate(`${base}/pull-request`) },
  ]);
  createEffect(() => {
    document.title = `${session.state()?.title ?? "Session"} · hangar`;
  });
  const pull = () => session.state()?.pull_requests.at(-1);
  return (
    <div class="session">
      <header class="session-head">
        <div class="session-line">
          <A href="/" class="button quiet icon-button" aria-label="All sessions" title="All sessions"><Icon name="back" /></A>
          <Title />
          <Show when={session.state()}>{(state) => <SessionBadge status={state().status} pull={pull()} />}</Show>
        </div>
        <nav class="tabs" aria-label="Session">
          <A href={base} end class="tab">Timeline</A>
          <A href={`${base}/changes`} class="tab">Changes</A>
          <A href={`${base}/pull-request`} class="tab">Pull request <Show when={pull()}>{(p) => <span class="count">#{p().number}</span>}</Show></A>
          <Show when={session.state()}>
            {(state) => <span class="session-where mono cut wide" title={`${state().repo} · ${state().branch}`}>{state().repo} · {state().branch}</span>}
          </Show>
        </nav>
      </header>
      <Connection />
      <Show
        when={!session.refusal()}
        fallback={<main class="page" id="content"><ErrorNote problem={session.refusal()} /><p><A href="/">All sessions</A></p></main>}
      >
        <Show when={session.state()} fallback={<main id="content"><Loading label="Loading the session" /></main>}>
          <Suspense fallback={<main id="content"><Loading label="Loading" /></main>}>
            <div class="session-view" data-view={location.pathname.slice(base.length)}>{props.children}</div>
          </Suspense>
        </Show>
      </Show>
    </div>
  );
}

/** The connection was there and is not any more. A moment without it is not worth a word. */
function Connection(): JSX.Element {
  const session = useSession();
  const [lost, setLost] = createSignal(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  createEffect(() => {
    const status = session.status();
    clearTimeout(timer);
    if (status === "live" || status === "refused" || status === "closed") setLost(false);
    else timer = setTimeout(() => setLost(true), session.current() ? 800 : 4000);
  });
  return (
    <div role="status">
      <Show when={lost()}>
        <div class="banner">
          {session.current() ? "The connection was lost. Reconnecting; nothing will be missing." : "hangar does not answer yet. Trying again."}
        </div>
      </Show>
    </div>
  );
}

const TITLE_CHARS_MAX = 200;

function Title(): JSX.Element {
  const session = useSession();
  const [editing, setEditing] = createSignal(false);
  const [text, setText] = createSignal("");
  let pencil: HTMLButtonElement | undefined;
  const rename = createAction(async () => {
    if (text().trim() !== session.state()?.title) await api.rename(session.id, text().trim());
    leave();
  });
  const leave = (): void => {
    setEditing(false);
    rename.clear();
    pencil?.focus();
  };
  const enter = (): void => {
    setText(session.state()?.title ?? "");
    setEditing(true);
  };
  offerKeys([{ key: "r", does: "Rename the session", run: enter }]);
  return (
    <Show
      when={editing()}
      fallback={
        <div class="title">
          <h1 class="cut" title={session.state()?.title}><Inline text={session.state()?.title ?? "Session"} /></h1>
          <Show when={session.state()}>
            <IconButton icon="edit" label="Rename" onClick={enter} ref={(element) => { pencil = element; }} />
          </Show>
        </div>
      }
    >
      <form class="title" onSubmit={(event) => { event.preventDefault(); void rename.run(); }}>
        <h1 class="hidden-words">{session.state()?.title}</h1>
        <input
          class="input"
          aria-label="Title"
          value={text()}
          maxLength={TITLE_CHARS_MAX}
          required
          ref={(element) => queueMicrotask(() => { element.focus(); element.select(); })}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => { if (event.key === "Escape") { event.preventDefault(); leave(); } }}
        />
        <Button type="submit" kind="primary" busy={rename.busy()}>Save</Button>
        <ErrorNote problem={rename.problem()} />
      </form>
    </Show>
  );
}
