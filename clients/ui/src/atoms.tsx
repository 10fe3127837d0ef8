import { type JSX, Show } from "solid-js";

export type Tone = "neutral" | "accent" | "good" | "bad" | "warn" | "done";

/** A word about the state of something. */
export function Badge(props: { tone: Tone; pulse?: boolean; children: JSX.Element }): JSX.Element {
  return (
    <span class={`badge tone-${props.tone}`}>
      <span class={props.pulse ? "dot pulse" : "dot"} aria-hidden="true" />
      {props.children}
    </span>
  );
}

/** Keys, as they are printed on them. */
export function Kbd(props: { children: JSX.Element }): JSX.Element {
  return <kbd class="kbd">{props.children}</kbd>;
}

/** Something is under way. `label` says what to those who cannot see it turn. */
export function Spinner(props: { label?: string }): JSX.Element {
  return (
    <span class="spinner" role={props.label ? "status" : undefined}>
      <Show when={props.label}>
        <span class="hidden-words">{props.label}</span>
      </Show>
    </span>
  );
}

const HUES = [212, 262, 322, 12, 42, 152, 182, 232];

/** A person's initials. The colour follows the login, so one person looks the same everywhere. */
export function Avatar(props: { login: string; name?: string }): JSX.Element {
  const initials = (): string => {
    const words = (props.name ?? props.login).split(/[\s._-]+/).filter(Boolean);
    return (words.length > 1 ? `${words[0]?.[0] ?? ""}${words.at(-1)?.[0] ?? ""}` : (words[0] ?? "?").slice(0, 2)).toUpperCase();
  };
  const hue = (): number => {
    let sum = 0;
    for (const char of props.login) sum += char.codePointAt(0) ?? 0;
    return HUES[sum % HUES.length] ?? 212;
  };
  return (
    <span class="avatar" style={{ "--hue": hue() }} aria-hidden="true">
      {initials()}
    </span>
  );
}
