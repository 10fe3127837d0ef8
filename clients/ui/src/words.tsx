// Numbers and times in the words of people.

import { createMemo, createSignal, type JSX, onCleanup, onMount } from "solid-js";

/** `850 ms`, `1.2 s`, `14 s`, `3 min 5 s`, `2 h 4 min`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min${seconds % 60 ? ` ${seconds % 60} s` : ""}`;
  return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
}

/** `512 B`, `18.3 KiB`, `2.0 MiB`. */
export function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  if (count < 1024 * 1024) return `${(count / 1024).toFixed(1)} KiB`;
  return `${(count / 1024 / 1024).toFixed(1)} MiB`;
}

/** `950`, `12.4k`, `1.3M`. */
export function tokens(count: number): string {
  if (count < 1000) return `${count}`;
  if (count < 1_000_000) return `${(count / 1000).toFixed(1)}k`;
  return `${(count / 1_000_000).toFixed(1)}M`;
}

/** Millionths of a dollar as dollars, as exact as is useful. */
export function money(microUsd: number): string {
  const usd = microUsd / 1_000_000;
  if (usd === 0) return "$0";
  if (usd < 0.01) return `$${usd.toFixed(4)}`;
  return `$${usd.toFixed(2)}`;
}

/** Time of day and, where it was another day, the date, in the reader's own form. */
export function clock(ms: number): string {
  const then = new Date(ms);
  const today = then.toDateString() === new Date().toDateString();
  return then.toLocaleString(undefined, today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}

const TICK_MS = 20_000;

/** How long ago something was, kept true while it is looked at. */
export function When(props: { ms: number }): JSX.Element {
  const [now, setNow] = createSignal(Date.now());
  onMount(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    onCleanup(() => clearInterval(timer));
  });
  const words = createMemo(() => {
    const seconds = Math.max(0, Math.round((now() - props.ms) / 1000));
    if (seconds < 45) return "now";
    if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
    if (seconds < 86_400) return `${Math.round(seconds / 3600)} h ago`;
    if (seconds < 30 * 86_400) return `${Math.round(seconds / 86_400)} d ago`;
    return new Date(props.ms).toLocaleDateString();
  });
  return (
    <time datetime={new Date(props.ms).toISOString()} title={new Date(props.ms).toLocaleString()}>
      {words()}
    </time>
  );
}
