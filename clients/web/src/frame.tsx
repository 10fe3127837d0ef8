// Around every page: who may see it, the top bar, the keys.

import { A, type RouteSectionProps, useLocation, useNavigate } from "@solidjs/router";
import { Avatar, Dialog, ErrorNote, Icon, IconButton, Kbd, Loading } from "@hangar/ui";
import { Refused } from "@hangar/protocol";
import { createEffect, createSignal, ErrorBoundary, For, type JSX, Match, onCleanup, Show, Suspense, Switch } from "solid-js";
import { askWho, me, whoever } from "./account.tsx";
import { keepSecret } from "./invitation.ts";
import { keysNow, listenForKeys, offerKeys } from "./keys.ts";

export function Frame(props: RouteSectionProps): JSX.Element {
  const location = useLocation();
  const navigate = useNavigate();
  const [help, setHelp] = createSignal(false);
  listenForKeys();
  offerKeys([
    { key: "?", does: "Show the keys", run: () => setHelp(true) },
    { key: "g h", does: "Go to all sessions", run: () => navigate("/") },
    { key: "g s", does: "Go to settings", run: () => navigate("/settings") },
  ]);
  createEffect(() => {
    if (whoever.state === "ready" && whoever() === "stranger" && location.pathname !== "/sign-in") {
      const from = location.pathname === "/" ? "" : `?from=${encodeURIComponent(location.pathname)}`;
      keepSecret(location.pathname, location.hash);
      navigate(`/sign-in${from}`, { replace: true });
    }
  });
  return (
    <Show when={location.pathname !== "/sign-in"} fallback={props.children}>
      <a class="skip" href="#content">Skip to content</a>
      <Show when={!location.pathname.startsWith("/s/")}><TopBar onHelp={() => setHelp(true)} /></Show>
      <Switch>
        <Match when={whoever.error}>
          {(error) => <main class="page"><ErrorNote problem={Refused.from(error())} onRetry={() => void askWho()} /></main>}
        </Match>
        <Match when={me()}>
          <ErrorBoundary fallback={(error, reset) => <main class="page"><ErrorNote problem={Refused.from(error)} onRetry={reset} /></main>}>
            <Suspense fallback={<Loading label="Loading" />}>{props.children}</Suspense>
          </ErrorBoundary>
        </Match>
        <Match when={whoever.loading}><Loading label="Loading" /></Match>
      </Switch>
      <KeyList open={help()} onClose={() => setHelp(false)} />
      <Offline />
    </Show>
  );
}

function TopBar(props: { onHelp: () => void }): JSX.Element {
  return (
    <header class="top">
      <A href="/" class="brand" end>
        <Mark /> hangar
      </A>
      <nav class="top-nav" aria-label="Main">
        <IconButton icon="list" label="Keyboard keys" class="only-pointer" onClick={() => props.onHelp()} />
        <A href="/settings" class="button quiet person" aria-label="Settings">
          <Show when={me()} fallback={<Icon name="settings" />}>
            {(who) => <><Avatar login={who().user} name={who().name} /><span class="wide">{who().name}</span></>}
          </Show>
        </A>
      </nav>
    </header>
  );
}

export function Mark(): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M6 23v-6c0-5.5 4.5-9.5 10-9.5s10 4 10 9.5v6M11.5 23v-4.5c0-2.5 2-4.5 4.5-4.5s4.5 2 4.5 4.5V23" />
    </svg>
  );
}

const KEY_NAMES: Record<string, string> = { Escape: "Esc", " ": "Space" };

function KeyList(props: { open: boolean; onClose: () => void }): JSX.Element {
  return (
    <Dialog open={props.open} onClose={props.onClose} title="Keys">
      <dl class="keys">
        <For each={keysNow()}>
          {(key) => (
            <div>
              <dt><For each={key.key.split(" ")}>{(part) => <Kbd>{KEY_NAMES[part] ?? part}</Kbd>}</For></dt>
              <dd>{key.does}</dd>
            </div>
          )}
        </For>
        <div>
          <dt><Kbd>⌘</Kbd><Kbd>Enter</Kbd> <span class="faint">or</span> <Kbd>Ctrl</Kbd><Kbd>Enter</Kbd></dt>
          <dd>Send what is written</dd>
        </div>
      </dl>
    </Dialog>
  );
}

/** The browser itself says that there is no network. */
function Offline(): JSX.Element {
  const [offline, setOffline] = createSignal(!navigator.onLine);
  const look = (): void => void setOffline(!navigator.onLine);
  window.addEventListener("online", look);
  window.addEventListener("offline", look);
  onCleanup(() => {
    window.removeEventListener("online", look);
    window.removeEventListener("offline", look);
  });
  return (
    <div role="status">
      <Show when={offline()}>
        <div class="banner">You are offline. What you write is kept here.</div>
      </Show>
    </div>
  );
}
