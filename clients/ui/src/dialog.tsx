import { Dialog as Base } from "@kobalte/core/dialog";
import type { JSX } from "solid-js";
import { Icon } from "./icon.tsx";

/** A window over the page. Escape and a press beside it close it; the focus goes back to where it was. */
export function Dialog(props: {
  open: boolean;
  onClose: () => void;
  title: string;
  about?: string;
  children: JSX.Element;
}): JSX.Element {
  return (
    <Base open={props.open} onOpenChange={(open) => !open && props.onClose()}>
      <Base.Portal>
        <Base.Overlay class="dialog-shade" />
        <div class="dialog-place">
          <Base.Content class="dialog">
            <header class="dialog-head">
              <Base.Title class="dialog-title">{props.title}</Base.Title>
              <Base.CloseButton class="button quiet icon-button" aria-label="Close">
                <Icon name="close" />
              </Base.CloseButton>
            </header>
            {props.about ? <Base.Description class="muted">{props.about}</Base.Description> : null}
            {props.children}
          </Base.Content>
        </div>
      </Base.Portal>
    </Base>
  );
}
