// Runs GitHub's own client through the life of a pull request on a running forge. Every answer, also every refusal, is held against
// GitHub's description of it.
//
// Environment: FORGE_URL (…/api/v3), FORGE_OWNER_TOKEN and FORGE_WRITER_TOKEN (two people), FORGE_REPO (owner/name, with the branches
// `first`, `second` (same lines as `first`) and `third`).
import assert from "node:assert/strict";
import { Octokit } from "@octokit/rest";
import { Description } from "./description.mjs";

const need = (name) => process.env[name] ?? assert.fail(`${name} is not set`);
const [owner, repo] = need("FORGE_REPO").split("/");
const at = { owner, repo };
const description = await Description.load();
const seen = new Map();
const faults = [];

function hold(options, status, headers, body) {
  const key = `${options.method} ${description.find(options.method, options.url) ?? options.url} ${status}`;
  seen.set(key, (seen.get(key) ?? 0) + 1);
  if (!(headers["content-type"] ?? "application/json").startsWith("application/json")) return;
  for (const fault of description.faults(options.method, options.url, status, body)) faults.push(`${key}: ${fault}`);
}

function client(token) {
  const octokit = new Octokit({ auth: token, baseUrl: need("FORGE_URL"), log: { debug() {}, info() {}, warn() {}, error() {} } });
  octokit.hook.wrap("request", async (request, options) => {
    try {
      const answer = await request(options);
      hold(options, answer.status, answer.headers, answer.data);
      return answer;
    } catch (error) {
      if (error.response) hold(options, error.response.status, error.response.headers, error.response.data);
      throw error;
    }
  });
  return octokit;
}

async function refused(status, words, call) {
  const error = await call.then(() => assert.fail(`expected ${status} ${words}`), (error) => error);
  assert.equal(error.status, status, error.message);
  const data = error.response.data;
  const texts = [data.message, ...(data.errors ?? []).map((entry) => entry.message ?? entry.code ?? entry)];
  assert.ok(texts.some((text) => text.includes(words)), `expected "${words}" in ${JSON.stringify(data)}`);
  assert.ok(data.documentation_url.startsWith("https://docs.github.com/"));
}

const alice = client(need("FORGE_OWNER_TOKEN"));
const bob = client(need("FORGE_WRITER_TOKEN"));

// People and repositories.
const me = (await alice.users.getAuthenticated()).data;
const other = (await bob.users.getAuthenticated()).data;
assert.notEqual(me.id, other.id);
await refused(401, "Bad credentials", client("nobody").users.getAuthenticated());
await refused(401, "Requires authentication", client(undefined).users.getAuthenticated());
assert.equal((await alice.repos.get(at)).data.permissions.admin, true);
await refused(404, "Not Found", alice.repos.get({ owner, repo: "none" }));
const made = (await alice.repos.createForAuthenticatedUser({ name: "made-here", description: "By octokit", auto_init: true })).data;
assert.equal(made.full_name, `${me.login}/made-here`);
await refused(422, "name already exists", alice.repos.createForAuthenticatedUser({ name: "made-here" }));
assert.ok((await alice.paginate(alice.repos.listForAuthenticatedUser, { per_page: 1 })).length >= 2);
await refused(404, "Not Found", bob.repos.get({ owner: me.login, repo: "made-here" }));

