// Markdown as elements. What an agent writes is not to be trusted: marked only cuts it into tokens, and each kind of token
// has an element of its own here. There is no way from the text to HTML: raw HTML is shown as the text that it is, links
// go to the web or to mail and nowhere else, and pictures are shown as links, so that nothing is fetched.

import { type Token, type Tokens, lexer } from "marked";
import { createMemo, For, Index, type JSX, Match, Show, Switch } from "solid-js";
import { Dynamic } from "solid-js/web";

/** Longest text that is cut into tokens; what is longer is shown as it is. */
const MARKDOWN_CHARS_MAX = 200_000;

export function Markdown(props: { text: string }): JSX.Element {
  const tokens = createMemo<Token[]>(() => {
    if (props.text.length > MARKDOWN_CHARS_MAX) return [{ type: "code", raw: props.text, text: props.text } as Tokens.Code];
    return ranked(lexer(props.text, { gfm: true, breaks: false }));
  });
  return (
    <div class="prose">
      <Blocks tokens={tokens()} />
    </div>
  );
}

/** One line of words in which only code is marked: titles, entries of a to-do list. */
export function Inline(props: { text: string }): JSX.Element {
  return <For each={props.text.split(/`([^`]+)`/)}>{(part, index) => (index() % 2 === 1 ? <code class="inline-code">{part}</code> : part)}</For>;
}

/** The page has its own first and second headings. */
const FIRST_RANK = 3;

/** Gives headings the ranks of the page: none is skipped, whatever the writer did. */
function ranked(tokens: Token[]): Token[] {
  let before = FIRST_RANK - 1;
  const headings = tokens.filter((token): token is Tokens.Heading => token.type === "heading");
  const highest = Math.min(...headings.map((heading) => heading.depth));
  for (const heading of headings) {
    before = Math.min(6, before + 1, FIRST_RANK + heading.depth - highest);
    Object.assign(heading, { rank: before });
  }
  return tokens;
}

/** Blocks by their place, so that while text streams only the last one is drawn anew. */
function Blocks(props: { tokens: Token[] }): JSX.Element {
  return <Index each={props.tokens}>{(token) => <Block token={token()} />}</Index>;
}

function Block(props: { token: Token }): JSX.Element {
  const as = <T extends Token>(type: T["type"]): T | undefined => (props.token.type === type ? (props.token as T) : undefined);
  return (
    <Switch fallback={<Show when={props.token.type !== "space" && props.token.type !== "def"}><p>{plain(props.token)}</p></Show>}>
      <Match when={as<Tokens.Paragraph>("paragraph")}>{(t) => <p><Words tokens={t().tokens} /></p>}</Match>
      <Match when={as<Tokens.Text>("text")}>
        {(t) => <Show when={t().tokens} fallback={unescape(t().text)}>{(tokens) => <Words tokens={tokens()} />}</Show>}
      </Match>
      <Match when={as<Tokens.Heading & { rank?: number }>("heading")}>
        {/* A heading inside of a list or a quotation is only strong. */}
        {(t) => <Dynamic component={t().rank === undefined ? "p" : `h${t().rank}`} class="heading"><Words tokens={t().tokens} /></Dynamic>}
      </Match>
      <Match when={as<Tokens.Code>("code")}>
        {(t) => <pre class="code" tabindex="0" role="region" aria-label={t().lang ? `Code, ${t().lang}` : "Code"}><code>{t().text}</code></pre>}
      </Match>
      <Match when={as<Tokens.Blockquote>("blockquote")}>{(t) => <blockquote><Blocks tokens={t().tokens} /></blockquote>}</Match>
      <Match when={as<Tokens.List>("list")}>
        {(t) => (
          <Dynamic component={t().ordered ? "ol" : "ul"} start={t().ordered && t().start !== 1 ? t().start : undefined}>
            <Index each={t().items}>
              {(item) => (
                <li class={item().task ? "task" : undefined}>
                  <Show when={item().task}><span aria-hidden="true">{item().checked ? "☑ " : "☐ "}</span><span class="hidden-words">{item().checked ? "done: " : "open: "}</span></Show>
                  <Blocks tokens={item().tokens.filter((token) => token.type !== "checkbox")} />
                </li>
              )}
            </Index>
          </Dynamic>
        )}
      </Match>
      <Match when={as<Tokens.Table>("table")}>{(t) => <Table table={t()} />}</Match>
      <Match when={props.token.type === "hr"}><hr /></Match>
      <Match when={as<Tokens.HTML>("html")}>{(t) => <p>{t().raw}</p>}</Match>
    </Switch>
  );
}

function Table(props: { table: Tokens.Table }): JSX.Element {
  return (
    <div class="table-scroll" tabindex="0" role="region" aria-label="Table">
      <table>
        <thead>
          <tr><For each={props.table.header}>{(cell) => <th scope="col"><Words tokens={cell.tokens} /></th>}</For></tr>
        </thead>
        <tbody>
          <For each={props.table.rows}>
            {(row) => <tr><For each={row}>{(cell) => <td><Words tokens={cell.tokens} /></td>}</For></tr>}
          </For>
        </tbody>
      </table>
    </div>
  );
}

function Words(props: { tokens: Token[] }): JSX.Element {
  return <Index each={props.tokens}>{(token) => <Word token={token()} />}</Index>;
}

function Word(props: { token: Token }): JSX.Element {
  const as = <T extends Token>(type: T["type"]): T | undefined => (props.token.type === type ? (props.token as T) : undefined);
  return (
    <Switch fallback={plain(props.token)}>
      <Match when={as<Tokens.Text>("text")}>
        {(t) => <Show when={t().tokens} fallback={unescape(t().text)}>{(tokens) => <Words tokens={tokens()} />}</Show>}
      </Match>
      <Match when={as<Tokens.Escape>("escape")}>{(t) => unescape(t().text)}</Match>
      <Match when={as<Tokens.Strong>("strong")}>{(t) => <strong><Words tokens={t().tokens} /></strong>}</Match>
      <Match when={as<Tokens.Em>("em")}>{(t) => <em><Words tokens={t().tokens} /></em>}</Match>
      <Match when={as<Tokens.Del>("del")}>{(t) => <del><Words tokens={t().tokens} /></del>}</Match>
      <Match when={as<Tokens.Codespan>("codespan")}>{(t) => <code>{t().text}</code>}</Match>
      <Match when={props.token.type === "br"}><br /></Match>
      <Match when={as<Tokens.Link>("link")}>
        {(t) => <SafeLink href={t().href}><Words tokens={t().tokens} /></SafeLink>}
      </Match>
      <Match when={as<Tokens.Image>("image")}>{(t) => <SafeLink href={t().href}>{t().text || t().href}</SafeLink>}</Match>
      <Match when={as<Tokens.HTML>("html")}>{(t) => t().raw}</Match>
    </Switch>
  );
}

/** Where a link of the text may lead: to the web and to mail. Anything else (scripts, data, files) is no link. */
export function safeHref(href: string): string | undefined {
  try {
    const url = new URL(href);
    return ["https:", "http:", "mailto:"].includes(url.protocol) ? url.href : undefined;
  } catch {
    return undefined;
  }
}

function SafeLink(props: { href: string; children: JSX.Element }): JSX.Element {
  return (
    <Show when={safeHref(props.href)} fallback={<span>{props.children}</span>}>
      {(href) => <a href={href()} target="_blank" rel="noopener noreferrer nofollow">{props.children}</a>}
    </Show>
  );
}

function plain(token: Token): string {
  return "text" in token && typeof token.text === "string" ? unescape(token.text) : token.raw;
}

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };

/** Markdown lets writers name characters that HTML would take for its own. Code spans do not. */
function unescape(text: string): string {
  return text.replace(/&(amp|lt|gt|quot|#39);/g, (whole, name: string) => ENTITIES[name] ?? whole);
}
