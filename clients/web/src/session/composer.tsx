// Under the timeline: prompts that wait, the box for the next one, and Stop.

import { type BeginAt, openTurn, type PromptState, question, queue, requestId } from "@hangar/protocol";
import { Button, ErrorNote, IconButton } from "@hangar/ui";
import { createMemo, For, type JSX, Show } from "solid-js";
import { api, me } from "../account.tsx";
import { createAction } from "../action.ts";
import { createDraft } from "../drafts.ts";
import { offerKeys } from "../keys.ts";
import { useSession } from "./following.ts";
import { PromptBox } from "./prompt-box.tsx";

export function Composer(props: { onSent: () => void }): JSX.Element {
  const session = useSession();
  const [text, setText] = createDraft(session.id);
  let box: HTMLTextAreaElement | undefined;
  const turn = createMemo(() => { const state = session.state(); return state ? openTurn(state) : undefined; });
  const waiting = createMemo(() => { const state = session.state(); return state ? queue(state) : []; });
  const asked = createMemo(() => { const state = session.state(); return state && state.status === "asking" ? question(state) : undefined; });
  const send = createAction(async (id: string) => {
    await api.prompt(session.id, { request_id: id, text: text() });
    setText("");
    props.onSent();
  });
  const choose = createAction(async (choice: string) => {
    await api.prompt(session.id, { request_id: requestId(), text: choice });
    props.onSent();
  });
  const resume = createAction(() => api.resume(session.id));
  const stop = createAction(() => api.stop(session.id));
  const goOn = createAction(() => api.continueTurn(session.id));
  const stopIfRunning = (): void => {
    if (turn() && !turn()?.stop_requested_by) void stop.run();
  };
  offerKeys([
    { key: "/", does: "Write a prompt", run: () => box?.focus() },
    { key: "Escape", does: "Stop the running turn", run: stopIfRunning, always: true },
  ]);
  return (
    <div class="composer">
      <Show when={session.state()?.queue_paused_by}>
        {(by) => (
          <div class="queued">
            <span class="queued-words">{session.nameOf(by())} paused the queue.</span>
            <Button kind="quiet" busy={resume.busy()} onClick={() => void resume.run()}>Let it go on</Button>
          </div>
        )}
      </Show>
      <Show when={session.state()?.sandbox === "failed" && session.state()}>{(state) => <Failed image={state().image_commit} />}</Show>
      <Show when={asked()}>{(open) => <Answers choices={open().choices} onChosen={(choice) => void choose.run(choice)} busy={choose.busy()} />}</Show>
      <Show when={waiting().length > 0}>
        <section class="queue" aria-label="Waiting prompts">
          <For each={waiting()}>{(prompt) => <Waiting prompt={prompt} />}</For>
        </section>
      </Show>
      <ErrorNote problem={send.problem() ?? choose.problem() ?? stop.problem() ?? resume.problem() ?? goOn.problem()} />
      <Others />
      <PromptBox
        label="Prompt"
        placeholder={turn() ? "Add a prompt; it waits for its turn…" : asked() ? "Your answer" : "What next?"}
        text={text()}
        onText={(written) => { setText(written); if (written !== "") session.typing(); }}
        onSend={send.run}
        busy={send.busy()}
        rows={1}
        repo={session.state()?.repo}
        action={turn() ? "Queue" : "Send"}
        ref={(element) => { box = element; }}
      >
        <Show when={turn()?.paused}>
          <Button icon="check" busy={goOn.busy()} onClick={() => void goOn.run()}>Continue</Button>
        </Show>
        <Show when={turn()}>
          {(running) => (
            <Button kind="danger" icon="stop" busy={stop.busy() || running().stop_requested_by !== null} onClick={stopIfRunning}>
              {running().stop_requested_by === null ? "Stop" : "Stopping"}
            </Button>
          )}
        </Show>
      </PromptBox>
    </div>
  );
}

/** Answers that the agent would understand; whoever wants to say something else writes it below. */
function Answers(props: { choices: string[]; onChosen: (choice: string) => void; busy: boolean }): JSX.Element {
  return (
    <Show when={props.choices.length > 0}>
      <div class="answers" role="group" aria-label="Answers to the agent's question">
        <For each={props.choices}>{(choice) => <Button busy={props.busy} onClick={() => props.onChosen(choice)}>{choice}</Button>}</For>
      </div>
    </Show>
  );
}

/** What can be done about a sandbox that has failed. */
function Failed(props: { image: string | undefined }): JSX.Element {
  const session = useSession();
  const retry = createAction((begin_at: BeginAt) => api.retrySandbox(session.id, { begin_at }));
  return (
    <div class="queued">
      <span class="queued-words">The sandbox failed. Nothing was lost.</span>
      <Button kind="quiet" busy={retry.busy()} onClick={() => void retry.run("base")}>Try again</Button>
      <Show when={props.image}>
        {(commit) => <Button kind="quiet" busy={retry.busy()} onClick={() => void retry.run("image")}>Begin at the image's commit {commit().slice(0, 8)}</Button>}
      </Show>
      <ErrorNote problem={retry.problem()} />
    </div>
  );
}

/** Who else has the session open, and who of them is typing. */
function Others(): JSX.Element {
  const session = useSession();
  const typing = createMemo(() => session.room().typing.filter((one) => one.user !== me()?.user).map((one) => one.name));
  const words = (): string => {
    const names = typing();
    if (names.length === 0) return session.room().total > 1 ? `${session.room().total} people here` : "";
    if (names.length > 2) return `${names.length} people are typing`;
    return `${names.join(" and ")} ${names.length === 1 ? "is" : "are"} typing`;
  };
  const names = (): string => session.room().people.map((person) => person.name).join(", ");
  return <p class="others muted" role="status" title={names()}>{words()}</p>;
}

function Waiting(props: { prompt: PromptState }): JSX.Element {
  const session = useSession();
  const cancel = createAction(() => api.cancelPrompt(session.id, props.prompt.id));
  const id = requestId();
  const steer = createAction(() => api.steerPrompt(session.id, props.prompt.id, { request_id: id }));
  const runs = createMemo(() => { const state = session.state(); return state ? openTurn(state) !== undefined : false; });
  const next = (): boolean => props.prompt.status === "steering";
  const mine = (): boolean => me()?.user === props.prompt.author || me()?.user === session.state()?.owner;
  return (
    <div class="queued">
      <span class="queued-words cut"><span class="muted">{next() ? "Said at the next step" : "Next"}, {session.nameOf(props.prompt.author)}:</span> {props.prompt.text}</span>
      <Show when={mine() && runs() && !next()}>
        <IconButton icon="message" label="Say this to the running turn" busy={steer.busy()} onClick={() => void steer.run()} />
      </Show>
      <Show when={mine()}>
        <IconButton icon="close" label="Take this prompt back" busy={cancel.busy()} onClick={() => void cancel.run()} />
      </Show>
      <ErrorNote problem={cancel.problem() ?? steer.problem()} />
    </div>
  );
}
