// Follows the stream of one session, or of the list of them, for as long as it is wanted: connects, reconnects with the last event seen, and hands
// on every event exactly once and in order.
//
//   connecting ──open──▶ catching_up ──caught_up, list_complete──▶ live
//       ▲                                                            │ closed, `bye`, or a gap in the numbers
//       └──── waiting (250 ms … 10 s, doubled) ◀─────────────────────┘
//       a refusal while connecting ──▶ refused (ends)

import type { Ask, Frame, Seq } from "./generated.ts";

export type StreamStatus = "connecting" | "catching_up" | "live" | "waiting" | "refused" | "closed";

/** First pause before connecting again. */
const PAUSE_MS_MIN = 250;
/** Longest pause before connecting again. */
const PAUSE_MS_MAX = 10_000;
/** A connection that takes longer to open is given up. */
const OPEN_MS_MAX = 15_000;
/** `WebSocket.OPEN`; the class that tests bring along need not say it. */
const OPEN = 1;

export interface FollowOptions {
  /** The address of the stream after an event. */
  url: (after: Seq) => string;
  /** The last event that is known already. */
  after: Seq;
  /** Whether the address has `kinds=`: numbers are left out then, and a gap is none. */
  someKinds?: boolean;
  /** Gets frames in order; those of one moment together. */
  onFrames: (frames: Frame[]) => void;
  onStatus: (status: StreamStatus) => void;
  /** Asked when a connection could not be opened: whether trying again is useless (signed out, no such session). */
  refused?: () => Promise<boolean>;
  /** When to hand on what arrived: by default with the next painted frame. */
  schedule?: (flush: () => void) => void;
  /** For tests: the class of the socket and the clock's randomness. */
  socket?: new (url: string) => WebSocket;
  random?: () => number;
}

export interface Follower {
  /** The last event handed on. */
  readonly seq: Seq;
  /** Connects now if it is waiting to. */
  nudge(): void;
  /** Says something to the server; dropped while there is no connection. */
  say(ask: Ask): void;
  close(): void;
}

/** With the next painted frame; where nothing is painted (a hidden tab), soon. */
function withNextPaint(flush: () => void): void {
  if (typeof requestAnimationFrame !== "function" || document.hidden) setTimeout(flush, 50);
  else requestAnimationFrame(flush);
}

export function follow(options: FollowOptions): Follower {
  const { onFrames, onStatus, refused, schedule = withNextPaint, random = Math.random } = options;
  const Socket = options.socket ?? WebSocket;
  let cursor = options.after;
  let socket: WebSocket | undefined;
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let pending: Frame[] = [];
  let ended = false;

  const flush = (): void => {
    const frames = pending;
    pending = [];
    if (frames.length > 0 && !ended) onFrames(frames);
  };

  const take = (frame: Frame): void => {
    if (pending.length === 0) schedule(flush);
    pending.push(frame);
  };

  const end = (status: StreamStatus): void => {
    flush();
    ended = true;
    clearTimeout(timer);
    const dying = socket;
    socket = undefined;
    dying?.close();
    onStatus(status);
  };

  /** Leaves `gone` and comes back later; calls for a socket that was left already do nothing. */
  const retry = async (gone: WebSocket, opened: boolean): Promise<void> => {
    if (ended || socket !== gone) return;
    socket = undefined;
    clearTimeout(timer);
    gone.close();
    // Nothing of this connection comes after something of the next one.
    flush();
    onStatus("waiting");
    if (!opened && refused && (await refused())) {
      if (!ended) end("refused");
      return;
    }
    if (ended || socket) return;
    const pause = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** failures);
    failures = Math.min(failures + 1, 10);
    // Half of the pause is random, so that a restarted server is not met by all its clients at once.
    timer = setTimeout(connect, pause / 2 + (random() * pause) / 2);
  };

  const connect = (): void => {
    if (ended || socket) return;
    clearTimeout(timer);
    onStatus("connecting");
    const current = new Socket(options.url(cursor));
    socket = current;
    let opened = false;
    timer = setTimeout(() => void retry(current, opened), OPEN_MS_MAX);
    current.addEventListener("open", () => {
      if (socket !== current) return;
      opened = true;
      clearTimeout(timer);
      onStatus("catching_up");
    });
    current.addEventListener("close", () => void retry(current, opened));
    // What an error means is said by the close that follows it.
    current.addEventListener("error", () => {});
    current.addEventListener("message", (message: MessageEvent<unknown>) => {
      if (socket !== current || typeof message.data !== "string") return;
      const frame = JSON.parse(message.data) as Frame;
      if (frame.frame === "event") {
        const { seq } = frame.event;
        if (seq <= cursor) return;
        // Something is missing in between: ask for it again rather than go on without.
        if (seq !== cursor + 1 && !options.someKinds) return void retry(current, opened);
        cursor = seq;
        failures = 0;
      }
      if (frame.frame === "cursor") cursor = Math.max(cursor, frame.seq);
      if (frame.frame === "caught_up") {
        if (options.someKinds) cursor = Math.max(cursor, frame.seq);
        failures = 0;
        onStatus("live");
      }
      if (frame.frame === "list_complete") {
        failures = 0;
        onStatus("live");
      }
      if (frame.frame === "bye") return void retry(current, opened);
      take(frame);
    });
  };

  connect();
  return {
    get seq() {
      return cursor;
    },
    nudge: () => {
      failures = 0;
      if (!socket) connect();
    },
    say: (ask) => {
      if (socket?.readyState === OPEN) socket.send(JSON.stringify(ask));
    },
    close: () => {
      if (!ended) end("closed");
    },
  };
}
