// The timeline: what was asked, said and done, with the newest at the bottom and the composer under it.

import type { TimelineItem } from "@hangar/protocol";
import { openTurn } from "@hangar/protocol";
import { Button, EmptyState } from "@hangar/ui";
import { createEffect, createMemo, createSignal, For, type JSX, on, onCleanup, onMount, Show } from "solid-js";
import { About } from "./about.tsx";
import { Composer } from "./composer.tsx";
import { useSession } from "./following.ts";
import { Row } from "./row.tsx";
import { Working } from "./working.tsx";

/** Rows that are drawn at first, and how many more when the reader comes near the oldest. */
const ROWS_AT_ONCE = 250;
/** How near to the bottom still counts as being there. */
const BOTTOM_PX = 60;

export function TimelineTab(): JSX.Element {
  const session = useSession();
  const [stuck, setStuck] = createSignal(true);
  const [shown, setShown] = createSignal(ROWS_AT_ONCE);
  let scroller: HTMLDivElement | undefined;
  let content: HTMLDivElement | undefined;
  let top: HTMLDivElement | undefined;

  // Queued prompts stand above the composer until their turn begins.
  // The call that changed the to-do list is said by the list.
  const rows = createMemo((): TimelineItem[] =>
    session.timeline().items.filter((item) => {
      if (item.kind === "prompt") return item.status !== "queued";
      return item.kind !== "tool" || item.name !== "todo" || item.status !== "ok";
    }),
  );
  const hidden = createMemo(() => Math.max(0, rows().length - shown()));
  // Rows that came since the reader looked must not push out the oldest ones drawn.
  createEffect(on(() => rows().length, (now, before) => {
    if (before !== undefined && now > before && shown() >= ROWS_AT_ONCE) setShown(shown() + (now - before));
  }));

  const toBottom = (): void => {
    if (scroller) scroller.scrollTop = scroller.scrollHeight;
  };
  const scrolled = (): void => {
    if (scroller) setStuck(scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < BOTTOM_PX);
  };
  const showEarlier = (): void => {
    if (!scroller || hidden() === 0) return;
    const fromBottom = scroller.scrollHeight - scroller.scrollTop;
    setShown(shown() + ROWS_AT_ONCE);
    scroller.scrollTop = scroller.scrollHeight - fromBottom;
  };

  onMount(() => {
    if (!scroller || !content || !top) return;
    // Whoever reads at the bottom stays there; whoever reads further up is left alone.
    const grown = new ResizeObserver(() => { if (stuck()) toBottom(); });
    grown.observe(content);
    grown.observe(scroller);
    const near = new IntersectionObserver((seen) => { if (seen.some((entry) => entry.isIntersecting)) showEarlier(); }, { root: scroller, rootMargin: "600px 0px 0px 0px" });
    near.observe(top);
    onCleanup(() => { grown.disconnect(); near.disconnect(); });
    toBottom();
  });

  const turn = () => { const state = session.state(); return state ? openTurn(state) : undefined; };
  return (
    <main class="timeline-page" id="content">
      <h2 class="hidden-words">Timeline</h2>
      <div class="timeline-column">
        <div class="scroller" ref={scroller} onScroll={scrolled} tabindex="0" role="region" aria-label="Timeline">
          <div
            class="timeline"
            ref={content}
            onClick={(event) => {
              // Opening something further up must not make the page jump down to the end.
              if ((event.target as HTMLElement).closest("summary")) setStuck(false);
            }}
          >
            <div ref={top}>
              <Show when={hidden() > 0}><Button kind="quiet" icon="arrowUp" onClick={showEarlier}>Show earlier ({hidden()})</Button></Show>
            </div>
            <Show when={rows().length > 0} fallback={<EmptyState icon="message" title="Nothing was asked yet.">Write the first prompt below.</EmptyState>}>
              <For each={hidden() > 0 ? rows().slice(hidden()) : rows()}>{(item) => <Row item={item} />}</For>
            </Show>
            <Show when={turn()}><Working /></Show>
          </div>
        </div>
        <div class="under">
          <Show when={!stuck()}>
            <Button class="to-bottom" icon="arrowDown" onClick={() => { setStuck(true); toBottom(); }}>Latest</Button>
          </Show>
          <Composer onSent={() => { setStuck(true); toBottom(); }} />
        </div>
      </div>
      <About />
    </main>
  );
}
