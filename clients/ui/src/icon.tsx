import type { JSX } from "solid-js";

/** Drawn here on a grid of 16, in strokes, so that nothing is fetched. */
const PATHS = {
  alert: "M8 5.5v3.2M8 11v.1M7 2.6 1.8 11.8a1.2 1.2 0 0 0 1 1.7h10.4a1.2 1.2 0 0 0 1-1.7L9 2.6a1.2 1.2 0 0 0-2 0Z",
  arrowDown: "M8 3v10M3.5 8.5 8 13l4.5-4.5",
  arrowUp: "M8 13V3M3.5 7.5 8 3l4.5 4.5",
  back: "M10 3 5 8l5 5",
  box: "M8 1.8 13.5 5v6L8 14.2 2.5 11V5L8 1.8ZM2.7 5.1 8 8.1l5.3-3M8 8.1v6",
  branch: "M4.5 5.5v5M4.5 10.5a1.8 1.8 0 1 0 0 .1M4.5 5.5a1.8 1.8 0 1 1 0-.1M11.5 5.5a1.8 1.8 0 1 1 0-.1M11.5 5.6c0 3-3.5 2.6-5.6 4.2",
  brain: "M6.2 2.5a2 2 0 0 0-2 1.9A2.4 2.4 0 0 0 3 8.5a2.3 2.3 0 0 0 1.4 3.4A1.9 1.9 0 0 0 8 12.5v-9a1.7 1.7 0 0 0-1.8-1ZM9.8 2.5a2 2 0 0 1 2 1.9A2.4 2.4 0 0 1 13 8.5a2.3 2.3 0 0 1-1.4 3.4A1.9 1.9 0 0 1 8 12.5",
  check: "m3 8.5 3.2 3.2L13 4.8",
  chevron: "m6 3.5 4.5 4.5L6 12.5",
  circle: "M8 13.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11Z",
  clock: "M8 13.8A5.8 5.8 0 1 0 8 2.2a5.8 5.8 0 0 0 0 11.6ZM8 4.8V8l2.2 1.6",
  close: "m4 4 8 8M12 4l-8 8",
  copy: "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7",
  edit: "m3 13 .6-2.8 7-7a1.3 1.3 0 0 1 1.8 0l.4.4a1.3 1.3 0 0 1 0 1.8l-7 7L3 13Z",
  file: "M4 1.8h5L12.5 5.3v8.9H4V1.8ZM8.8 2v3.6h3.5",
  list: "M5.5 4h8M5.5 8h8M5.5 12h8M2.5 4h.1M2.5 8h.1M2.5 12h.1",
  merge: "M4.5 5.6v5M4.5 10.6a1.8 1.8 0 1 0 .01 0M4.5 5.6a1.8 1.8 0 1 1 .01 0M11.5 10.6a1.8 1.8 0 1 0 .01 0M11.4 10.5C11.3 7.7 8 8.3 4.8 5.8",
  message: "M2.5 3h11v8H7l-3 2.5V11H2.5V3Z",
  person: "M8 8a2.6 2.6 0 1 0 0-5.2A2.6 2.6 0 0 0 8 8ZM3 13.5c.4-2.4 2.4-3.7 5-3.7s4.6 1.3 5 3.7",
  plus: "M8 3v10M3 8h10",
  pull: "M4.5 5.5v5M4.5 10.6a1.8 1.8 0 1 0 .01 0M4.5 5.4a1.8 1.8 0 1 1 .01 0M11.5 10.6a1.8 1.8 0 1 0 .01 0M11.5 10.4V6A1.8 1.8 0 0 0 9.7 4.2H8M9.7 2.5 8 4.2l1.7 1.7",
  repeat: "M3 7a5 5 0 0 1 9-2.5M12.5 2v2.8H9.7M13 9a5 5 0 0 1-9 2.5M3.5 14v-2.8h2.8",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10ZM10.7 10.7 14 14",
  send: "M8 13V3M3.5 7.5 8 3l4.5 4.5",
  settings: "M8 10.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4ZM8 1.8v1.7M8 12.5v1.7M14.2 8h-1.7M3.5 8H1.8M12.4 3.6l-1.2 1.2M4.8 11.2l-1.2 1.2M12.4 12.4l-1.2-1.2M4.8 4.8 3.6 3.6",
  stop: "M4.5 4.5h7v7h-7z",
  terminal: "M2 3h12v10H2zM4.5 6 6.5 8l-2 2M8 10.2h3",
  trash: "M3 4.5h10M6 4.5V3h4v1.5M4.2 4.5l.6 9h6.4l.6-9",
} as const;

export type IconName = keyof typeof PATHS;

/** A picture beside words. It says nothing to a screen reader: the words do. */
export function Icon(props: { name: IconName; class?: string }): JSX.Element {
  return (
    <svg class={`icon ${props.class ?? ""}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={PATHS[props.name]} />
    </svg>
  );
}
