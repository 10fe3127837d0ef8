// Tells the agent what the team wants it to know at the beginning of every turn: who is on call, what is frozen.
//
//   [[plugins]]
//   name = "team-context"
//   path = "/etc/hangar/plugins/team-context.js"
//   repos = ["acme/*"]
//   on_failure = "open"
//   options = ["On call this week: Jane (jane@example.org).", "acme/billing: no schema changes before the 15th."]
//
// A text that begins with a repository's name and a colon is told in that repository alone.

const scoped = options.map((text) => {
  const [, repo, words] = /^([\w.-]+\/[\w.-]+):\s*(.*)$/s.exec(text) ?? [null, null, text];
  return { repo, words };
});

export const hooks = {
  "context.inject": ({ repo }, output) => {
    for (const entry of scoped) {
      if (entry.repo === null || entry.repo === repo) output.context.push(entry.words);
    }
  },
};
