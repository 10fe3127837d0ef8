import { type Accessor, createSignal, onCleanup } from "solid-js";

/** Whether the window fits a media query, kept true. */
export function createMediaQuery(query: string): Accessor<boolean> {
  const list = matchMedia(query);
  const [fits, setFits] = createSignal(list.matches);
  const look = (): void => void setFits(list.matches);
  list.addEventListener("change", look);
  onCleanup(() => list.removeEventListener("change", look));
  return fits;
}
