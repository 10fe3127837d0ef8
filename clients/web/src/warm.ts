// A sandbox is made ready while somebody types: from the first key on, the server is told which repository it will be.

import { createEffect } from "solid-js";
import { api } from "./account.tsx";

/** Who types longer than this asks again, so that what was made ready is not taken away. */
const ASK_AGAIN_MS = 30_000;

/** Tells the server of the repository while there is text. What it answers changes nothing here: a session works without. */
export function warmWhileTyping(text: () => string, repo: () => string | null): void {
  let asked: { repo: string; at: number } | null = null;
  createEffect(() => {
    const chosen = repo();
    if (chosen === null || text().trim() === "") return;
    const now = Date.now();
    if (asked?.repo === chosen && now - asked.at < ASK_AGAIN_MS) return;
    asked = { repo: chosen, at: now };
    api.warm({ repo: chosen }).catch(() => { asked = null; });
  });
}
