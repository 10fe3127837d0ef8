// What the session changed against the commit it started from.

import { Button, ErrorNote, Loading } from "@hangar/ui";
import { createEffect, type JSX, on, onCleanup, Show } from "solid-js";
import { api } from "../account.tsx";
import { DiffFiles } from "../diff/files.tsx";
import { createFetched } from "../fetched.ts";
import { useSession } from "./following.ts";

/** Files that change one after the other are fetched together. */
const SETTLE_MS = 600;

export default function ChangesTab(): JSX.Element {
  const session = useSession();
  const diff = createFetched(() => api.diff(session.id));
  let timer: ReturnType<typeof setTimeout> | undefined;
  // Every change of files, push and end of a turn is news for the diff.
  const news = (): string => {
    const items = session.timeline().items;
    const state = session.state();
    const files = items.findLast((item) => item.kind === "files");
    return `${files?.key ?? ""} ${files?.kind === "files" ? files.files.length : 0} ${state?.status ?? ""} ${state?.pushed ?? ""}`;
  };
  createEffect(on(news, () => {
    clearTimeout(timer);
    timer = setTimeout(() => void diff.refetch(), SETTLE_MS);
  }, { defer: true }));
  onCleanup(() => clearTimeout(timer));
  return (
    <main class="page wide-page" id="content">
      <div class="row spread">
        <h2>Changes</h2>
        <Button kind="quiet" icon="repeat" onClick={() => void diff.refetch()}>Refresh</Button>
      </div>
      <ErrorNote problem={diff.problem()} onRetry={() => void diff.refetch()} />
      <Show when={diff.value()} fallback={<Show when={!diff.problem()}><Loading label="Loading the changes" /></Show>}>
        {(found) => <DiffFiles diff={found()} />}
      </Show>
    </main>
  );
}
