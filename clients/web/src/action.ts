// A thing that a person does and that may be refused: under way, refused with words, or done.

import { Refused } from "@hangar/protocol";
import { createSignal } from "solid-js";
import { noteRefusal } from "./account.tsx";

export interface Action<Args extends unknown[]> {
  busy: () => boolean;
  problem: () => Refused | null;
  clear: () => void;
  /** Gives whether it was done. While it is under way a second call does nothing. */
  run: (...args: Args) => Promise<boolean>;
}

export function createAction<Args extends unknown[]>(act: (...args: Args) => Promise<unknown>): Action<Args> {
  const [busy, setBusy] = createSignal(false);
  const [problem, setProblem] = createSignal<Refused | null>(null);
  const run = async (...args: Args): Promise<boolean> => {
    if (busy()) return false;
    setBusy(true);
    setProblem(null);
    try {
      await act(...args);
      return true;
    } catch (thrown) {
      setProblem(noteRefusal(Refused.from(thrown)));
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, problem, clear: () => setProblem(null), run };
}
