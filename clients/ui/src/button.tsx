import { Button as Base } from "@kobalte/core/button";
import { createSignal, type JSX, onCleanup, Show, splitProps } from "solid-js";
import { Spinner } from "./atoms.tsx";
import { Icon, type IconName } from "./icon.tsx";

interface ButtonProps extends Omit<JSX.ButtonHTMLAttributes<HTMLButtonElement>, "ref"> {
  kind?: "primary" | "plain" | "quiet" | "danger";
  icon?: IconName;
  /** Work that it began is under way: it shows so and cannot be pressed again. */
  busy?: boolean;
  ref?: (element: HTMLButtonElement) => void;
}

export function Button(props: ButtonProps): JSX.Element {
  const [own, rest] = splitProps(props, ["kind", "icon", "busy", "children", "class", "disabled"]);
  return (
    <Base {...rest} type={rest.type ?? "button"} class={`button ${own.kind ?? "plain"} ${own.class ?? ""}`} disabled={own.disabled === true || own.busy === true} aria-busy={own.busy ? "true" : undefined}>
      <Show when={own.busy} fallback={<Show when={own.icon}>{(name) => <Icon name={name()} />}</Show>}>
        <Spinner />
      </Show>
      <Show when={own.children}>
        <span class="button-words">{own.children}</span>
      </Show>
    </Base>
  );
}

/** A button that is only a picture: `label` is its name, and is shown on hovering. */
export function IconButton(props: Omit<ButtonProps, "children"> & { label: string; icon: IconName }): JSX.Element {
  const [own, rest] = splitProps(props, ["label", "class"]);
  return <Button kind="quiet" {...rest} aria-label={own.label} title={own.label} class={`icon-button ${own.class ?? ""}`} />;
}

/** How long "Copied" is shown. */
const COPIED_MS = 2000;

/** Puts `text` into the clipboard and says so. */
export function CopyButton(props: { text: string; label?: string }): JSX.Element {
  const [copied, setCopied] = createSignal(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  onCleanup(() => clearTimeout(timer));
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(props.text);
    setCopied(true);
    clearTimeout(timer);
    timer = setTimeout(() => setCopied(false), COPIED_MS);
  };
  return (
    <Button icon={copied() ? "check" : "copy"} onClick={() => void copy()}>
      <span aria-live="polite">{copied() ? "Copied" : (props.label ?? "Copy")}</span>
    </Button>
  );
}
