// A page that is looked at again, or a machine that is online again, does not wait for the next try of its stream.

import type { Follower } from "@hangar/protocol";
import { onCleanup } from "solid-js";

/** Keeps a stream until the part of the page that it belongs to is gone; gives what makes it try at once. */
export function keepFollowing(follower: Follower): () => void {
  const nudge = (): void => {
    if (!document.hidden) follower.nudge();
  };
  window.addEventListener("online", nudge);
  document.addEventListener("visibilitychange", nudge);
  onCleanup(() => {
    window.removeEventListener("online", nudge);
    document.removeEventListener("visibilitychange", nudge);
    follower.close();
  });
  return nudge;
}
