// Where prompts are written: on the first page and under every timeline.

import { requestId } from "@hangar/protocol";
import { Button, Kbd, TextArea } from "@hangar/ui";
import { type JSX, Show } from "solid-js";
import { offerSavedPrompts } from "./saved-prompts.tsx";

/** Longest prompt the server takes, in UTF-8 bytes; characters can only be fewer. */
const PROMPT_CHARS_MAX = 262_144;

const ON_MAC = /Mac|iPhone|iPad/.test(navigator.userAgent);

export function PromptBox(props: {
  label: string;
  placeholder: string;
  text: string;
  onText: (text: string) => void;
  /** Sends; gives whether it was accepted. A repeated attempt has the same id, so it cannot arrive twice. */
  onSend: (requestId: string) => Promise<boolean>;
  busy: boolean;
  action: string;
  rows: number;
  /** Where it is said; its saved prompts are offered after a slash. */
  repo: string | null | undefined;
  ref?: (element: HTMLTextAreaElement) => void;
  children?: JSX.Element;
}): JSX.Element {
  let id = requestId();
  let sentText = "";
  const send = async (): Promise<void> => {
    if (props.text.trim() === "" || props.busy) return;
    if (sentText !== props.text) id = requestId();
    sentText = props.text;
    if (await props.onSend(id)) sentText = "";
  };
  const saved = offerSavedPrompts(() => props.text, () => props.repo, (text) => props.onText(text));
  return (
    <form class="prompt-box" onSubmit={(event) => { event.preventDefault(); void send(); }}>
      <saved.List />
      <TextArea
        label={props.label}
        quietLabel
        rows={props.rows}
        placeholder={props.placeholder}
        value={props.text}
        onInput={props.onText}
        maxLength={PROMPT_CHARS_MAX}
        ref={(element) => props.ref?.(element)}
        onKeyDown={(event) => {
          if (saved.key(event)) return;
          if (event.key === "Enter" && (event.metaKey || event.ctrlKey) && !event.isComposing) {
            event.preventDefault();
            void send();
          }
        }}
      />
      <div class="prompt-row">
        <div class="prompt-extras">{props.children}</div>
        <span class="only-pointer faint send-keys" aria-hidden="true"><Kbd>{ON_MAC ? "⌘" : "Ctrl"}</Kbd><Kbd>↵</Kbd></span>
        <Button kind="primary" type="submit" icon="send" busy={props.busy} disabled={props.text.trim() === ""}>
          <Show when={props.action}>{props.action}</Show>
        </Button>
      </div>
    </form>
  );
}
