//! Pull requests, reviews, comments.

use serde_json::{Value, json};

use super::{Links, merge, moment, node_id};
use crate::comments::Comment;
use crate::names::{BranchName, CommitId};
use crate::people::Person;
use crate::pulls::{Pull, PullState};
use crate::repos::Repository;
use crate::reviews::Review;

impl Links<'_> {
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
        let side = |(branch, sha): &(BranchName, CommitId)| json!({"label": format!("{}:{branch}", repo.path.owner), "ref": branch, "sha": sha, "user": self.owner(repo), "repo": self.repo(repo)});
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
}

fn association(repo: &Repository, person: &Person) -> &'static str {
    if repo.owner_id == person.id { "OWNER" } else { "COLLABORATOR" }
}
