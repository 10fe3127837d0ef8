import { A } from "@solidjs/router";
import { EmptyState } from "@hangar/ui";
import type { JSX } from "solid-js";

export function NotFound(): JSX.Element {
  return (
    <main class="page" id="content">
      <h1 class="hidden-words">Not found</h1>
      <EmptyState icon="search" title="There is nothing at this address.">
        It may have been mistyped. <A href="/">All sessions</A>
      </EmptyState>
    </main>
  );
}
