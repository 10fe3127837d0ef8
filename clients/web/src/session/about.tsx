// Beside the timeline: the to-do list, and the facts of the session. On a narrow screen it folds into one line.

import { A } from "@solidjs/router";
import type { SessionState } from "@hangar/protocol";
import { Avatar, Icon, Inline, money, tokens, When } from "@hangar/ui";
import { createMediaQuery } from "./media.ts";
import { For, type JSX, Show } from "solid-js";
import { useSession } from "./following.ts";
import { CHILD_ICONS } from "./child-icons.ts";

/** The phases of a sandbox, as facts. */
const SANDBOX_WORDS = { absent: "not running", preparing: "being prepared", syncing: "can be read, being synced with the base branch", ready: "ready", failed: "failed" } as const;

export function About(): JSX.Element {
  const session = useSession();
  const wide = createMediaQuery("(min-width: 1080px)");
  return (
    <Show when={session.state()}>
      {(state) => (
        <Show when={wide()} fallback={<details class="about narrow"><summary><Icon name="chevron" class="turns" /><span class="cut"><Inline text={oneLine(state())} /></span></summary><Facts state={state()} /></details>}>
          <aside class="about" aria-label="About this session"><Facts state={state()} /></aside>
        </Show>
      )}
    </Show>
  );
}

function oneLine(state: SessionState): string {
  const done = state.todos.filter((entry) => entry.status === "done").length;
  const doing = state.todos.find((entry) => entry.status === "in_progress")?.text;
  if (state.todos.length > 0) return `To-do ${done}/${state.todos.length}${doing ? ` · ${doing}` : ""}`;
  return `${state.repo} · ${state.model}`;
}

const TODO_WORDS = { pending: "open", in_progress: "being done", done: "done" } as const;

function Facts(props: { state: SessionState }): JSX.Element {
  const session = useSession();
  const used = (): number => props.state.usage.input_tokens + props.state.usage.cache_read_tokens + props.state.usage.cache_write_tokens;
  return (
    <div class="facts">
      <Show when={props.state.todos.length > 0}>
        <section>
          <h2 class="small-head">To-do</h2>
          <ul class="todos">
            <For each={props.state.todos}>
              {(entry) => (
                <li class={entry.status}>
                  <Icon name={entry.status === "done" ? "check" : entry.status === "in_progress" ? "clock" : "circle"} />
                  <span><Inline text={entry.text} /><span class="hidden-words"> ({TODO_WORDS[entry.status]})</span></span>
                </li>
              )}
            </For>
          </ul>
        </section>
      </Show>
      <Show when={props.state.children.length > 0}>
        <section>
          <h2 class="small-head">Sessions it began</h2>
          <ul class="todos">
            <For each={props.state.children}>
              {(child) => (
                <li class={child.phase === "working" ? "in_progress" : "done"}>
                  <Icon name={CHILD_ICONS[child.phase]} />
                  <span>
                    <A href={`/s/${child.session}`}>{child.title}</A>
                    <span class="faint"> · {child.phase} · {child.repo}</span>
                    <Show when={child.pull_request}>{(pull) => <> · <A href={pull().url}>#{pull().number}</A></>}</Show>
                  </span>
                </li>
              )}
            </For>
          </ul>
        </section>
      </Show>
      <section>
        <h2 class="small-head">Session</h2>
        <dl class="pairs">
          <Show when={props.state.parent}>{(parent) => <><dt>Begun by</dt><dd class="mono"><A href={`/s/${parent().session}`}>{parent().session}</A></dd></>}</Show>
          <dt>Repository</dt><dd class="mono">{props.state.repo}</dd>
          <dt>Branch</dt><dd class="mono">{props.state.branch}</dd>
          <dt>From</dt><dd class="mono">{props.state.base_branch} @ {props.state.base_commit.slice(0, 8)}</dd>
          <dt>Model</dt><dd class="mono">{props.state.model}</dd>
          <dt>Sandbox</dt><dd>{SANDBOX_WORDS[props.state.sandbox]}</dd>
          <dt>Tokens</dt><dd class="numbers">{tokens(used())} in · {tokens(props.state.usage.output_tokens)} out</dd>
          <dt>Cost</dt><dd class="numbers">{money(props.state.cost_micro_usd)}</dd>
          <dt>Begun</dt><dd><When ms={props.state.created_ms} /></dd>
        </dl>
      </section>
      <section>
        <h2 class="small-head">People</h2>
        <ul class="people">
          <For each={props.state.participants}>
            {(person) => <li><Avatar login={person.user} name={person.name} /> {session.nameOf(person.user)}</li>}
          </For>
        </ul>
      </section>
    </div>
  );
}
