import { TextField } from "@kobalte/core/text-field";
import { createUniqueId, For, type JSX, Show } from "solid-js";

/** One line of text with its label and, where useful, a word of help. */
export function Field(props: {
  label: string;
  value: string;
  onInput: (value: string) => void;
  help?: string;
  type?: "text" | "email" | "url";
  required?: boolean;
  maxLength?: number;
  placeholder?: string;
  autofocus?: boolean;
  mono?: boolean;
}): JSX.Element {
  return (
    <TextField class="field" value={props.value} onChange={props.onInput} required={props.required ?? false}>
      <TextField.Label class="label">{props.label}</TextField.Label>
      <TextField.Input
        class={props.mono ? "input mono" : "input"}
        type={props.type ?? "text"}
        maxLength={props.maxLength}
        placeholder={props.placeholder}
        autocomplete="off"
        autofocus={props.autofocus}
      />
      <Show when={props.help}>
        <TextField.Description class="help">{props.help}</TextField.Description>
      </Show>
    </TextField>
  );
}

/** Several lines of text. The box grows with what is written, up to a part of the window. */
export function TextArea(props: {
  label: string;
  /** The label is read out but not shown: the placeholder says it to those who see. */
  quietLabel?: boolean;
  value: string;
  onInput: (value: string) => void;
  placeholder?: string;
  maxLength?: number;
  rows?: number;
  class?: string;
  onKeyDown?: (event: KeyboardEvent) => void;
  ref?: (element: HTMLTextAreaElement) => void;
}): JSX.Element {
  return (
    <TextField class={`field ${props.class ?? ""}`} value={props.value} onChange={props.onInput}>
      <TextField.Label class={props.quietLabel ? "hidden-words" : "label"}>{props.label}</TextField.Label>
      <TextField.TextArea
        class="input area"
        autoResize
        rows={props.rows ?? 3}
        placeholder={props.placeholder}
        maxLength={props.maxLength}
        onKeyDown={(event: KeyboardEvent) => props.onKeyDown?.(event)}
        ref={(element: HTMLTextAreaElement) => props.ref?.(element)}
      />
    </TextField>
  );
}

/** One of a few, all in sight. */
export function Choice<Value extends string>(props: {
  label: string;
  quietLabel?: boolean;
  value: Value;
  onChange: (value: Value) => void;
  options: ReadonlyArray<{ value: Value; label: string }>;
}): JSX.Element {
  const group = createUniqueId();
  return (
    <fieldset class="field choice-field">
      <legend class={props.quietLabel ? "hidden-words" : "label"}>{props.label}</legend>
      <div class="choice">
        <For each={props.options}>
          {(option) => (
            <label class="choice-item">
              <input type="radio" name={group} value={option.value} checked={props.value === option.value} onChange={() => props.onChange(option.value)} />
              <span>{option.label}</span>
            </label>
          )}
        </For>
      </div>
    </fieldset>
  );
}
