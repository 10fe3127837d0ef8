// Lets a pull request be opened only when the tests were run and passed after the last change.
//
//   [[plugins]]
//   name = "tests-before-pull-request"
//   path = "/etc/hangar/plugins/tests-before-pull-request.js"
//   options = ["\\bcargo (test|nextest)\\b", "\\bnpm (run )?test\\b"]
//
// `options` are regular expressions for commands that run the tests; without any, those below count. A command passed when
// its exit status says so. What was tested is remembered until the server restarts: then the tests are run once more.

const USUAL = ["\\bcargo (test|nextest)\\b", "\\b(npm|pnpm|yarn) (run )?test\\b", "\\bpytest\\b", "\\bgo test\\b", "\\bmake (test|check)\\b"];
const SESSIONS_MAX = 1000;

const tests = (options.length > 0 ? options : USUAL).map((pattern) => new RegExp(pattern));
/** Sessions whose last change was tested, the oldest first. */
const tested = new Set();

const remember = (session) => {
  tested.delete(session);
  tested.add(session);
  if (tested.size > SESSIONS_MAX) tested.delete(tested.values().next().value);
};

export const hooks = {
  "tool.execute.before": ({ tool, sessionID }) => {
    if (tool === "open_pull_request" && !tested.has(sessionID)) {
      throw new Error("Run the repository's tests first: a pull request is opened here only when they passed after the last change.");
    }
  },
  "tool.execute.after": ({ tool, args, ok, sessionID }) => {
    if (tool === "write" || tool === "edit" || tool === "apply_patch") tested.delete(sessionID);
    if (tool !== "bash") return;
    const runsTests = tests.some((pattern) => pattern.test(args.command));
    if (runsTests && ok && !args.background) remember(sessionID);
    // Git keeps what was tested; any other command may have changed it.
    else if (!/^\s*git\s/.test(args.command)) tested.delete(sessionID);
  },
};
