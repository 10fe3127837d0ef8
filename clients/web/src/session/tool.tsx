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

interface EditLine {
  kind: "added" | "removed" | "same";
  text: string;
}

/** What an edit takes out and puts in, between the lines that both have; `undefined` for input that is no edit. */
function editOf(input: unknown): EditLine[] | undefined {
  if (typeof input !== "object" || input === null) return undefined;
  const { old_string: old, new_string: fresh } = input as Record<string, unknown>;
  if (typeof old !== "string" || typeof fresh !== "string") return undefined;
  const lines = (text: string): string[] => (text === "" ? [] : text.replace(/\n$/, "").split("\n"));
  const before = lines(old);
  const after = lines(fresh);
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  const part = (from: string[], start: number, end: number, kind: EditLine["kind"]): EditLine[] => from.slice(start, end).map((text) => ({ kind, text }));
  return [
    ...part(after, 0, head, "same"),
    ...part(before, head, before.length - tail, "removed"),
    ...part(after, head, after.length - tail, "added"),
    ...part(after, after.length - tail, after.length, "same"),
  ];
}

const EDIT_SIGNS = { added: "+", removed: "−", same: "" } as const;

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
          <For each={edit()}>{(line) => <div class={line.kind}><span class="sign">{EDIT_SIGNS[line.kind]}</span>{line.text}</div>}</For>
        </div>
      )}
    </Show>
  );
}
