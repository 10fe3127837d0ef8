// Something fetched that keeps being shown while it is fetched anew, and after that has failed.

import { Refused } from "@hangar/protocol";
import { type Accessor, createSignal, onMount } from "solid-js";
import { noteRefusal } from "./account.tsx";

export interface Fetched<Value> {
  value: Accessor<Value | undefined>;
  problem: Accessor<Refused | null>;
  refetch: () => Promise<void>;
  set: (value: Value) => void;
}

export function createFetched<Value>(get: () => Promise<Value>): Fetched<Value> {
  const [value, setValue] = createSignal<Value>();
  const [problem, setProblem] = createSignal<Refused | null>(null);
  let newest = 0;
  const refetch = async (): Promise<void> => {
    newest += 1;
    const mine = newest;
    try {
      const fresh = await get();
      // An answer that was overtaken by a newer one is old news.
      if (mine !== newest) return;
      setValue(() => fresh);
      setProblem(null);
    } catch (thrown) {
      if (mine === newest) setProblem(noteRefusal(Refused.from(thrown)));
    }
  };
  onMount(() => void refetch());
  return { value, problem, refetch, set: (fresh) => setValue(() => fresh) };
}
