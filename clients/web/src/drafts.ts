// What somebody was writing, kept in this browser until it is sent: a reload loses nothing.

import { createSignal, type Signal } from "solid-js";

export function createDraft(name: string): Signal<string> {
  const key = `hangar.draft.${name}`;
  const [text, setText] = createSignal(localStorage.getItem(key) ?? "");
  const keep = ((next: string) => {
    if (next === "") localStorage.removeItem(key);
    else localStorage.setItem(key, next);
    return setText(next);
  }) as Signal<string>[1];
  return [text, keep];
}
