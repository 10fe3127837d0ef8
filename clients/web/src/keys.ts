// Keys without modifiers, as long as nobody is writing. A page offers its keys while it is shown; `?` lists them.

import { createSignal, onCleanup, onMount } from "solid-js";

export interface Key {
  /** As `KeyboardEvent.key` names it; two keys one after the other are written `g h`. */
  key: string;
  /** What it does, for the list. */
  does: string;
  run: () => void;
  /** Also while somebody writes. */
  always?: boolean;
}

const [offered, setOffered] = createSignal<Key[]>([]);

/** All keys that do something now. */
export const keysNow = offered;

/** Offers keys for as long as the component that calls this is shown. */
export function offerKeys(keys: Key[]): void {
  onMount(() => {
    setOffered((before) => [...keys, ...before]);
    onCleanup(() => setOffered((before) => before.filter((key) => !keys.includes(key))));
  });
}

/** How long the second key of two may take. */
const SECOND_KEY_MS = 1200;

/** Listens for keys; called once, by the frame around every page. */
export function listenForKeys(): void {
  let first = "";
  let firstAt = 0;
  const hear = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || event.isComposing || event.metaKey || event.ctrlKey || event.altKey) return;
    const target = event.target instanceof HTMLElement ? event.target : document.body;
    if (target.closest("[role=dialog],[role=listbox]")) return;
    const writes = target.matches("input:not([type=radio]),textarea,select,[contenteditable]");
    const pair = Date.now() - firstAt < SECOND_KEY_MS && first ? `${first} ${event.key}` : "";
    const found =
      offered().find((key) => key.key === pair && !writes) ??
      offered().find((key) => key.key === event.key && (key.always === true || !writes));
    first = writes ? "" : event.key;
    firstAt = Date.now();
    if (!found) return;
    event.preventDefault();
    first = "";
    found.run();
  };
  document.addEventListener("keydown", hear);
  onCleanup(() => document.removeEventListener("keydown", hear));
}