// Branches and refs.
const branches = await alice.paginate(alice.repos.listBranches, { ...at, per_page: 2 });
assert.deepEqual(branches.map((branch) => branch.name).sort(), ["first", "main", "second", "third"]);
const main = (await alice.repos.getBranch({ ...at, branch: "main" })).data;
await refused(404, "Branch not found", alice.repos.getBranch({ ...at, branch: "none" }));
const ref = (await bob.git.getRef({ ...at, ref: "heads/main" })).data;
assert.equal(ref.object.sha, main.commit.sha);
await refused(404, "Not Found", bob.git.getRef({ ...at, ref: "heads/none" }));
const made_ref = (await bob.git.createRef({ ...at, ref: "refs/heads/topic/one", sha: main.commit.sha })).data;
assert.equal(made_ref.ref, "refs/heads/topic/one");
await refused(422, "Reference already exists", bob.git.createRef({ ...at, ref: "refs/heads/topic/one", sha: main.commit.sha }));
await refused(422, "Object does not exist", bob.git.createRef({ ...at, ref: "refs/heads/topic/two", sha: "1".repeat(40) }));
const first = (await bob.repos.getBranch({ ...at, branch: "first" })).data.commit.sha;
await bob.git.updateRef({ ...at, ref: "heads/topic/one", sha: first });
await refused(422, "Update is not a fast forward", bob.git.updateRef({ ...at, ref: "heads/topic/one", sha: main.commit.sha }));
await bob.git.updateRef({ ...at, ref: "heads/topic/one", sha: main.commit.sha, force: true });
assert.equal((await bob.git.listMatchingRefs({ ...at, ref: "heads/topic" })).data.length, 1);
await bob.git.deleteRef({ ...at, ref: "heads/topic/one" });
await refused(422, "Reference does not exist", bob.git.deleteRef({ ...at, ref: "heads/topic/one" }));

// Commits, comparisons, files.
const commits = await alice.paginate(alice.repos.listCommits, { ...at, sha: "first", per_page: 1 });
assert.equal(commits[0].sha, first);
assert.ok(commits.length >= 2);
const commit = (await alice.repos.getCommit({ ...at, ref: "first" })).data;
assert.equal(commit.files.length, commit.stats.total > 0 ? commit.files.length : 0);
await alice.repos.getCommit({ ...at, ref: commits.at(-1).sha });
await refused(422, "No commit found for SHA: none", alice.repos.getCommit({ ...at, ref: "none" }));
const comparison = (await alice.repos.compareCommitsWithBasehead({ ...at, basehead: "main...first" })).data;
assert.deepEqual([comparison.status, comparison.ahead_by, comparison.behind_by], ["ahead", 1, 0]);
assert.equal((await alice.repos.compareCommitsWithBasehead({ ...at, basehead: "first...second" })).data.status, "diverged");
const readme = (await alice.repos.getContent({ ...at, path: "README.md" })).data;
assert.equal(Buffer.from(readme.content, "base64").toString(), "# web\n");
assert.ok(Array.isArray((await alice.repos.getContent({ ...at, path: "src" })).data));
assert.ok(Array.isArray((await alice.repos.getContent({ ...at, path: "", ref: "first" })).data));
assert.equal((await alice.repos.getContent({ ...at, path: "README.md", mediaType: { format: "raw" } })).data, "# web\n");
await refused(404, "Not Found", alice.repos.getContent({ ...at, path: "none.txt" }));

// Pull requests: opening.
const pull = (await bob.pulls.create({ ...at, title: "First", head: "first", base: "main", body: "Because" })).data;
assert.deepEqual([pull.user.login, pull.state, pull.mergeable], [other.login, "open", true]);
await refused(422, `A pull request already exists for ${owner}:first.`, bob.pulls.create({ ...at, title: "Again", head: "first", base: "main" }));
await refused(422, "No commits between main and main", bob.pulls.create({ ...at, title: "None", head: "main", base: "main" }));
await refused(422, "there is no branch none", bob.pulls.create({ ...at, title: "None", head: "none", base: "main" }));
const n = { ...at, pull_number: pull.number };
assert.equal((await alice.pulls.get(n)).data.head.sha, first);
await refused(404, "Not Found", alice.pulls.get({ ...at, pull_number: 99 }));
assert.match((await alice.pulls.get({ ...n, mediaType: { format: "diff" } })).data, /^diff --git /);
assert.equal((await alice.pulls.list({ ...at, head: `${owner}:first` })).data.length, 1);
assert.equal((await alice.pulls.listCommits(n)).data.length, 1);
assert.equal((await alice.pulls.listFiles(n)).data[0].filename, "src/app.txt");
assert.equal((await bob.pulls.update({ ...n, title: "First, renamed" })).data.title, "First, renamed");

