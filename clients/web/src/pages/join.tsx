// An invitation's link: `/join/SESSION#SECRET`. It says what one is invited to, and has one button.

import { useNavigate, useParams } from "@solidjs/router";
import { Button, ErrorNote, Loading } from "@hangar/ui";
import type { SessionRole } from "@hangar/protocol";
import { type JSX, onMount, Show } from "solid-js";
import { api } from "../account.tsx";
import { createAction } from "../action.ts";
import { createFetched } from "../fetched.ts";
import { secretOf } from "../invitation.ts";

const MAY: Record<SessionRole, string> = {
  viewer: "read everything in it",
  prompter: "read everything, prompt the agent, stop it and open pull requests",
  owner: "do everything, as its owners do",
};

export default function Join(): JSX.Element {
  const params = useParams<{ id: string }>();
  const navigate = useNavigate();
  const secret = secretOf(location.pathname, location.hash);
  const invitation = createFetched(() => api.lookAtInvitation(params.id, secret));
  const join = createAction(async () => {
    const joined = await api.join(params.id, secret);
    navigate(`/s/${joined.session}`, { replace: true });
  });
  onMount(() => {
    document.title = "Invitation · hangar";
  });
  return (
    <main class="page" id="content">
      <h1>Invitation</h1>
      <ErrorNote problem={invitation.problem() ?? join.problem()} />
      <Show when={invitation.value()} fallback={<Show when={!invitation.problem()}><Loading label="Looking at the invitation" /></Show>}>
        {(view) => (
          <div class="stack">
            <p><strong>{view().by}</strong> invites you to the session “{view().title}” on <code>{view().repo}</code>.</p>
            <p class="muted">You may {MAY[view().role]}.</p>
            <p><Button kind="primary" busy={join.busy()} onClick={() => void join.run()}>Join the session</Button></p>
          </div>
        )}
      </Show>
    </main>
  );
}
