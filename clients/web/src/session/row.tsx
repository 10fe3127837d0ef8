// One row of the timeline; each kind of row is drawn by a component of its own.

import { A, useNavigate } from "@solidjs/router";
import { clip, type DeniedItem, type PullRequestChange, Refused, type ReplyItem, type TimelineItem } from "@hangar/protocol";
import { Avatar, Button, clock, duration, Icon, type IconName, Inline, Markdown, Note, type Tone } from "@hangar/ui";
import { createMemo, createSignal, Index, type JSX, Match, Show, Switch } from "solid-js";
import { api } from "../account.tsx";
import { CHILD_ICONS } from "./child-icons.ts";
import { createAction } from "../action.ts";
import { PullBadge } from "../status.tsx";
import { peopleChange } from "./people-change.ts";
import { useSession } from "./following.ts";
import { Tool } from "./tool.tsx";

/** Tools whose effects are events of their own. */
const TOLD_TOOLS: ReadonlySet<string> = new Set(["todo", "ask"]);

type Of<Kind extends TimelineItem["kind"]> = Extract<TimelineItem, { kind: Kind }>;

export function Row(props: { item: TimelineItem }): JSX.Element {
  const session = useSession();
  const as = <Kind extends TimelineItem["kind"]>(kind: Kind): Of<Kind> | false => (props.item.kind === kind ? (props.item as Of<Kind>) : false);
  return (
    <Switch>
      {/* What waits stands above the composer until its turn begins. */}
      <Match when={as("prompt")}>{(item) => <Show when={item().status !== "queued" && item().status !== "steering"}><Prompt item={item()} /></Show>}</Match>
      <Match when={as("reply")}>{(item) => <Reply item={item()} />}</Match>
      {/* The calls that changed the to-do list or asked something are said by that. */}
      <Match when={as("tool")}>{(item) => <Show when={!TOLD_TOOLS.has(item().name) || item().status !== "ok"}><Tool item={item()} /></Show>}</Match>
      <Match when={as("turn_end")}>{(item) => <TurnEnd item={item()} />}</Match>
      <Match when={as("files")}>{(item) => <Files item={item()} />}</Match>
      <Match when={as("todo")}>{(item) => <Todo item={item()} />}</Match>
      <Match when={as("question")}>{(item) => <RowNote tone="warn" icon="message"><Markdown text={item().question.text} /></RowNote>}</Match>
      <Match when={as("sandbox")}>{(item) => <Sandbox item={item()} />}</Match>
      <Match when={as("pull")}>{(item) => <Pull item={item()} />}</Match>
      <Match when={as("pull_change")}>{(item) => <Line icon={CHANGE_ICONS[item().change.type]} time={item().time}>{pullChange(item().change, session.nameOf)} <A href={`/s/${session.id}/pull-request`}>#{item().number}</A></Line>}</Match>
      <Match when={as("pushed")}>{(item) => <Line icon="branch" time={item().time}>Pushed <code>{item().commit.slice(0, 8)}</code> to <code>{item().branch}</code></Line>}</Match>
      <Match when={as("joined")}>{(item) => <Line icon="person" time={item().time}>{item().person.name} joined</Line>}</Match>
      <Match when={as("title")}>{(item) => <Line icon="edit" time={item().time}>Renamed to “<Inline text={item().title} />”</Line>}</Match>
      <Match when={as("stop")}>{(item) => <Line icon="stop" time={item().time}>{session.nameOf(item().by)} asked it to stop</Line>}</Match>
      <Match when={as("queue")}>{(item) => <Line icon={item().paused ? "stop" : "repeat"} time={item().time}>{session.nameOf(item().by)} {item().paused ? "paused the queue" : "let the queue go on"}</Line>}</Match>
      <Match when={as("resumed")}>{(item) => <RowNote tone="warn" icon="repeat">The turn was interrupted and goes on. {item().reason}</RowNote>}</Match>
      <Match when={as("refused")}>{(item) => <RowNote tone="bad" icon="alert">Push refused. {item().reason}</RowNote>}</Match>
      <Match when={as("image")}>{(item) => <Line icon="box" time={item().time}>Starts from the image of <code>{item().commit.slice(0, 8)}</code><span class="faint"> · {duration(item().age_ms)} old</span></Line>}</Match>
      <Match when={as("denied")}>{(item) => <Denied item={item()} />}</Match>
      <Match when={as("base")}>{(item) => <Line icon="branch" time={item().time}>{session.nameOf(item().by)} let it begin at <code>{item().commit.slice(0, 8)}</code>, the commit of its image</Line>}</Match>
      <Match when={as("allowed")}>{(item) => <Line icon="check" time={item().time}>{session.nameOf(item().by)} opened the way to <code>{item().host}:{item().port}</code></Line>}</Match>
      <Match when={as("origin")}>{(item) => <Line icon="branch" time={item().time}>Forked from <A href={`/s/${item().session}`}>{item().session}</A> {afterTurn(item().turn)}</Line>}</Match>
      <Match when={as("fork")}>{(item) => <Line icon="branch" time={item().time}>{item().attempt === null ? "Forked into" : "Attempt"} <A href={`/s/${item().session}`}>{item().session}</A> {afterTurn(item().turn)}</Line>}</Match>
      <Match when={as("parent")}>{(item) => <Line icon="branch" time={item().time}>Begun by the agent of <A href={`/s/${item().session}`}>{item().session}</A></Line>}</Match>
      <Match when={as("child")}>{(item) => <Line icon="branch" time={item().time}>Began <A href={`/s/${item().session}`}>{item().title}</A><span class="faint"> · {item().repo}</span></Line>}</Match>
      <Match when={as("child_news")}>{(item) => <Child item={item()} />}</Match>
      <Match when={as("rewound")}>{(item) => <RowNote tone="warn" icon="repeat">{session.nameOf(item().by ?? "")} went back to where it was {afterTurn(item().turn)}. What came later is undone.</RowNote>}</Match>
      <Match when={as("kept")}>{(item) => <Line icon="check" time={item().time}>Attempt <A href={`/s/${item().session}`}>{item().session}</A> was chosen</Line>}</Match>
      <Match when={as("people")}>{(item) => <Line icon="person" time={item().time}>{peopleChange(item().change, item().by, session.nameOf)}</Line>}</Match>
      <Match when={as("note")}>{(item) => <Line icon="check" time={item().time}>{item().text}</Line>}</Match>
      <Match when={as("warning")}>{(item) => <RowNote tone="warn" icon="alert"><Markdown text={item().text} /></RowNote>}</Match>
    </Switch>
  );
}

/** How much of a child's last words stands in its row. */
const CHILD_WORDS_CHARS_MAX = 160;

/** What was heard of a session that this one's agent began. */
function Child(props: { item: Of<"child_news"> }): JSX.Element {
  const session = useSession();
  const title = (): string => session.state()?.children.find((child) => child.session === props.item.session)?.title ?? props.item.session;
  return (
    <Line icon={CHILD_ICONS[props.item.phase]} time={props.item.time}>
      <A href={`/s/${props.item.session}`}>{title()}</A> {props.item.phase === "working" ? "is working again" : `is ${props.item.phase}`}
      <Show when={props.item.pull}>{(pull) => <> · <A href={pull().url}>#{pull().number}</A> {pull().status}</>}</Show>
      <Show when={props.item.words !== ""}><span class="faint"> · {clip(props.item.words.replaceAll("\n", " "), CHILD_WORDS_CHARS_MAX)}</span></Show>
    </Line>
  );
}

function afterTurn(turn: number): string {
  return turn === 0 ? "before the first turn" : `after turn ${turn}`;
}

function RowNote(props: { tone: Tone; icon: IconName; children: JSX.Element }): JSX.Element {
  return <div class="row-note"><Note tone={props.tone} icon={props.icon}>{props.children}</Note></div>;
}

/** A small thing that happened, in one line. */
function Line(props: { icon: IconName; time: number; children: JSX.Element }): JSX.Element {
  return (
    <p class="line" title={clock(props.time)}>
      <Icon name={props.icon} />
      <span>{props.children}</span>
    </p>
  );
}

function Prompt(props: { item: Of<"prompt"> }): JSX.Element {
  const session = useSession();
  return (
    <article class="prompt" classList={{ cancelled: props.item.status === "cancelled" }} aria-label={`Prompt of ${session.nameOf(props.item.author)}`}>
      <header class="prompt-head">
        <Avatar login={props.item.author} name={session.nameOf(props.item.author)} />
        <strong>{session.nameOf(props.item.author)}</strong>
        <span class="faint">{clock(props.item.time)}</span>
        <Show when={props.item.status === "steered"}><span class="faint">while it worked</span></Show>
        <Show when={props.item.status === "cancelled"}><span class="faint">taken back</span></Show>
      </header>
      <Markdown text={props.item.text} />
    </article>
  );
}

function Reply(props: { item: ReplyItem }): JSX.Element {
  const said = createMemo(() => props.item.blocks.some((block) => block.text !== ""));
  return (
    <>
      <Show when={said()}>
        <div class="reply" aria-busy={props.item.done ? undefined : "true"}>
          <Index each={props.item.blocks}>
            {(block) => (
              <Show when={block().text !== ""}>
                <Show when={block().channel === "reasoning"} fallback={<Markdown text={block().text} />}>
                  <Reasoning text={block().text} done={props.item.done} />
                </Show>
              </Show>
            )}
          </Index>
        </div>
      </Show>
      <Show when={props.item.retry}>
        {(retry) => <RowNote tone="warn" icon="repeat">The model did not answer ({retry().reason}). Asking again in {duration(retry().wait_ms)}; attempt {retry().attempt + 1}.</RowNote>}
      </Show>
    </>
  );
}

function Reasoning(props: { text: string; done: boolean }): JSX.Element {
  const [open, setOpen] = createSignal(false);
  const firstLine = (): string => props.text.trim().split("\n", 1)[0] ?? "";
  return (
    <details class="fold" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary><Icon name="chevron" class="turns" /><Icon name="brain" /><span class="fold-name">Thoughts</span><span class="cut faint">{open() ? "" : firstLine()}</span></summary>
      <Show when={open()}><div class="thoughts"><Markdown text={props.text} /></div></Show>
    </details>
  );
}

function TurnEnd(props: { item: Of<"turn_end"> }): JSX.Element {
  const session = useSession();
  const took = (): string => duration(props.item.time - props.item.started);
  const outcome = props.item.outcome;
  return (
    <Switch>
      <Match when={outcome.type === "done"}>
        <p class="turn-end"><Icon name="check" /> Worked {took()}<Show when={props.item.tools > 0}> · {props.item.tools} tool {props.item.tools === 1 ? "call" : "calls"}</Show> <ForkHere turn={props.item.turn} /></p>
      </Match>
      <Match when={outcome.type === "stopped" && outcome}>
        {(stopped) => <p class="turn-end"><Icon name="stop" /> Stopped by {session.nameOf(stopped().by)} after {took()}</p>}
      </Match>
      <Match when={outcome.type === "failed" && outcome}>
        {(failed) => <RowNote tone="bad" icon="alert"><strong>This turn failed.</strong> <Markdown text={failed().reason} /></RowNote>}
      </Match>
    </Switch>
  );
}

/** Begins a session of one's own with everything that this one had after a turn, and goes there. */
function ForkHere(props: { turn: number }): JSX.Element {
  const session = useSession();
  const navigate = useNavigate();
  const fork = createAction(async () => {
    const made = await api.fork(session.id, { at_turn: props.turn, prompt: null, model: null, title: null });
    navigate(`/s/${made.id}`);
  });
  return (
    <>
      <Button kind="quiet" busy={fork.busy()} onClick={() => void fork.run()}>Fork from here</Button>
      <Show when={fork.problem()}>{(problem) => <span role="alert"> {problem().message} {problem().hint}</span>}</Show>
    </>
  );
}

const FILE_WORDS = { created: "added", modified: "changed", removed: "removed" } as const;
/** Paths that are named before the rest is only counted. */
const FILES_NAMED = 6;

function Files(props: { item: Of<"files"> }): JSX.Element {
  const session = useSession();
  const rest = (): number => Math.max(0, props.item.files.length - FILES_NAMED) + props.item.more;
  return (
    <div class="line files">
      <Icon name="file" />
      <span>
        <Index each={props.item.files.slice(0, FILES_NAMED)}>
          {(file) => (
            <A class={`file-chip ${file().kind}`} href={`/s/${session.id}/changes#${encodeURIComponent(file().path)}`}>
              <span class="hidden-words">{FILE_WORDS[file().kind]} </span>{file().path}
            </A>
          )}
        </Index>
        <Show when={rest() > 0}><span class="faint"> and {rest()} more</span></Show>
      </span>
    </div>
  );
}

function Todo(props: { item: Of<"todo"> }): JSX.Element {
  const done = (): number => props.item.items.filter((entry) => entry.status === "done").length;
  const doing = (): string => props.item.items.find((entry) => entry.status === "in_progress")?.text ?? "";
  return <Line icon="list" time={props.item.time}>To-do {done()}/{props.item.items.length}<Show when={doing()}> · <Inline text={doing()} /></Show></Line>;
}

const PHASE_WORDS = { absent: "Sandbox put away", preparing: "Preparing the sandbox", syncing: "Syncing with the base branch", ready: "Sandbox ready", failed: "Sandbox failed" } as const;

function Sandbox(props: { item: Of<"sandbox"> }): JSX.Element {
  return (
    <Show
      when={props.item.phase !== "failed"}
      fallback={<RowNote tone="bad" icon="box"><strong>The sandbox failed.</strong> {props.item.detail}</RowNote>}
    >
      <p class="line" title={props.item.detail || undefined}>
        <Icon name="box" />
        <span>{PHASE_WORDS[props.item.phase]}<Show when={props.item.detail}><span class="faint"> · {props.item.detail}</span></Show></span>
        <Show when={props.item.duration_ms > 0}><span class="took">{duration(props.item.duration_ms)}</span></Show>
      </p>
    </Show>
  );
}

/** A closed way out, and the button that opens it for this session. */
function Denied(props: { item: DeniedItem }): JSX.Element {
  const session = useSession();
  const open = (): boolean => session.state()?.allowed.some((place) => place.host === props.item.host && place.port === props.item.port) ?? false;
  const [refusal, setRefusal] = createSignal("");
  const allow = (): void => {
    setRefusal("");
    api.allowNetwork(session.id, { host: props.item.host, port: props.item.port }).catch((thrown: unknown) => setRefusal(Refused.from(thrown).message));
  };
  return (
    <RowNote tone="warn" icon="alert">
      <strong>No way to <code>{props.item.host}:{props.item.port}</code>.</strong> {props.item.reason}
      <Show when={props.item.count > 1}><span class="faint"> {props.item.count} times.</span></Show>{" "}
      <Show when={props.item.approvable && !open()}><button type="button" class="button quiet" onClick={allow}>Allow for this session</button></Show>
      <Show when={refusal()}><span role="alert"> {refusal()}</span></Show>
    </RowNote>
  );
}

function Pull(props: { item: Of<"pull"> }): JSX.Element {
  const session = useSession();
  const now = () => session.state()?.pull_requests.find((pull) => pull.number === props.item.number);
  return (
    <A class="pull-card" href={`/s/${session.id}/pull-request`}>
      <Icon name={now()?.status === "merged" ? "merge" : "pull"} />
      <span class="pull-card-words">
        <strong class="cut"><Inline text={props.item.title} /> <span class="faint">#{props.item.number}</span></strong>
        <span class="muted">opened by {session.nameOf(props.item.author)}</span>
      </span>
      <PullBadge status={now()?.status ?? "open"} />
    </A>
  );
}

const CHANGE_ICONS = { synchronized: "branch", reviewed: "message", merged: "merge", closed: "close", reopened: "repeat" } as const;

function pullChange(change: PullRequestChange, nameOf: (user: string) => string): string {
  switch (change.type) {
    case "synchronized":
      return `New commits (${change.head.slice(0, 8)}) in`;
    case "reviewed":
      return `${nameOf(change.by)} ${change.verdict === "approved" ? "approved" : change.verdict === "changes_requested" ? "asks for changes in" : "commented on"}`;
    case "merged":
      return `${nameOf(change.by)} merged`;
    case "closed":
      return `${nameOf(change.by)} closed`;
    case "reopened":
      return `${nameOf(change.by)} reopened`;
  }
}
