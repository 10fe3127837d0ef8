// The files of a diff, one under the other. A file is drawn when it comes near the window, so that large diffs stay quick.

import { useLocation } from "@solidjs/router";
import type { FileDiff, SessionDiff } from "@hangar/protocol";
import { EmptyState, Icon } from "@hangar/ui";
import { createMemo, createSignal, For, type JSX, onCleanup, onMount, Show } from "solid-js";
import { offerKeys } from "../keys.ts";
import { readPatch } from "./unified.ts";

/** A file with more lines than this is closed until somebody opens it. */
const LINES_OPEN_MAX = 800;

export function DiffFiles(props: { diff: SessionDiff }): JSX.Element {
  const added = (): number => props.diff.files.reduce((sum, file) => sum + file.additions, 0);
  const removed = (): number => props.diff.files.reduce((sum, file) => sum + file.deletions, 0);
  const step = (by: number): void => {
    const files = [...document.querySelectorAll<HTMLElement>(".diff-file > summary")];
    const at = files.indexOf(document.activeElement as HTMLElement);
    const next = files[Math.max(0, Math.min(files.length - 1, at + by))];
    next?.focus();
    next?.scrollIntoView({ block: "start" });
  };
  offerKeys([
    { key: "j", does: "Next file", run: () => step(1) },
    { key: "k", does: "Previous file", run: () => step(-1) },
  ]);
  return (
    <Show when={props.diff.files.length > 0} fallback={<EmptyState icon="file" title="No changes yet.">Files that the agent changes are shown here.</EmptyState>}>
      <p class="diff-sum">
        {props.diff.files.length} {props.diff.files.length === 1 ? "file" : "files"} <Counts added={added()} removed={removed()} />
        <Show when={props.diff.omitted > 0}><span class="faint"> · {props.diff.omitted} more left out: too large to show</span></Show>
      </p>
      <Show when={props.diff.files.length > 1}>
        <ul class="diff-index">
          <For each={props.diff.files}>{(file) => <li><a href={`#${encodeURIComponent(file.path)}`}><span class="cut mono">{file.path}</span> <Counts added={file.additions} removed={file.deletions} /></a></li>}</For>
        </ul>
      </Show>
      <For each={props.diff.files}>{(file) => <File file={file} />}</For>
    </Show>
  );
}

function Counts(props: { added: number; removed: number }): JSX.Element {
  return (
    <span class="counts numbers">
      <span class="plus">+{props.added}</span> <span class="minus">−{props.removed}</span>
    </span>
  );
}

function File(props: { file: FileDiff }): JSX.Element {
  const location = useLocation();
  const here = (): boolean => location.hash === `#${encodeURIComponent(props.file.path)}` || location.hash === `#${props.file.path}`;
  const [open, setOpen] = createSignal(props.file.additions + props.file.deletions <= LINES_OPEN_MAX || here());
  const [near, setNear] = createSignal(false);
  let element: HTMLDetailsElement | undefined;
  onMount(() => {
    if (!element) return;
    const watcher = new IntersectionObserver((seen) => {
      if (!seen.some((entry) => entry.isIntersecting)) return;
      setNear(true);
      watcher.disconnect();
    }, { rootMargin: "800px" });
    watcher.observe(element);
    onCleanup(() => watcher.disconnect());
    if (here()) element.scrollIntoView({ block: "start" });
  });
  return (
    <details class="diff-file" id={encodeURIComponent(props.file.path)} open={open()} onToggle={(event) => setOpen(event.currentTarget.open)} ref={element}>
      <summary>
        <Icon name="chevron" class="turns" />
        <span class="mono cut" title={props.file.path}>
          <Show when={props.file.old_path}>{(old) => <span class="faint">{old()} → </span>}</Show>
          {props.file.path}
        </span>
        <Show when={props.file.status !== "modified"}><span class={`file-status ${props.file.status}`}>{props.file.status}</span></Show>
        <Counts added={props.file.additions} removed={props.file.deletions} />
      </summary>
      <Show when={open() && near()}>
        <Show when={props.file.patch} fallback={<p class="diff-none muted">A binary file, or one that is too large to show.</p>}>
          {(patch) => <Patch patch={patch()} path={props.file.path} />}
        </Show>
      </Show>
    </details>
  );
}

const SIGNS = { same: " ", added: "+", removed: "−", hunk: "", note: "" } as const;

function Patch(props: { patch: string; path: string }): JSX.Element {
  const lines = createMemo(() => readPatch(props.patch));
  return (
    <div class="patch" tabindex="0" role="region" aria-label={`Changes in ${props.path}`}>
      <table>
        <tbody>
          <For each={lines()}>
            {(line) => (
              <tr class={line.kind}>
                <td class="number">{line.before ?? ""}</td>
                <td class="number">{line.after ?? ""}</td>
                <td class="sign">{SIGNS[line.kind]}</td>
                <td class="source">{line.kind === "hunk" ? `⋯ ${line.text}` : line.text}</td>
              </tr>
            )}
          </For>
        </tbody>
      </table>
    </div>
  );
}
