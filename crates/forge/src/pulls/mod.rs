//! Pull requests: open, find, list, edit, close.

mod rows;

use crate::commits::Commit;
use crate::diff::Diff;
use crate::door::ForgeUser;
use crate::error::{ForgeError, Invalid, Result};
use crate::local::LocalForge;
use crate::names::{BranchName, CommitId, RepoPath};
use crate::people::Person;
use crate::repos::Repository;

pub(crate) use rows::by_number;
use rows::{apply_edit, insert, list};

/// GitHub's word for the thing, in error bodies.
pub(crate) const RESOURCE: &str = "PullRequest";

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// The forge's number for it, unique over all repositories.
    pub id: i64,
    /// The repository's number.
    pub repo_id: i64,
    /// Its number in the repository, from 1.
    pub number: u64,
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: Option<String>,
    /// Not meant to be merged yet.
    pub draft: bool,
    /// How it stands.
    pub state: PullState,
    /// Who opened it.
    pub author: Person,
    /// The branch with the work and its newest commit (that at the end, once closed).
    pub head: (BranchName, CommitId),
    /// The branch it is to go to and that branch's newest commit as last seen.
    pub base: (BranchName, CommitId),
    /// Opened, in ms since 1970.
    pub created_ms: i64,
    /// Last change, in ms since 1970.
    pub updated_ms: i64,
}

/// How a pull request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullState {
    /// Waiting for review and merge.
    Open,
    /// Closed without a merge.
    Closed {
        /// When, in ms since 1970.
        at_ms: i64,
    },
    /// Merged.
    Merged {
        /// When, in ms since 1970.
        at_ms: i64,
        /// By whom; `None` when it was found merged after a crash or by a push of nobody known.
        by: Option<Person>,
        /// The commit that brought it to the base branch.
        commit: CommitId,
    },
}

/// A pull request to be opened.
#[derive(Debug, Clone)]
pub struct NewPull {
    /// One line, not empty.
    pub title: String,
    /// Markdown; empty for none.
    pub body: String,
    /// The branch with the work.
    pub head: BranchName,
    /// The branch it is to go to.
    pub base: BranchName,
    /// Not meant to be merged yet.
    pub draft: bool,
}

/// Which pull requests to list. `None` means any.
#[derive(Debug, Clone, Default)]
pub struct PullFilter {
    /// Open or not.
    pub open: Option<bool>,
    /// Of this branch.
    pub head: Option<BranchName>,
    /// To this branch.
    pub base: Option<BranchName>,
}

/// A change of a pull request. `None` leaves the field as it is.
#[derive(Debug, Clone, Default)]
pub struct PullEdit {
    /// Another title.
    pub title: Option<String>,
    /// Another body.
    pub body: Option<String>,
    /// Another base branch.
    pub base: Option<BranchName>,
    /// Open again or close.
    pub open: Option<bool>,
}

impl LocalForge {
    /// Opens a pull request.
    pub async fn create_pull(&self, path: &RepoPath, new: NewPull, by: &ForgeUser) -> Result<Pull> {
        let repo = self.repo(path).await?;
        self.check_texts(&new.title, &new.body)?;
        let base = self.tip_or_invalid(&repo, &new.base, "base").await?;
        let head = self.tip_or_invalid(&repo, &new.head, "head").await?;
        if self.merge_base(&repo.path, &base, &head).await?.is_none() {
            return Err(field("head", format!("The {} branch has no history in common with {}", new.head, new.base)));
        }
        if self.ahead_behind(&repo.path, &base, &head).await?.0 == 0 {
            return Err(ForgeError::Invalid(Invalid::NoCommits { base: new.base, head: new.head }));
        }
        let by = by.clone();
        let (repo_id, sha) = (repo.id, head.clone());
        let pull = self.write(move |tx| insert(tx, &repo, new, (&head, &base), &by)).await?;
        self.keep_head(path, pull.number, &sha).await?;
        debug_assert_eq!(pull.repo_id, repo_id);
        Ok(pull)
    }

