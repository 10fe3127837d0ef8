import "@hangar/ui/styles.css";
import "./styles.css";
import { Route, Router } from "@solidjs/router";
import { lazy } from "solid-js";
import { render } from "solid-js/web";
import { applyTheme } from "./appearance.ts";
import { Frame } from "./frame.tsx";
import { Home } from "./pages/home.tsx";
import { NotFound } from "./pages/not-found.tsx";
import { SignIn } from "./pages/sign-in.tsx";
import { Session } from "./session/page.tsx";
import { TimelineTab } from "./session/timeline.tsx";

const Join = lazy(() => import("./pages/join.tsx"));
const Settings = lazy(() => import("./pages/settings.tsx"));
const ChangesTab = lazy(() => import("./session/changes.tsx"));
const PullRequestTab = lazy(() => import("./session/pull-request.tsx"));

applyTheme();

// After an update of the server the parts that this page loads later are gone: the new page has new ones. Once is enough.
const RELOADED = "hangar.reloaded";
window.addEventListener("vite:preloadError", (event) => {
  if (Date.now() - Number(sessionStorage.getItem(RELOADED) ?? 0) < 60_000) return;
  sessionStorage.setItem(RELOADED, String(Date.now()));
  event.preventDefault();
  location.reload();
});

const root = document.getElementById("app");
if (!root) throw new Error("index.html has no #app");

render(
  () => (
    <Router root={Frame}>
      <Route path="/" component={Home} />
      <Route path="/s/:id" component={Session}>
        <Route path="/" component={TimelineTab} />
        <Route path="/changes" component={ChangesTab} />
        <Route path="/pull-request" component={PullRequestTab} />
      </Route>
      <Route path="/join/:id" component={Join} />
      <Route path="/settings" component={Settings} />
      <Route path="/sign-in" component={SignIn} />
      <Route path="*" component={NotFound} />
    </Router>
  ),
  root,
);
