// Lets a person decide before a shell command runs that one of the `options` matches: regular expressions, tried on each part of the command.
//
//   [[plugins]]
//   name = "ask-before"
//   path = "/etc/hangar/plugins/ask-before.js"
//   options = ["\\\\bgit push\\\\b.*(--force|-f\\\\b)", "^\\\\S*deploy"]
//
// The turn ends, the session asks, and whoever answers "Allow it" lets this very command run once. A command can hide what it does from any expression: what must never
// happen belongs behind the sandbox's network rules and the forge's.

const patterns = options.map((text) => new RegExp(text));

export const hooks = {
  "permission.ask": (input, output) => {
    if (input.tool !== "bash") return;
    const parts = input.args.command.split(/&&|\|\||[;|\n]/).map((part) => part.trim());
    const part = parts.find((one) => patterns.some((pattern) => pattern.test(one)));
    if (part === undefined) return;
    output.status = "ask";
    output.reason = `\`${part}\` is something that a person decides here.`;
  },
};
