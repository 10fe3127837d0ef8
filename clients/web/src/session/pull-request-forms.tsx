// What can be done with a pull request. What is refused is said in the words of the refusal, where it was asked for.

import type { MergeMethod, PullRequestView } from "@hangar/protocol";
import { Button, Choice, ErrorNote, Field, Icon, Note, TextArea } from "@hangar/ui";
import { createSignal, type JSX, Match, Show, Switch } from "solid-js";
import { api } from "../account.tsx";
import { createAction } from "../action.ts";
import { createDraft } from "../drafts.ts";
import { useSession } from "./following.ts";

export function OpenForm(): JSX.Element {
  const session = useSession();
  const [title, setTitle] = createSignal(session.state()?.title ?? "");
  const [body, setBody] = createDraft(`${session.id}.pull-request`);
  const open = createAction(async () => {
    await api.openPullRequest(session.id, { title: title().trim() || null, body: body().trim() || null });
    setBody("");
  });
  return (
    <section class="pull">
      <h2>Open a pull request</h2>
      <p class="muted">
        What is not committed is committed, <code>{session.state()?.branch}</code> is pushed, and the pull request into <code>{session.state()?.base_branch}</code> is opened in your name.
      </p>
      <Show when={session.state()?.status === "running"}>
        <Note tone="accent" icon="clock">The agent is still working. It is better to wait for the end of the turn.</Note>
      </Show>
      <form class="stack" onSubmit={(event) => { event.preventDefault(); void open.run(); }}>
        <Field label="Title" value={title()} onInput={setTitle} required maxLength={200} />
        <TextArea label="Description" value={body()} onInput={setBody} rows={5} maxLength={65_536} placeholder="What it does and why. Markdown." />
        <ErrorNote problem={open.problem()} />
        <div class="row end"><Button kind="primary" type="submit" icon="pull" busy={open.busy()}>Open pull request</Button></div>
      </form>
    </section>
  );
}

const METHODS = [
  { value: "merge", label: "Merge commit" },
  { value: "squash", label: "Squash" },
] as const;

export function MergeBox(props: { view: PullRequestView; onChanged: () => void }): JSX.Element {
  const session = useSession();
  const [method, setMethod] = createSignal<MergeMethod>("merge");
  const merge = createAction(async () => {
    await api.merge(session.id, method());
    props.onChanged();
  });
  return (
    <section class={`merge-box ${props.view.status}`} aria-label="Merge">
      <Switch>
        <Match when={props.view.status === "merged"}>
          <p class="merge-words"><Icon name="merge" /> <span><strong>Merged</strong><Show when={props.view.merge_commit}>{(commit) => <> as <code>{commit().slice(0, 8)}</code></>}</Show> into <code>{props.view.base_branch}</code>.</span></p>
        </Match>
        <Match when={props.view.status === "closed"}>
          <p class="merge-words"><Icon name="close" /> Closed without a merge.</p>
        </Match>
        <Match when={props.view.status === "open"}>
          <p class="merge-words">
            <Switch>
              <Match when={props.view.mergeable === true}><Icon name="check" class="good" /> Can be merged without conflict.</Match>
              <Match when={props.view.mergeable === false}><Icon name="alert" class="bad" /> It conflicts with {props.view.base_branch}. Ask the agent to merge {props.view.base_branch} into its branch.</Match>
              <Match when={props.view.mergeable === null}><Icon name="clock" /> Finding out whether it can be merged…</Match>
            </Switch>
          </p>
          <div class="row spread">
            <Choice label="How to merge" quietLabel value={method()} onChange={setMethod} options={METHODS} />
            <Button kind="primary" icon="merge" busy={merge.busy()} disabled={props.view.mergeable === false} onClick={() => void merge.run()}>Merge</Button>
          </div>
        </Match>
      </Switch>
      <ErrorNote problem={merge.problem()} />
    </section>
  );
}

export function ReviewForm(props: { onChanged: () => void }): JSX.Element {
  const session = useSession();
  const [body, setBody] = createDraft(`${session.id}.review`);
  const review = createAction(async (verdict: "approve" | "request_changes" | "comment") => {
    await api.review(session.id, verdict, body());
    setBody("");
    props.onChanged();
  });
  return (
    <section class="pull-part">
      <h3>Your review</h3>
      <div class="stack">
        <TextArea label="Comment" quietLabel rows={2} value={body()} onInput={setBody} placeholder="Say something about it…" maxLength={65_536} />
        <div class="row end">
          <Button disabled={body().trim() === ""} busy={review.busy()} onClick={() => void review.run("comment")}>Comment</Button>
          <Button disabled={body().trim() === ""} busy={review.busy()} onClick={() => void review.run("request_changes")}>Request changes</Button>
          <Button icon="check" busy={review.busy()} onClick={() => void review.run("approve")}>Approve</Button>
        </div>
        <ErrorNote problem={review.problem()} />
      </div>
    </section>
  );
}
