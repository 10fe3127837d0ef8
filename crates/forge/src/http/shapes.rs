//! How things look in GitHub's API. The conformance check holds every one of these against GitHub's own description.

use std::collections::HashMap;

use base64::Engine as _;
use serde_json::{Map, Value, json};

use crate::checks::{CheckProgress, CheckRun, Status};
use crate::comments::Comment;
use crate::commits::{Commit, Stamp};
use crate::contents::{Entry, EntryKind};
use crate::diff::{FileDiff, FileStatus, Patch};
use crate::door::{Access, ForgeUser};
use crate::names::{CommitId, RepoPath};
use crate::people::Person;
use crate::pulls::{Pull, PullState};
use crate::repos::{Repository, TEAM_IDS_FROM};
use crate::reviews::Review;

/// Makes addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Links<'a> {
    pub(crate) base: &'a str,
}

/// Repository addresses of GitHub's that only carry a name: field, and what follows the repository's own address.
const REPO_LINKS: [(&str, &str); 36] = [
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
];

const USER_LINKS: [(&str, &str); 9] = [
    ("followers_url", "/followers"),
    ("following_url", "/following{/other_user}"),
    ("gists_url", "/gists{/gist_id}"),
    ("starred_url", "/starred{/owner}{/repo}"),
    ("subscriptions_url", "/subscriptions"),
    ("organizations_url", "/orgs"),
    ("repos_url", "/repos"),
    ("events_url", "/events{/privacy}"),
    ("received_events_url", "/received_events"),
];

/// GitHub's way to write a moment.
pub(crate) fn moment(ms: i64) -> String {
    seconds(ms.div_euclid(1000))
}

fn seconds(s: i64) -> String {
    jiff::Timestamp::from_second(s).unwrap_or_default().to_string()
}

/// An opaque id like GitHub's: base64 of kind and number.
fn node_id(kind: &str, id: impl std::fmt::Display) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("{kind}:{id}"))
}