    /// The pull request of this number.
    pub async fn pull(&self, path: &RepoPath, number: u64) -> Result<Pull> {
        let repo = self.repo(path).await?;
        self.inner.database.read(move |db| by_number(db, repo.id, number)).await
    }

    /// Pull requests, newest first.
    pub async fn pulls(&self, path: &RepoPath, filter: PullFilter) -> Result<Vec<Pull>> {
        let repo = self.repo(path).await?;
        self.inner.database.read(move |db| list(db, repo.id, &filter)).await
    }

    /// Changes title, body or base, closes or opens again.
    pub async fn edit_pull(&self, path: &RepoPath, number: u64, edit: PullEdit, by: &ForgeUser) -> Result<Pull> {
        let repo = self.repo(path).await?;
        let pull = self.pull(path, number).await?;
        self.check_texts(edit.title.as_ref().unwrap_or(&pull.title), edit.body.as_deref().unwrap_or_default())?;
        if edit.open == Some(true) && matches!(pull.state, PullState::Merged { .. }) {
            return Err(field("state", "a merged pull request cannot be opened again".into()));
        }
        let base = match &edit.base {
            Some(branch) => Some((branch.clone(), self.tip_or_invalid(&repo, branch, "base").await?)),
            None => None,
        };
        let reopened_head = match edit.open {
            Some(true) => Some(self.tip_or_invalid(&repo, &pull.head.0, "head").await?),
            Some(false) | None => None,
        };
        let (repo_id, by) = (repo.id, by.clone());
        self.write(move |tx| apply_edit(tx, repo_id, number, edit, base, reopened_head, &by)).await
    }

    /// The commits that a pull request brings, oldest first, at most 250 as on GitHub.
    pub async fn pull_commits(&self, path: &RepoPath, pull: &Pull) -> Result<Vec<Commit>> {
        self.commits_between(path, &self.fork_point(path, pull).await?, &pull.head.1).await
    }

    /// What a pull request changes: from where it left its base to its head.
    pub async fn pull_diff(&self, path: &RepoPath, pull: &Pull) -> Result<Diff> {
        self.diff(path, &self.fork_point(path, pull).await?, &pull.head.1).await
    }

    /// Where a pull request's head left its base. For a merged one that is taken from before the merge.
    pub async fn fork_point(&self, path: &RepoPath, pull: &Pull) -> Result<CommitId> {
        let base = &pull.base.1;
        Ok(self.merge_base(path, base, &pull.head.1).await?.unwrap_or_else(|| base.clone()))
    }

    /// Keeps the commits of a pull request when its branch goes away, and lets git fetch them as on GitHub.
    pub(crate) async fn keep_head(&self, path: &RepoPath, number: u64, sha: &CommitId) -> Result<()> {
        self.git(path, &["update-ref", &format!("refs/pull/{number}/head"), sha.as_str()]).must().await?;
        Ok(())
    }

    pub(crate) fn check_texts(&self, title: &str, body: &str) -> Result<()> {
        let limits = self.limits();
        if title.trim().is_empty() {
            return Err(ForgeError::Invalid(Invalid::Missing { resource: RESOURCE, field: "title" }));
        }
        if title.chars().count() > limits.title_chars_max {
            return Err(field(
                "title",
                format!("title is too long (maximum is {} characters)", limits.title_chars_max),
            ));
        }
        self.check_text(body)
    }

    pub(crate) fn check_text(&self, body: &str) -> Result<()> {
        if body.chars().count() > self.limits().text_chars_max {
            return Err(field(
                "body",
                format!("body is too long (maximum is {} characters)", self.limits().text_chars_max),
            ));
        }
        Ok(())
    }

    async fn tip_or_invalid(&self, repo: &Repository, branch: &BranchName, name: &'static str) -> Result<CommitId> {
        match self.branch_tip(&repo.path, branch).await {
            Err(ForgeError::NoCommit { .. }) => Err(field(name, format!("there is no branch {branch}"))),
            other => other,
        }
    }
}

pub(crate) fn field(field: &'static str, why: String) -> ForgeError {
    ForgeError::Invalid(Invalid::Field { resource: RESOURCE, field, why })
}
