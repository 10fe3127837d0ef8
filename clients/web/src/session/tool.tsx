// One tool call: a line that says what it did and how long it took, and opens to what went in and what came out.

import type { ToolItem } from "@hangar/protocol";
import { Button, bytes, duration, ErrorNote, Icon, type IconName, Spinner } from "@hangar/ui";
import { createSignal, For, type JSX, Match, Show, Switch } from "solid-js";
import { api } from "../account.tsx";
import { createAction } from "../action.ts";
import { useSession } from "./following.ts";

const ICONS: Record<string, IconName> = { bash: "terminal", edit: "edit", glob: "search", grep: "search", list: "list", open_pull_request: "pull", read: "file", todo: "list", write: "file" };

/** The one argument that says most. */
const TELLING = ["command", "path", "pattern", "file_path", "query", "url", "title"];

function summary(input: unknown): string {
  if (typeof input !== "object" || input === null) return "";
  const fields = input as Record<string, unknown>;
  for (const name of TELLING) {
    const value = fields[name];
    if (typeof value === "string" && value !== "") return value.split("\n", 1)[0] ?? "";
  }
  return "";
}

const STATUS_WORDS = { waiting: "waiting", running: "running", ok: "done", error: "failed", interrupted: "interrupted" } as const;

export function Tool(props: { item: ToolItem }): JSX.Element {
  const [open, setOpen] = createSignal(false);
  return (
    <details class={`fold tool ${props.item.status}`} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <Icon name="chevron" class="turns" />
        <Switch fallback={<Icon name={ICONS[props.item.name] ?? "settings"} />}>
          <Match when={props.item.status === "running"}><Spinner /></Match>
          <Match when={props.item.status === "error" || props.item.status === "interrupted"}><Icon name="alert" /></Match>
        </Switch>
        <span class="fold-name">{props.item.name}</span>
        <span class="mono cut tool-about">{summary(props.item.input)}</span>
        <span class="hidden-words">{STATUS_WORDS[props.item.status]}</span>
        <span class="took">
          <Show when={props.item.duration_ms !== null} fallback={STATUS_WORDS[props.item.status]}>{duration(props.item.duration_ms ?? 0)}</Show>
        </span>
      </summary>
      <Show when={open()}><Detail item={props.item} /></Show>
    </details>
  );
}

function Detail(props: { item: ToolItem }): JSX.Element {
  const session = useSession();
  const [whole, setWhole] = createSignal<string>();
  const fetchWhole = createAction(async (sha256: string) => { setWhole(await api.blob(session.id, sha256)); });
  return (
    <div class="tool-detail">
      <p class="small-head">Input</p>
      <Input input={props.item.input} />
      <p class="small-head">Output</p>
      <Show when={(whole() ?? props.item.output) !== ""} fallback={<p class="faint">{props.item.duration_ms === null ? "Nothing yet." : "Nothing."}</p>}>
        <pre class="output" tabindex="0" role="region" aria-label="Output">{whole() ?? props.item.output}</pre>
      </Show>
      <Show when={whole() === undefined && props.item.blob}>
        {(blob) => <Button busy={fetchWhole.busy()} onClick={() => void fetchWhole.run(blob().sha256)}>Show all {bytes(blob().bytes)}</Button>}
      </Show>
      <ErrorNote problem={fetchWhole.problem()} />
    </div>
  );
}

/** What an edit takes out and puts in, line by line; `undefined` for input that is no edit. */
function editOf(input: unknown): Array<{ kind: "added" | "removed"; text: string }> | undefined {
  if (typeof input !== "object" || input === null) return undefined;
  const { old_string: before, new_string: after } = input as Record<string, unknown>;
  if (typeof before !== "string" || typeof after !== "string") return undefined;
  const lines = (text: string, kind: "added" | "removed") => text.replace(/\n$/, "").split("\n").map((line) => ({ kind, text: line }));
  return [...(before === "" ? [] : lines(before, "removed")), ...(after === "" ? [] : lines(after, "added"))];
}

/** Strings as they are, with their lines; the rest as JSON. */
function Input(props: { input: unknown }): JSX.Element {
  const text = (): string => {
    if (typeof props.input !== "object" || props.input === null) return JSON.stringify(props.input) ?? "";
    const entries = Object.entries(props.input);
    const [only] = entries;
    if (entries.length === 1 && only && typeof only[1] === "string") return only[1];
    return entries
      .map(([name, value]) => {
        if (typeof value !== "string") return `${name}: ${JSON.stringify(value, null, 2)}`;
        return value.includes("\n") ? `${name}:\n${value}` : `${name}: ${value}`;
      })
      .join("\n");
  };
  return (
    <Show when={editOf(props.input)} fallback={<pre class="output" tabindex="0" role="region" aria-label="Input">{text()}</pre>}>
      {(edit) => (
        <div class="output edit" tabindex="0" role="region" aria-label="Input">
          <For each={edit()}>{(line) => <div class={line.kind}><span class="sign">{line.kind === "added" ? "+" : "−"}</span>{line.text}</div>}</For>
        </div>
      )}
    </Show>
  );
}
