import { type JSX, Show } from "solid-js";
import { Spinner, type Tone } from "./atoms.tsx";
import { Button } from "./button.tsx";
import { Icon, type IconName } from "./icon.tsx";

/** What went wrong and what to do now: every refusal of the API is one. */
export interface Problem {
  message: string;
  hint: string;
}

/** Something to know, in its place on the page. */
export function Note(props: { tone: Tone; icon?: IconName; children: JSX.Element; role?: "status" | "alert" }): JSX.Element {
  return (
    <div class={`note tone-${props.tone}`} role={props.role}>
      <Icon name={props.icon ?? "alert"} />
      <div class="note-words">{props.children}</div>
    </div>
  );
}

/** A refusal in words, read out at once. */
export function ErrorNote(props: { problem: Problem | null | undefined; onRetry?: () => void }): JSX.Element {
  return (
    <Show when={props.problem}>
      {(problem) => (
        <Note tone="bad" role="alert">
          <strong>{problem().message}</strong> <span>{problem().hint}</span>
          <Show when={props.onRetry}>
            {(retry) => (
              <Button class="note-button" icon="repeat" onClick={() => retry()()}>
                Try again
              </Button>
            )}
          </Show>
        </Note>
      )}
    </Show>
  );
}

/** Nothing is here yet, and how something comes to be here. */
export function EmptyState(props: { icon: IconName; title: string; children?: JSX.Element }): JSX.Element {
  return (
    <div class="empty">
      <Icon name={props.icon} class="empty-icon" />
      <p class="empty-title">{props.title}</p>
      <div class="muted">{props.children}</div>
    </div>
  );
}

/** The first moments of a page. Shown a little late, so that what is quick does not flicker. */
export function Loading(props: { label: string }): JSX.Element {
  return (
    <div class="loading">
      <Spinner label={props.label} />
      <span aria-hidden="true">{props.label}</span>
    </div>
  );
}
