// Signing in by a one-time link: `/sign-in#CODE`. The code stands behind `#`, so that it is in no log of any server.

import { useNavigate, useSearchParams } from "@solidjs/router";
import { Button, ErrorNote, Field, Spinner } from "@hangar/ui";
import { createSignal, type JSX, onCleanup, onMount, Show } from "solid-js";
import { api, askWho } from "../account.tsx";
import { createAction } from "../action.ts";
import { Mark } from "../frame.tsx";

export function SignIn(): JSX.Element {
  const navigate = useNavigate();
  const [search] = useSearchParams<{ from?: string }>();
  const [link, setLink] = createSignal("");
  const signIn = createAction(async (code: string) => {
    await api.signIn(code);
    await askWho();
    // Only a path of this site: never another site's address.
    const from = search.from ?? "/";
    navigate(/^\/(?!\/)/.test(from) ? from : "/", { replace: true });
  });
  const useLink = (): void => {
    const code = location.hash.slice(1);
    if (code === "") return;
    // The code works once; it is of no use in the browser's history.
    history.replaceState(history.state, "", location.pathname + location.search);
    void signIn.run(code);
  };
  onMount(() => {
    document.title = "Sign in · hangar";
    useLink();
    // A link that is opened while this page is shown changes nothing but what stands behind `#`.
    window.addEventListener("hashchange", useLink);
    onCleanup(() => window.removeEventListener("hashchange", useLink));
  });
  const submit = (event: Event): void => {
    event.preventDefault();
    const code = link().trim().split("#").at(-1) ?? "";
    if (code !== "") void signIn.run(code);
  };
  return (
    <main class="sign-in" id="content">
      <div class="sign-in-card">
        <div class="brand large"><Mark /> hangar</div>
        <h1>Sign in</h1>
        <Show when={!signIn.busy()} fallback={<p class="sign-in-busy"><Spinner label="Signing in" /> Signing in…</p>}>
          <p class="muted">Open the one-time link that you were given. The first one is printed by <code>hangar up</code>; later ones are made in the settings.</p>
          <ErrorNote problem={signIn.problem()} />
          <form class="stack" onSubmit={submit}>
            <Field label="Link or code" value={link()} onInput={setLink} mono required maxLength={400} />
            <Button kind="primary" type="submit">Sign in</Button>
          </form>
        </Show>
      </div>
    </main>
  );
}
