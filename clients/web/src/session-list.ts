// The list of sessions as it is now, from its stream.

import { emptyList, follow, listed, Refused, type SessionSummary, takeList, tellAnew } from "@hangar/protocol";
import { type Accessor, createSignal } from "solid-js";
import { api, noteRefusal } from "./account.tsx";
import { keepFollowing } from "./keep-following.ts";

export interface LiveList {
  /** `undefined` until they are here. */
  sessions: Accessor<SessionSummary[] | undefined>;
  /** Why the list is not there, or is old. */
  problem: Accessor<Refused | null>;
  /** Tries at once. */
  nudge: () => void;
}

export function createSessionList(): LiveList {
  const list = emptyList();
  const [sessions, setSessions] = createSignal<SessionSummary[]>();
  const [problem, setProblem] = createSignal<Refused | null>(null);

  /** Where no stream comes about, the list is at least asked for, as often as the stream is tried. */
  const askInstead = async (): Promise<boolean> => {
    try {
      const asked = await api.sessions();
      setSessions(asked);
      setProblem(null);
      return false;
    } catch (thrown) {
      const why = noteRefusal(Refused.from(thrown));
      setProblem(why);
      return why.code === "unauthenticated";
    }
  };

  const follower = follow({
    url: () => api.listStreamUrl(),
    after: 0,
    refused: askInstead,
    onStatus: (status) => {
      if (status === "catching_up") tellAnew(list);
      if (status === "live") setProblem(null);
    },
    onFrames: (frames) => {
      let news = false;
      for (const frame of frames) news = takeList(list, frame) || news;
      if (news) setSessions(listed(list));
    },
  });

  return { sessions, problem, nudge: keepFollowing(follower) };
}
