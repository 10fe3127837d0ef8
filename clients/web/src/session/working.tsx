// The last line while a turn runs: what it is doing, and for how long.

import { openTurn } from "@hangar/protocol";
import { duration, Spinner } from "@hangar/ui";
import { createSignal, type JSX, onCleanup, onMount } from "solid-js";
import { useSession } from "./following.ts";

/** Calls of these wait until the workspace can be written. */
const WAITS_FOR_SYNC: ReadonlySet<string> = new Set(["apply_patch", "bash", "edit", "find_tool", "write"]);
const waitsForSync = (tool: string): boolean => WAITS_FOR_SYNC.has(tool) || tool.startsWith("mcp__");

export function Working(): JSX.Element {
  const session = useSession();
  const [now, setNow] = createSignal(Date.now());
  onMount(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    onCleanup(() => clearInterval(timer));
  });
  const doing = (): string => {
    const state = session.state();
    if (!state) return "Working";
    if (openTurn(state)?.stop_requested_by) return "Stopping";
    if (openTurn(state)?.paused) return "Waiting for its budget";
    const started = state.open_calls.filter((open) => open.started);
    if (state.sandbox === "syncing" && started.some((open) => waitsForSync(open.name))) return "Syncing with the base branch";
    if (started.length === 1) return `Running ${started[0]?.name ?? ""}`;
    if (started.length > 1) return `Running ${started.length} tools`;
    if (state.sandbox === "preparing" && state.open_calls.length > 0) return "Waiting for the sandbox";
    const newest = session.timeline().items.at(-1);
    if (newest?.kind === "reply" && !newest.done) {
      if (newest.retry) return "Waiting to ask the model again";
      return newest.blocks.some((block) => block.text !== "") ? "Writing" : "Thinking";
    }
    return "Working";
  };
  const since = (): number => session.timeline().turnStarted ?? now();
  return (
    <p class="working">
      <Spinner /> <span>{doing()}…</span> <span class="faint numbers">{duration(Math.max(0, Math.floor((now() - since()) / 1000) * 1000))}</span>
    </p>
  );
}
