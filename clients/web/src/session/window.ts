// Which rows of a long timeline are drawn: a window that follows the newest row, or stays where its reader is and moves
// with them. However long the log, the page holds no more rows than the window.

import { batch, createMemo, createSignal } from "solid-js";

/** Rows that are drawn at most. */
const ROWS_MAX = 400;
/** How many rows the window moves by when its reader nears an edge. */
const ROWS_STEP = 150;

export interface RowWindow {
  from: () => number;
  to: () => number;
  /** Whether the newest row is in the window. */
  atEnd: () => boolean;
  /** Shows the newest rows, and those to come. */
  follow: () => void;
  /** Stays at the rows that are shown now. */
  hold: () => void;
  /** Moves towards older rows (-1) or newer ones (1). Gives whether there were any. */
  move: (towards: -1 | 1) => boolean;
}

/** A window over `count()` rows that follows the newest. */
export function createRowWindow(count: () => number): RowWindow {
  const [held, setHeld] = createSignal<{ from: number; to: number } | null>(null);
  const to = createMemo(() => Math.min(held()?.to ?? count(), count()));
  const from = createMemo(() => Math.min(held()?.from ?? Math.max(0, count() - ROWS_MAX), to()));
  const move = (towards: -1 | 1): boolean => {
    const now = { from: from(), to: to() };
    if (towards === -1) {
      if (now.from === 0) return false;
      const next = Math.max(0, now.from - ROWS_STEP);
      setHeld({ from: next, to: Math.min(now.to, next + ROWS_MAX) });
      return true;
    }
    if (now.to >= count()) return false;
    const next = Math.min(count(), now.to + ROWS_STEP);
    setHeld({ from: Math.max(now.from, next - ROWS_MAX), to: next });
    return true;
  };
  return {
    from,
    to,
    atEnd: () => to() === count(),
    follow: () => void setHeld(null),
    hold: () => batch(() => { if (held() === null) setHeld({ from: from(), to: to() }); }),
    move,
  };
}
