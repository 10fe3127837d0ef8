// The words and colours for what a session or a pull request is doing.

import type { PullRequestState, SessionStatus } from "@hangar/protocol";
import { Badge, type Tone } from "@hangar/ui";
import type { JSX } from "solid-js";

const SESSION: Record<SessionStatus, { tone: Tone; word: string }> = {
  idle: { tone: "neutral", word: "Ready" },
  running: { tone: "accent", word: "Running" },
  paused: { tone: "warn", word: "Paused" },
  asking: { tone: "warn", word: "Asks you" },
  failed: { tone: "bad", word: "Failed" },
  merged: { tone: "done", word: "Merged" },
};

export function SessionBadge(props: { status: SessionStatus; pull?: PullRequestState | null | undefined }): JSX.Element {
  const shown = (): { tone: Tone; word: string } => {
    if (props.status === "idle" && props.pull?.status === "open") return { tone: "good", word: "In review" };
    return SESSION[props.status];
  };
  return (
    <Badge tone={shown().tone} pulse={props.status === "running"}>
      {shown().word}
    </Badge>
  );
}

const PULL: Record<PullRequestState["status"], { tone: Tone; word: string }> = {
  open: { tone: "good", word: "Open" },
  merged: { tone: "done", word: "Merged" },
  closed: { tone: "bad", word: "Closed" },
};

export function PullBadge(props: { status: PullRequestState["status"] }): JSX.Element {
  return <Badge tone={PULL[props.status].tone}>{PULL[props.status].word}</Badge>;
}
