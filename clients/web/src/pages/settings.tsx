// Settings of a person, and of the server for its owners.

import type { CreatedToken, Role, SignInLink, TokenInfo } from "@hangar/protocol";
import { useNavigate } from "@solidjs/router";
import { Avatar, Button, Choice, CopyButton, ErrorNote, Field, Loading, Note, When } from "@hangar/ui";
import { createSignal, For, type JSX, onMount, Show } from "solid-js";
import { api, me, signOut } from "../account.tsx";
import { createAction } from "../action.ts";
import { applyTheme, type Theme, theme } from "../appearance.ts";
import { createFetched } from "../fetched.ts";

export default function Settings(): JSX.Element {
  const navigate = useNavigate();
  const leave = createAction(async () => { await signOut(); navigate("/sign-in"); });
  onMount(() => { document.title = "Settings · hangar"; });
  return (
    <main class="page settings" id="content">
      <h1>Settings</h1>
      <section class="card">
        <div class="row spread">
          <Show when={me()}>
            {(who) => <div class="row"><Avatar login={who().user} name={who().name} /><div><strong>{who().name}</strong> <span class="faint">{who().user} · {who().role}</span><br /><span class="muted">{who().email}</span></div></div>}
          </Show>
          <Button busy={leave.busy()} onClick={() => void leave.run()}>Sign out</Button>
        </div>
        <ErrorNote problem={leave.problem()} />
      </section>
      <Appearance />
      <Tokens />
      <People />
    </main>
  );
}

const THEMES = [
  { value: "system", label: "System" },
  { value: "light", label: "Light" },
  { value: "dark", label: "Dark" },
] as const;

function Appearance(): JSX.Element {
  const [chosen, setChosen] = createSignal<Theme>(theme());
  return (
    <section class="card" aria-labelledby="appearance">
      <h2 id="appearance">Appearance</h2>
      <Choice label="Theme" value={chosen()} options={THEMES} onChange={(next) => { applyTheme(next); setChosen(next); }} />
    </section>
  );
}

function Tokens(): JSX.Element {
  const tokens = createFetched(() => api.tokens());
  const [label, setLabel] = createSignal("");
  const [created, setCreated] = createSignal<CreatedToken>();
  const create = createAction(async () => {
    setCreated(await api.createToken(label().trim()));
    setLabel("");
    await tokens.refetch();
  });
  return (
    <section class="card" aria-labelledby="tokens">
      <h2 id="tokens">Personal access tokens</h2>
      <p class="muted">For scripts and the command line (<code>Authorization: Bearer …</code>), and as the password of git. A token may do what you may do.</p>
      <Show when={created()}>
        {(token) => (
          <Note tone="good" icon="check" role="status">
            <strong>“{token().label}” was made. Copy it now: it is not shown again.</strong>
            <div class="secret"><code>{token().secret}</code><CopyButton text={token().secret} /></div>
          </Note>
        )}
      </Show>
      <ErrorNote problem={tokens.problem()} onRetry={() => void tokens.refetch()} />
      <Show when={tokens.value()} fallback={<Show when={!tokens.problem()}><Loading label="Loading tokens" /></Show>}>
        {(list) => (
          <ul class="rows">
            <For each={list()} fallback={<li class="muted">You have none.</li>}>
              {(token) => <Token token={token} onDeleted={() => { if (created()?.id === token.id) setCreated(undefined); void tokens.refetch(); }} />}
            </For>
          </ul>
        )}
      </Show>
      <form class="inline-form" onSubmit={(event) => { event.preventDefault(); void create.run(); }}>
        <Field label="What it is for" value={label()} onInput={setLabel} required maxLength={100} placeholder="my laptop's command line" />
        <Button type="submit" icon="plus" busy={create.busy()}>Create token</Button>
      </form>
      <ErrorNote problem={create.problem()} />
    </section>
  );
}

function Token(props: { token: TokenInfo; onDeleted: () => void }): JSX.Element {
  const remove = createAction(async () => { await api.deleteToken(props.token.id); props.onDeleted(); });
  return (
    <li>
      <span class="grow cut"><strong>{props.token.label}</strong></span>
      <span class="muted">
        <Show when={props.token.used_ms !== null} fallback="never used">used <When ms={props.token.used_ms ?? 0} /></Show>
      </span>
      <Button kind="danger" icon="trash" busy={remove.busy()} onClick={() => void remove.run()} aria-label={`Delete the token “${props.token.label}”`}>Delete</Button>
      <ErrorNote problem={remove.problem()} />
    </li>
  );
}

const ROLES = [
  { value: "member", label: "Member" },
  { value: "owner", label: "Owner" },
] as const;

function People(): JSX.Element {
  const users = createFetched(() => api.users());
  const [link, setLink] = createSignal<{ of: string; link: SignInLink }>();
  const [user, setUser] = createSignal("");
  const [name, setName] = createSignal("");
  const [email, setEmail] = createSignal("");
  const [role, setRole] = createSignal<Role>("member");
  const owner = (): boolean => me()?.role === "owner";
  const add = createAction(async () => {
    const made = await api.addUser({ user: user().trim(), name: name().trim(), email: email().trim(), role: role() });
    setLink({ of: user().trim(), link: made });
    setUser(""); setName(""); setEmail("");
    await users.refetch();
  });
  const again = createAction(async (of: string) => { setLink({ of, link: await api.signInLink(of) }); });
  return (
    <section class="card" aria-labelledby="people">
      <h2 id="people">People</h2>
      <ErrorNote problem={users.problem()} onRetry={() => void users.refetch()} />
      <Show when={link()}>
        {(made) => (
          <Note tone="good" icon="check" role="status">
            <strong>A sign-in link for {made().of}. It works once; hand it over now.</strong>
            <div class="secret"><code>{made().link.url}</code><CopyButton text={made().link.url} label="Copy link" /></div>
          </Note>
        )}
      </Show>
      <Show when={users.value()} fallback={<Show when={!users.problem()}><Loading label="Loading people" /></Show>}>
        {(list) => (
          <ul class="rows">
            <For each={list()}>
              {(person) => (
                <li>
                  <Avatar login={person.user} name={person.name} />
                  <span class="grow cut"><strong>{person.name}</strong> <span class="faint">{person.user}{person.role ? ` · ${person.role}` : ""}</span></span>
                  <Show when={owner() || person.user === me()?.user}>
                    <Button busy={again.busy()} onClick={() => void again.run(person.user)} aria-label={`New sign-in link for ${person.name}`}>Sign-in link</Button>
                  </Show>
                </li>
              )}
            </For>
          </ul>
        )}
      </Show>
      <ErrorNote problem={again.problem()} />
      <Show when={owner()} fallback={<p class="muted">Owners can add people.</p>}>
        <h3>Add a person</h3>
        <form class="grid-form" onSubmit={(event) => { event.preventDefault(); void add.run(); }}>
          <Field label="Login" value={user()} onInput={setUser} required mono maxLength={39} placeholder="grace" />
          <Field label="Name" value={name()} onInput={setName} required maxLength={100} placeholder="Grace Hopper" help="Commits carry it." />
          <Field label="E-mail" type="email" value={email()} onInput={setEmail} required maxLength={200} placeholder="grace@example.com" help="Commits carry it." />
          <Choice label="Role" value={role()} onChange={setRole} options={ROLES} />
          <div class="row end"><Button type="submit" kind="primary" icon="plus" busy={add.busy()}>Add person</Button></div>
        </form>
        <ErrorNote problem={add.problem()} />
      </Show>
    </section>
  );
}
