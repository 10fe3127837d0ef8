// One session as it is now: the stream folded into a state and a timeline that the page draws.

import {
  apply, begin, emptyRoom, emptyTimeline, follow, type Frame, Refused, type Room, type SessionState, stillTyping, type StreamStatus, takeFrame,
  takeRoom, type Timeline,
} from "@hangar/protocol";
import { type Accessor, createContext, createSignal, onCleanup, useContext } from "solid-js";
import { createStore, produce } from "solid-js/store";
import { api, noteRefusal } from "../account.tsx";
import { keepFollowing } from "../keep-following.ts";

interface Read {
  state: SessionState | null;
  timeline: Timeline;
}

export interface Following {
  id: string;
  /** `null` until the first events are here. */
  state: () => SessionState | null;
  timeline: () => Timeline;
  status: Accessor<StreamStatus>;
  /** Whether everything up to now was read once: from then on what comes is news. */
  current: Accessor<boolean>;
  /** Why the session cannot be followed at all. */
  refusal: Accessor<Refused | null>;
  /** Who else is here, and who is typing. */
  room: Accessor<Room>;
  /** Lets others know that something is being typed. */
  typing: () => void;
  /** The name of a person by their login. */
  nameOf: (user: string) => string;
}

const Context = createContext<Following>();
export const FollowingProvider = Context.Provider;

/** The session that this page is about. */
export function useSession(): Following {
  const found = useContext(Context);
  if (!found) throw new Error("no session around this part of the page");
  return found;
}

function takeAll(read: Read, frames: Frame[]): void {
  for (const frame of frames) {
    if (frame.frame === "event") {
      if (read.state) apply(read.state, frame.event);
      else read.state = begin(frame.event) ?? null;
    }
    takeFrame(read.timeline, frame);
  }
}

/** How often others are told that something is being typed; it holds for 5 seconds. */
const TYPING_EVERY_MS = 3000;

/** Who is there, by the frames of the stream. What somebody is typing is forgotten when it was not said again in time. */
function createRoom(): { room: Accessor<Room>; take: (frames: Frame[]) => void } {
  const [room, setRoom] = createSignal(emptyRoom());
  let timer: ReturnType<typeof setTimeout> | undefined;
  const forget = (): void => {
    clearTimeout(timer);
    const now = Date.now();
    setRoom((before) => stillTyping(before, now));
    const next = Math.min(...room().typing.map((typing) => typing.until));
    if (Number.isFinite(next)) timer = setTimeout(forget, next - now);
  };
  onCleanup(() => clearTimeout(timer));
  return {
    room,
    take: (frames) => {
      const now = Date.now();
      setRoom((before) => frames.reduce((known, frame) => takeRoom(known, frame, now), before));
      forget();
    },
  };
}

export function createFollowing(id: string): Following {
  const [status, setStatus] = createSignal<StreamStatus>("connecting");
  const [current, setCurrent] = createSignal(false);
  const [refusal, setRefusal] = createSignal<Refused | null>(null);
  // History is folded on a plain object and shown at once: ten thousand events make one drawing.
  const history: Read = { state: null, timeline: emptyTimeline() };
  const [read, setRead] = createStore<Read>({ state: null, timeline: emptyTimeline() });
  const { room, take: takeRoomFrames } = createRoom();
  let reading = true;
  let typingTold = 0;

  const refused = async (): Promise<boolean> => {
    try {
      await api.session(id);
      return false;
    } catch (thrown) {
      const why = noteRefusal(Refused.from(thrown));
      if (!["unauthenticated", "forbidden", "not_found", "bad_request"].includes(why.code)) return false;
      setRefusal(why);
      return true;
    }
  };

  const follower = follow({
    url: (after) => api.streamUrl(id, after),
    after: 0,
    refused,
    onStatus: setStatus,
    onFrames: (frames) => {
      takeRoomFrames(frames);
      if (!reading) {
        setRead(produce((draft) => takeAll(draft, frames)));
        return;
      }
      takeAll(history, frames);
      if (!frames.some((frame) => frame.frame === "caught_up")) return;
      reading = false;
      setRead(history);
      setCurrent(true);
    },
  });

  keepFollowing(follower);

  return {
    id,
    state: () => read.state,
    timeline: () => read.timeline,
    status,
    current,
    refusal,
    room,
    typing: () => {
      if (Date.now() - typingTold < TYPING_EVERY_MS) return;
      typingTold = Date.now();
      follower.say({ ask: "typing", session: null });
    },
    nameOf: (user) => read.state?.participants.find((person) => person.user === user)?.name ?? user,
  };
}
