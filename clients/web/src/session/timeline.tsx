// The timeline: what was asked, said and done, with the newest at the bottom and the composer under it.

import { openTurn, type TimelineItem } from "@hangar/protocol";
import { Button, EmptyState } from "@hangar/ui";
import { createEffect, createMemo, createSignal, For, type JSX, on, onCleanup, onMount, Show } from "solid-js";
import { About } from "./about.tsx";
import { Composer } from "./composer.tsx";
import { useSession } from "./following.ts";
import { Row } from "./row.tsx";
import { createRowWindow } from "./window.ts";
import { Working } from "./working.tsx";

/** How near to the bottom still counts as being there. */
const BOTTOM_PX = 60;
/** How near to the edge of what is drawn the reader comes before more is drawn. */
const EDGE_PX = 800;

export function TimelineTab(): JSX.Element {
  const session = useSession();
  const [stuck, setStuck] = createSignal(true);
  let scroller: HTMLDivElement | undefined;
  let content: HTMLDivElement | undefined;

  const count = (): number => session.timeline().items.length;
  const shown = createRowWindow(count);
  const rows = createMemo((): TimelineItem[] => session.timeline().items.slice(shown.from(), shown.to()));
  createEffect(() => (stuck() ? shown.follow() : shown.hold()));

  const toBottom = (): void => {
    if (scroller) scroller.scrollTop = scroller.scrollHeight;
  };
  const scrolled = (): void => {
    if (!scroller) return;
    const below = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
    setStuck(shown.atEnd() && below < BOTTOM_PX);
    if (scroller.scrollTop < EDGE_PX) more(-1);
    else if (below < EDGE_PX) more(1);
  };
  // Who reads near the end without being at it sees new rows come; for who is further up they would change nothing.
  createEffect(on(count, () => {
    if (scroller && scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < EDGE_PX) more(1);
  }));
  /** Moves the window without moving what the reader sees. */
  const more = (towards: -1 | 1): void => {
    if (!scroller || !content || stuck()) return;
    const edge = scroller.getBoundingClientRect().top;
    const seen = [...content.children].find((row) => !row.matches(".edge") && row.getBoundingClientRect().bottom > edge);
    const before = seen?.getBoundingClientRect().top ?? 0;
    if (!shown.move(towards) || !seen?.isConnected) return;
    scroller.scrollTop += seen.getBoundingClientRect().top - before;
  };

  onMount(() => {
    if (!scroller || !content) return;
    // Whoever reads at the bottom stays there; whoever reads further up is left alone.
    const grown = new ResizeObserver(() => { if (stuck()) toBottom(); });
    grown.observe(content);
    grown.observe(scroller);
    onCleanup(() => { grown.disconnect(); });
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
            <div class="edge">
              <Show when={shown.from() > 0}><Button kind="quiet" icon="arrowUp" onClick={() => { setStuck(false); more(-1); }}>Show earlier ({shown.from()})</Button></Show>
            </div>
            <Show when={count() > 0} fallback={<EmptyState icon="message" title="Nothing was asked yet.">Write the first prompt below.</EmptyState>}>
              <For each={rows()}>{(item) => <Row item={item} />}</For>
            </Show>
            <Show when={turn() && shown.atEnd()}><Working /></Show>
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
