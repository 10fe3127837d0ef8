// The session's pull request: opening it, what it is, what others say about it, and merging it.

import type { PullRequestView } from "@hangar/protocol";
import { ErrorNote, Inline, Loading, Markdown } from "@hangar/ui";
import { createEffect, type JSX, on, Show } from "solid-js";
import { api } from "../account.tsx";
import { DiffFiles } from "../diff/files.tsx";
import { createFetched } from "../fetched.ts";
import { PullBadge } from "../status.tsx";
import { useSession } from "./following.ts";
import { Checks, Commits, Reviews } from "./pull-request-facts.tsx";
import { MergeBox, OpenForm, ReviewForm } from "./pull-request-forms.tsx";

export default function PullRequestTab(): JSX.Element {
  const session = useSession();
  const opened = (): boolean => (session.state()?.pull_requests.length ?? 0) > 0;
  return (
    <main class="page" id="content">
      <Show when={opened()} fallback={<OpenForm />}><Opened /></Show>
    </main>
  );
}

function Opened(): JSX.Element {
  const session = useSession();
  const view = createFetched(() => api.pullRequest(session.id));
  // The log says when something happened to it; what it is now is asked anew.
  const news = (): string => JSON.stringify([session.state()?.pull_requests, session.state()?.pushed, session.state()?.status]);
  createEffect(on(news, () => void view.refetch(), { defer: true }));
  return (
    <>
      <ErrorNote problem={view.problem()} onRetry={() => void view.refetch()} />
      <Show when={view.value()} fallback={<Show when={!view.problem()}><Loading label="Loading the pull request" /></Show>}>
        {(found) => <View view={found()} onChanged={() => void view.refetch()} />}
      </Show>
    </>
  );
}

function View(props: { view: PullRequestView; onChanged: () => void }): JSX.Element {
  const session = useSession();
  return (
    <article class="pull">
      <header class="pull-head">
        <h2><Inline text={props.view.title} /> <span class="faint">#{props.view.number}</span></h2>
        <p class="pull-facts">
          <PullBadge status={props.view.status} />
          <span><strong>{session.nameOf(props.view.author)}</strong> wants <code>{props.view.head_branch}</code> in <code>{props.view.base_branch}</code></span>
        </p>
      </header>
      <Show when={props.view.body.trim() !== ""} fallback={<p class="faint">No description.</p>}>
        <div class="pull-body"><Markdown text={props.view.body} /></div>
      </Show>
      <Commits commits={props.view.commits} />
      <Checks checks={props.view.checks} />
      <Reviews reviews={props.view.reviews} />
      <MergeBox view={props.view} onChanged={props.onChanged} />
      <Show when={props.view.status === "open"}><ReviewForm onChanged={props.onChanged} /></Show>
      <section class="pull-part">
        <h3>Files</h3>
        <DiffFiles diff={props.view.diff} />
      </section>
    </article>
  );
}

