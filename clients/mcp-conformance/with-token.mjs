// Loaded before the conformance suite, which knows no tokens: every request to the server that is judged carries one.
import { Agent, interceptors, setGlobalDispatcher } from "undici";

const { MCP_URL: url, MCP_TOKEN: token } = process.env;
const origin = new URL(url).origin;
const ask = globalThis.fetch;
globalThis.fetch = (input, init = {}) => {
  const address = new URL(input instanceof Request ? input.url : input);
  if (address.origin !== origin) return ask(input, init);
  const headers = new Headers(init.headers ?? (input instanceof Request ? input.headers : undefined));
  headers.set("authorization", `Bearer ${token}`);
  return ask(input, { ...init, headers });
};
// One scenario asks below fetch, since it has to choose the Host header itself.
const tokened = (dispatch) => (options, handler) => dispatch({ ...options, headers: { ...options.headers, authorization: `Bearer ${token}` } }, handler);
setGlobalDispatcher(new Agent().compose(tokened, interceptors.redirect({ maxRedirections: 0 })));