impl Links<'_> {
    fn api(&self) -> String {
        format!("{}/api/v3", self.base)
    }

    fn api_repo(&self, repo: &RepoPath) -> String {
        format!("{}/api/v3/repos/{repo}", self.base)
    }

    fn page(&self, repo: &RepoPath) -> String {
        format!("{}/{repo}", self.base)
    }

    fn account(&self, id: i64, login: &str, kind: &str) -> Value {
        let url = format!("{}/users/{login}", self.api());
        let mut map = Map::new();
        for (key, tail) in USER_LINKS {
            map.insert(key.into(), format!("{url}{tail}").into());
        }
        map.extend([
            ("login".into(), login.into()),
            ("id".into(), id.into()),
            ("node_id".into(), node_id(kind, id).into()),
            ("avatar_url".into(), format!("{}/avatars/{id}", self.base).into()),
            ("gravatar_id".into(), "".into()),
            ("html_url".into(), format!("{}/{login}", self.base).into()),
            ("url".into(), url.into()),
            ("type".into(), kind.into()),
            ("user_view_type".into(), "public".into()),
            ("site_admin".into(), false.into()),
        ]);
        Value::Object(map)
    }

    /// A person.
    pub(crate) fn person(&self, person: &Person) -> Value {
        self.account(person.id, &person.login, "User")
    }

    /// The person who asks, with what only they may see.
    pub(crate) fn myself(&self, user: &ForgeUser, repos: usize) -> Value {
        let mut value = self.account(user.id, user.login.as_str(), "User");
        merge(
            &mut value,
            json!({
                "user_view_type": "private", "name": user.name, "email": user.email, "company": null, "blog": "", "location": null, "hireable": null,
                "bio": null, "public_repos": 0, "public_gists": 0, "followers": 0, "following": 0, "created_at": seconds(0), "updated_at": seconds(0),
                "private_gists": 0, "total_private_repos": repos, "owned_private_repos": repos, "disk_usage": 0, "collaborators": 0,
                "two_factor_authentication": false,
            }),
        );
        value
    }

    /// The owner of a repository.
    pub(crate) fn owner(&self, repo: &Repository) -> Value {
        let kind = if repo.owner_id > TEAM_IDS_FROM { "Organization" } else { "User" };
        self.account(repo.owner_id, repo.path.owner.as_str(), kind)
    }

    /// A repository in full.
    pub(crate) fn repo(&self, repo: &Repository) -> Value {
        let (api, page) = (self.api_repo(&repo.path), self.page(&repo.path));
        let mut value = json!({
            "id": repo.id, "node_id": node_id("Repository", repo.id), "name": repo.path.name, "full_name": repo.path, "owner": self.owner(repo),
            "private": true, "visibility": "private", "description": repo.description, "fork": false, "url": api, "html_url": page,
            "clone_url": format!("{page}.git"), "git_url": format!("{page}.git"), "ssh_url": format!("{page}.git"), "svn_url": page, "mirror_url": null,
            "homepage": null, "language": null, "license": null, "default_branch": repo.default_branch, "size": 0, "topics": [],
            "created_at": moment(repo.created_ms), "updated_at": moment(repo.updated_ms), "pushed_at": moment(repo.pushed_ms),
        });
        merge(
            &mut value,
            json!({
                "forks": 0, "forks_count": 0, "stargazers_count": 0, "watchers": 0, "watchers_count": 0, "network_count": 0, "subscribers_count": 0,
                "open_issues": repo.open_pulls, "open_issues_count": repo.open_pulls,
                "has_issues": false, "has_projects": false, "has_wiki": false, "has_pages": false, "has_downloads": false, "has_discussions": false,
                "archived": false, "disabled": false, "is_template": false, "allow_forking": false, "web_commit_signoff_required": false,
                "allow_merge_commit": true, "allow_squash_merge": true, "allow_rebase_merge": false, "allow_auto_merge": false, "delete_branch_on_merge": false,
            }),
        );
        if let Value::Object(map) = &mut value {
            for (key, tail) in REPO_LINKS {
                map.insert(key.into(), format!("{api}{tail}").into());
            }
        }
        value
    }

    /// A repository with what the asker may do there.
    pub(crate) fn repo_for(&self, repo: &Repository, access: Access) -> Value {
        let mut value = self.repo(repo);
        let may = |needed| access >= needed;
        value["permissions"] = json!({
            "admin": may(Access::Admin), "maintain": may(Access::Admin), "push": may(Access::Write), "triage": may(Access::Write), "pull": may(Access::Read)
        });
        value
    }

    /// A ref.
    pub(crate) fn git_ref(&self, repo: &RepoPath, full_ref: &str, sha: &CommitId) -> Value {
        let api = self.api_repo(repo);
        json!({
            "ref": full_ref, "node_id": node_id("Ref", format!("{repo}:{full_ref}")), "url": format!("{api}/git/{full_ref}"),
            "object": {"type": "commit", "sha": sha, "url": format!("{api}/git/commits/{sha}")},
        })
    }

    /// A commit. `people` are known persons by e-mail address.
    pub(crate) fn commit(&self, repo: &RepoPath, commit: &Commit, people: &HashMap<String, Person>) -> Value {
        let (api, page, sha) = (self.api_repo(repo), self.page(repo), &commit.id);
        let who = |stamp: &Stamp| json!({"name": stamp.name, "email": stamp.email, "date": seconds(stamp.at_s)});
        let known = |stamp: &Stamp| people.get(&stamp.email.to_lowercase()).map(|person| self.person(person));
        let parents: Vec<Value> = commit
            .parents
            .iter()
            .map(|id| json!({"sha": id, "url": format!("{api}/commits/{id}"), "html_url": format!("{page}/commit/{id}")}))
            .collect();
        json!({
            "sha": sha, "node_id": node_id("Commit", sha), "url": format!("{api}/commits/{sha}"), "html_url": format!("{page}/commit/{sha}"),
            "comments_url": format!("{api}/commits/{sha}/comments"), "author": known(&commit.author), "committer": known(&commit.committer), "parents": parents,
            "commit": {
                "url": format!("{api}/git/commits/{sha}"), "author": who(&commit.author), "committer": who(&commit.committer), "message": commit.message,
                "tree": {"sha": commit.tree, "url": format!("{api}/git/trees/{}", commit.tree)}, "comment_count": 0,
                "verification": {"verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null},
            },
        })
    }

    /// A changed file.
    pub(crate) fn file(&self, repo: &RepoPath, at: &CommitId, file: &FileDiff) -> Value {
        let (api, page, path) = (self.api_repo(repo), self.page(repo), in_url(&file.path));
        let status = match file.status {
            FileStatus::Added => "added",
            FileStatus::Removed => "removed",
            FileStatus::Modified => "modified",
            FileStatus::Renamed => "renamed",
            FileStatus::Copied => "copied",
            FileStatus::Changed => "changed",
        };
        let mut value = json!({
            "sha": file.blob, "filename": file.path, "status": status, "additions": file.additions, "deletions": file.deletions,
            "changes": file.additions + file.deletions, "blob_url": format!("{page}/blob/{at}/{path}"), "raw_url": format!("{page}/raw/{at}/{path}"),
            "contents_url": format!("{api}/contents/{path}?ref={at}"),
        });
        if let Some(previous) = &file.previous_path {
            value["previous_filename"] = previous.as_str().into();
        }
        if let Patch::Text(text) = &file.patch {
            value["patch"] = text.as_str().into();
        }
        value
    }

    /// A pull request as lists have it.
    pub(crate) fn pull(&self, repo: &Repository, pull: &Pull) -> Value {
        let (api, page, n) = (self.api_repo(&repo.path), self.page(&repo.path), pull.number);
        let (url, html, issue) = (format!("{api}/pulls/{n}"), format!("{page}/pull/{n}"), format!("{api}/issues/{n}"));
        let (state, closed, merged, merge_sha) = match &pull.state {
            PullState::Open => ("open", None, None, None),
            PullState::Closed { at_ms } => ("closed", Some(moment(*at_ms)), None, None),
            PullState::Merged { at_ms, commit, .. } => {
                ("closed", Some(moment(*at_ms)), Some(moment(*at_ms)), Some(commit))
            }
        };
        let head_sha = &pull.head.1;
        let side = |(branch, sha): &(crate::names::BranchName, CommitId)| json!({"label": format!("{}:{branch}", repo.path.owner), "ref": branch, "sha": sha, "user": self.owner(repo), "repo": self.repo(repo)});
        let link = |href: String| json!({ "href": href });
        let mut value = json!({
            "id": pull.id, "node_id": node_id("PullRequest", pull.id), "number": n, "state": state, "locked": false, "title": pull.title,
            "user": self.person(&pull.author), "body": pull.body, "labels": [], "milestone": null, "assignee": null, "assignees": [],
            "requested_reviewers": [], "requested_teams": [], "draft": pull.draft, "auto_merge": null, "active_lock_reason": null,
            "author_association": association(repo, &pull.author), "head": side(&pull.head), "base": side(&pull.base),
            "created_at": moment(pull.created_ms), "updated_at": moment(pull.updated_ms), "closed_at": closed, "merged_at": merged,
            "merge_commit_sha": merge_sha,
        });
        merge(
            &mut value,
            json!({
                "url": url, "html_url": html, "diff_url": format!("{html}.diff"), "patch_url": format!("{html}.patch"), "issue_url": issue,
                "commits_url": format!("{url}/commits"), "review_comments_url": format!("{url}/comments"),
                "review_comment_url": format!("{api}/pulls/comments{{/number}}"), "comments_url": format!("{issue}/comments"),
                "statuses_url": format!("{api}/statuses/{head_sha}"),
                "_links": {
                    "self": link(url.clone()), "html": link(html.clone()), "issue": link(issue.clone()), "comments": link(format!("{issue}/comments")),
                    "review_comments": link(format!("{url}/comments")), "review_comment": link(format!("{api}/pulls/comments{{/number}}")),
                    "commits": link(format!("{url}/commits")), "statuses": link(format!("{api}/statuses/{head_sha}")),
                },
            }),
        );
        value
    }

    /// A review.
    pub(crate) fn review(&self, repo: &Repository, number: u64, review: &Review) -> Value {
        let url = format!("{}/pulls/{number}", self.api_repo(&repo.path));
        let html = format!("{}/pull/{number}#pullrequestreview-{}", self.page(&repo.path), review.id);
        json!({
            "id": review.id, "node_id": node_id("PullRequestReview", review.id), "user": self.person(&review.by), "body": review.body,
            "state": review.state.word(), "html_url": html, "pull_request_url": url, "commit_id": review.commit, "submitted_at": moment(review.submitted_ms),
            "author_association": association(repo, &review.by), "_links": {"html": {"href": html}, "pull_request": {"href": url}},
        })
    }

    /// A comment.
    pub(crate) fn comment(&self, repo: &Repository, number: u64, comment: &Comment) -> Value {
        let (api, id) = (self.api_repo(&repo.path), comment.id);
        json!({
            "id": id, "node_id": node_id("IssueComment", id), "url": format!("{api}/issues/comments/{id}"),
            "html_url": format!("{}/pull/{number}#issuecomment-{id}", self.page(&repo.path)), "issue_url": format!("{api}/issues/{number}"),
            "user": self.person(&comment.by), "body": comment.body, "author_association": association(repo, &comment.by),
            "created_at": moment(comment.created_ms), "updated_at": moment(comment.created_ms), "performed_via_github_app": null,
        })
    }

    /// A status.
    pub(crate) fn status(&self, repo: &RepoPath, sha: &CommitId, status: &Status) -> Value {
        json!({
            "url": format!("{}/statuses/{sha}", self.api_repo(repo)), "avatar_url": format!("{}/avatars/{}", self.base, status.by.id), "id": status.id,
            "node_id": node_id("StatusContext", status.id), "state": status.state.word(), "description": status.description,
            "target_url": status.target_url, "context": status.context, "created_at": moment(status.created_ms), "updated_at": moment(status.created_ms),
            "creator": self.person(&status.by),
        })
    }

    /// A check run.
    pub(crate) fn check_run(&self, repo: &RepoPath, run: &CheckRun) -> Value {
        let url = format!("{}/check-runs/{}", self.api_repo(repo), run.id);
        let (status, conclusion, completed) = match &run.progress {
            CheckProgress::Queued => ("queued", None, None),
            CheckProgress::InProgress => ("in_progress", None, None),
            CheckProgress::Completed { conclusion, at_ms } => {
                ("completed", Some(conclusion.word()), Some(moment(*at_ms)))
            }
        };
        let (title, summary) = run.output.clone().unzip();
        json!({
            "id": run.id, "node_id": node_id("CheckRun", run.id), "head_sha": run.commit, "name": run.name, "url": url,
            "html_url": format!("{}/commit/{}/checks/{}", self.page(repo), run.commit, run.id), "details_url": run.details_url,
            "external_id": run.external_id, "status": status, "conclusion": conclusion, "started_at": moment(run.started_ms), "completed_at": completed,
            "output": {"title": title, "summary": summary, "text": null, "annotations_count": 0, "annotations_url": format!("{url}/annotations")},
            "check_suite": null, "app": null, "pull_requests": [],
        })
    }

    /// An entry of a directory, or the head of a file's own answer.
    pub(crate) fn entry(&self, repo: &RepoPath, at: &str, entry: &Entry) -> Value {
        let (api, page, path) = (self.api_repo(repo), self.page(repo), in_url(&entry.path));
        let at = in_url(at);
        let (kind, git) = match entry.kind {
            EntryKind::File => ("file", "blobs"),
            EntryKind::Dir => ("dir", "trees"),
            EntryKind::Symlink => ("symlink", "blobs"),
            EntryKind::Submodule => ("submodule", "trees"),
        };
        let name = entry.path.rsplit('/').next().unwrap_or_default();
        let (url, git) = (format!("{api}/contents/{path}?ref={at}"), format!("{api}/git/{git}/{}", entry.id));
        let html = format!("{page}/{}/{at}/{path}", if entry.kind == EntryKind::Dir { "tree" } else { "blob" });
        let raw = (entry.kind == EntryKind::File).then(|| format!("{page}/raw/{at}/{path}"));
        json!({
            "type": kind, "size": entry.size, "name": name, "path": entry.path, "sha": entry.id, "url": url, "git_url": git, "html_url": html,
            "download_url": raw, "_links": {"self": url, "git": git, "html": html},
        })
    }
}

fn association(repo: &Repository, person: &Person) -> &'static str {
    if repo.owner_id == person.id { "OWNER" } else { "COLLABORATOR" }
}

/// Adds the fields of one object to another.
pub(crate) fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

/// A path within a URL: slashes stay, everything unusual is percent-encoded.
fn in_url(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~' | b'+' | b'@') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