// What people and machines say about it.
await refused(422, "Can not approve your own pull request", bob.pulls.createReview({ ...n, event: "APPROVE" }));
await refused(422, "Can not request changes on your own pull request", bob.pulls.createReview({ ...n, event: "REQUEST_CHANGES", body: "no" }));
assert.equal((await alice.pulls.createReview({ ...n, event: "APPROVE", body: "Good" })).data.state, "APPROVED");
assert.equal((await alice.pulls.listReviews(n)).data.length, 1);
for (const body of ["one", "two", "three"]) await alice.issues.createComment({ ...at, issue_number: pull.number, body });
const comments = await alice.paginate(alice.issues.listComments, { ...at, issue_number: pull.number, per_page: 2 });
assert.deepEqual(comments.map((comment) => comment.body), ["one", "two", "three"]);
const sha = { ...at, sha: first };
assert.equal((await alice.repos.getCombinedStatusForRef({ ...at, ref: first })).data.state, "pending");
await bob.repos.createCommitStatus({ ...sha, state: "pending", context: "tests" });
await bob.repos.createCommitStatus({ ...sha, state: "success", context: "tests", description: "12 passed", target_url: "https://ci.example.com/1" });
assert.equal((await alice.repos.getCombinedStatusForRef({ ...at, ref: "first" })).data.state, "success");
assert.equal((await alice.repos.listCommitStatusesForRef({ ...at, ref: first })).data.length, 2);
const run = { ...at, name: "lint", head_sha: first };
await bob.checks.create({ ...run, status: "in_progress" });
const done = await bob.checks.create({ ...run, status: "completed", conclusion: "success", output: { title: "Clean", summary: "Nothing found" } });
assert.equal(done.data.conclusion, "success");
assert.equal((await alice.checks.listForRef({ ...at, ref: first })).data.total_count, 1);

// Merging.
await refused(404, "Not Found", alice.pulls.checkIfMerged(n));
await refused(409, "Head branch was modified", alice.pulls.merge({ ...n, sha: main.commit.sha }));
await refused(405, "Rebase merges are not allowed", alice.pulls.merge({ ...n, merge_method: "rebase" }));
assert.equal((await alice.pulls.merge({ ...n, sha: first })).data.merged, true);
assert.equal((await alice.pulls.checkIfMerged(n)).status, 204);
const merged = (await alice.pulls.get(n)).data;
assert.deepEqual([merged.merged, merged.merged_by.login, merged.state], [true, me.login, "closed"]);
const second = (await bob.pulls.create({ ...at, title: "Second", head: "second", base: "main" })).data;
assert.equal(second.mergeable, false);
await refused(405, "Pull Request is not mergeable", alice.pulls.merge({ ...at, pull_number: second.number }));
const third = (await bob.pulls.create({ ...at, title: "Third", head: "third", base: "main" })).data;
const squashed = (await alice.pulls.merge({ ...at, pull_number: third.number, merge_method: "squash" })).data;
assert.equal((await alice.repos.getCommit({ ...at, ref: squashed.sha })).data.parents.length, 1);
assert.equal((await bob.pulls.update({ ...at, pull_number: second.number, state: "closed" })).data.state, "closed");
assert.equal((await alice.paginate(alice.pulls.list, { ...at, state: "all", per_page: 1 })).length, 3);

// The check itself must be able to fail: an answer without a required field, with a wrong type, with an unknown status.
const broken = structuredClone(merged);
delete broken.user.gravatar_id;
delete broken._links;
broken.number = "one";
const found = description.faults("GET", "/repos/{owner}/{repo}/pulls/{pull_number}", 200, broken);
for (const word of ["gravatar_id", "_links", "/number"]) assert.ok(found.some((fault) => fault.includes(word)), `${word} was not missed`);
assert.equal(description.faults("GET", "/repos/{owner}/{repo}", 418, {}).length, 1);

const answers = [...seen.values()].reduce((sum, count) => sum + count, 0);
console.log(JSON.stringify({ answers, kinds: seen.size, faults: faults.length }));
if (faults.length > 0) {
  console.error([...new Set(faults)].join("\n"));
  process.exit(1);
}
