// The prompts that a repository has ready, offered while a prompt begins with a slash.

import type { SavedPrompt } from "@hangar/protocol";
import { createEffect, createMemo, createSignal, For, type JSX, Show } from "solid-js";
import { api } from "../account.tsx";

/** What is typed of a name, before anything comes after it. */
const BEGUN = /^\/([\w-]*)$/;
/** As many as fit over the box. */
const OFFERED_MAX = 8;

const known = new Map<string, Promise<SavedPrompt[]>>();

/** A repository's, asked for once a page: whoever misses a new one reloads. */
function promptsOf(repo: string): Promise<SavedPrompt[]> {
  let asked = known.get(repo);
  if (!asked) {
    asked = api.savedPrompts(repo);
    asked.catch(() => known.delete(repo));
    known.set(repo, asked);
  }
  return asked;
}

export interface Offer {
  /** Whether a key was meant for the list, and not for the box. */
  key: (event: KeyboardEvent) => boolean;
  List: () => JSX.Element;
}

/** A list for a box with this text, on this repository. */
export function offerSavedPrompts(text: () => string, repo: () => string | null | undefined, choose: (text: string) => void): Offer {
  const [prompts, setPrompts] = createSignal<SavedPrompt[]>([]);
  const [at, setAt] = createSignal(0);
  const [closed, setClosed] = createSignal("");
  const begun = createMemo(() => BEGUN.exec(text())?.[1]);
  createEffect(() => {
    const name = repo();
    if (begun() === undefined || !name) return;
    // Without the list the name can still be typed.
    promptsOf(name).then((found) => { if (repo() === name) setPrompts(found); }, () => setPrompts([]));
  });
  const offered = createMemo(() => {
    const typed = begun();
    if (typed === undefined || closed() === text()) return [];
    return prompts().filter((saved) => saved.name.startsWith(typed) && saved.name !== typed).slice(0, OFFERED_MAX);
  });
  createEffect(() => { if (at() >= offered().length) setAt(0); });
  const take = (saved: SavedPrompt): void => choose(`/${saved.name} `);
  const key = (event: KeyboardEvent): boolean => {
    const count = offered().length;
    if (count === 0 || event.isComposing || event.metaKey || event.ctrlKey) return false;
    const chosen = offered()[at()];
    if (event.key === "ArrowDown") setAt((at() + 1) % count);
    else if (event.key === "ArrowUp") setAt((at() + count - 1) % count);
    else if (event.key === "Escape") setClosed(text());
    else if ((event.key === "Enter" || event.key === "Tab") && chosen) take(chosen);
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  };
  const List = (): JSX.Element => (
    <Show when={offered().length > 0}>
      <ul class="saved-prompts" role="listbox" aria-label="Saved prompts of this repository">
        <For each={offered()}>
          {(saved, index) => (
            <li role="option" aria-selected={index() === at()} onPointerDown={(event) => { event.preventDefault(); take(saved); }}>
              <span class="mono">/{saved.name}</span> <Show when={saved.hint}><span class="faint mono">{saved.hint}</span></Show>
              <span class="muted cut">{saved.description}</span>
            </li>
          )}
        </For>
      </ul>
    </Show>
  );
  return { key, List };
}
