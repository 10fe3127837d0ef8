//! How things look in GitHub's API. The conformance check holds every one of these against GitHub's own description.

mod checks;
mod commits;
mod pulls;

use base64::Engine as _;
use serde_json::{Map, Value, json};

use crate::door::{Access, ForgeUser};
use crate::names::{CommitId, RepoPath};
use crate::people::Person;
use crate::repos::{Repository, TEAM_IDS_FROM};

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

pub(super) fn seconds(s: i64) -> String {
    jiff::Timestamp::from_second(s).unwrap_or_default().to_string()
}

/// An opaque id like GitHub's: base64 of kind and number.
pub(super) fn node_id(kind: &str, id: impl std::fmt::Display) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("{kind}:{id}"))
}

impl Links<'_> {
    fn api(&self) -> String {
        format!("{}/api/v3", self.base)
    }

    pub(super) fn api_repo(&self, repo: &RepoPath) -> String {
        format!("{}/api/v3/repos/{repo}", self.base)
    }

    pub(super) fn page(&self, repo: &RepoPath) -> String {
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
}

/// Adds the fields of one object to another.
pub(crate) fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}
