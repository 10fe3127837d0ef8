// What there is to know about a pull request: commits, checks, reviews.

import type { CheckInfo, CommitInfo, ReviewInfo } from "@hangar/protocol";
import { Avatar, Badge, Markdown, type Tone } from "@hangar/ui";
import { For, type JSX, Show } from "solid-js";
import { useSession } from "./following.ts";

export function Commits(props: { commits: CommitInfo[] }): JSX.Element {
  return (
    <section class="pull-part">
      <h3>Commits <span class="count">{props.commits.length}</span></h3>
      <ul class="rows">
        <For each={props.commits}>
          {(commit) => (
            <li>
              <code class="faint">{commit.sha.slice(0, 8)}</code>
              <span class="cut grow" title={commit.message}>{commit.message.split("\n", 1)[0]}</span>
              <span class="muted cut" title={`${commit.author_name} <${commit.author_email}>`}>{commit.author_name}</span>
            </li>
          )}
        </For>
      </ul>
    </section>
  );
}

const CHECK_TONES: Record<string, Tone> = { success: "good", failure: "bad", error: "bad", timed_out: "bad", action_required: "warn", queued: "warn", in_progress: "accent" };

export function Checks(props: { checks: CheckInfo[] }): JSX.Element {
  return (
    <Show when={props.checks.length > 0}>
      <section class="pull-part">
        <h3>Checks</h3>
        <ul class="rows">
          <For each={props.checks}>
            {(check) => <li><span class="grow cut">{check.name}</span><Badge tone={CHECK_TONES[check.status] ?? "neutral"}>{check.status.replaceAll("_", " ")}</Badge></li>}
          </For>
        </ul>
      </section>
    </Show>
  );
}

const VERDICTS: Record<string, { tone: Tone; word: string }> = {
  APPROVED: { tone: "good", word: "approved" },
  CHANGES_REQUESTED: { tone: "bad", word: "asks for changes" },
  COMMENTED: { tone: "neutral", word: "commented" },
};

export function Reviews(props: { reviews: ReviewInfo[] }): JSX.Element {
  const session = useSession();
  return (
    <section class="pull-part">
      <h3>Reviews</h3>
      <Show when={props.reviews.length > 0} fallback={<p class="muted">Nobody has reviewed it yet.</p>}>
        <ul class="rows">
          <For each={props.reviews}>
            {(review) => (
              <li class="review">
                <Avatar login={review.by} name={session.nameOf(review.by)} />
                <div class="grow">
                  <strong>{session.nameOf(review.by)}</strong> <Badge tone={VERDICTS[review.verdict]?.tone ?? "neutral"}>{VERDICTS[review.verdict]?.word ?? review.verdict}</Badge>
                  <Show when={review.body.trim() !== ""}><Markdown text={review.body} /></Show>
                </div>
              </li>
            )}
          </For>
        </ul>
      </Show>
    </section>
  );
}
