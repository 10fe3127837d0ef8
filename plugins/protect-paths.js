// Keeps what is named in `options` from being written: files, and directories with everything below them.
//
//   [[plugins]]
//   name = "protect-paths"
//   path = "/etc/hangar/plugins/protect-paths.js"
//   options = ["db/migrations", ".github/workflows"]
//
// The tools that write are stopped for sure. A shell command is stopped where it names such a path beside a word that
// writes; a shell has other ways, so what must never change belongs behind a review at the forge as well.

const WORKSPACE = "/workspace";
const WRITES = /(^|[\s;&|(])(rm|mv|cp|tee|dd|ln|install|truncate|touch|mkdir|rmdir|patch|git\s+(rm|mv|apply|checkout|restore|reset|stash)|sed\s+(-\S+\s+)*-\S*i\S*|perl\s+(-\S+\s+)*-\S*i\S*)(\s|$)|>/;

/** A path as the sandbox means it: absolute, without `.` and `..`. */
const plain = (path) => {
  const names = [];
  for (const name of (path.startsWith("/") ? path : `${WORKSPACE}/${path}`).split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  return `/${names.join("/")}`;
};

const protectedPaths = options.map((path) => {
  const whole = plain(path);
  return { shown: path, plain: whole, tail: whole.startsWith(`${WORKSPACE}/`) ? whole.slice(WORKSPACE.length) : whole };
});

/** The entry that covers a path. */
const covering = (path) =>
  protectedPaths.find((entry) => path === entry.plain || path.startsWith(`${entry.plain}/`));

/** The entry that a command names, wherever it went by `cd` before, where it seems to write. */
const written = (command, cwd) => {
  if (!WRITES.test(command)) return undefined;
  for (const word of command.split(/[\s;&|()<>"'`=]+/)) {
    const path = plain(word.startsWith("/") ? word : `${cwd}/${word}`);
    const entry = covering(path) ?? protectedPaths.find(({ tail }) => `${path}/`.includes(`${tail}/`));
    if (entry) return entry;
  }
  return undefined;
};

/** The paths that a patch names: files that it adds, deletes, changes, and where it moves them. */
const patched = (patch) =>
  [...patch.matchAll(/^\*\*\* (?:Add File|Delete File|Update File|Move to): (.*)$/gm)].map(([, path]) => path.trim());

export const hooks = {
  "tool.execute.before": ({ tool }, { args }) => {
    let entry;
    if ((tool === "write" || tool === "edit") && typeof args.path === "string") entry = covering(plain(args.path));
    if (tool === "apply_patch" && typeof args.patch === "string") entry = patched(args.patch).map(plain).map(covering).find(Boolean);
    if (tool === "bash" && typeof args.command === "string") entry = written(args.command, plain(args.cwd ?? "."));
    if (entry) throw new Error(`${entry.shown} is protected here: leave it as it is, and tell the person if it has to change.`);
  },
};
