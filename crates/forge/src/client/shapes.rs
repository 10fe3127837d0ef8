//! What hangar takes out of GitHub's answers, and what it sends.

use serde::{Deserialize, Serialize};

use crate::names::{BranchName, CommitId};

/// Somebody, as the API names them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// Short unique name.
    pub login: String,
    /// Number.
    pub id: i64,
    /// Name, where the API says it.
    #[serde(default)]
    pub name: Option<String>,
    /// Address, where the API says it.
    #[serde(default)]
    pub email: Option<String>,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RepoInfo {
    /// Number.
    pub id: i64,
    /// `owner/name`.
    pub full_name: String,
    /// Usual target of pull requests.
    #[serde(default)]
    pub default_branch: Option<String>,
    /// Address for git.
    #[serde(default)]
    pub clone_url: Option<String>,
    /// Page for people.
    pub html_url: String,
    /// What the asker may do.
    #[serde(default)]
    pub permissions: Option<Permissions>,
}

/// What the asker may do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Permissions {
    /// Everything.
    #[serde(default)]
    pub admin: bool,
    /// Push.
    #[serde(default)]
    pub push: bool,
    /// Fetch.
    #[serde(default)]
    pub pull: bool,
}

/// One side of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Side {
    /// The branch.
    #[serde(rename = "ref")]
    pub branch: String,
    /// Its commit.
    pub sha: CommitId,
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PullInfo {
    /// Its number in the repository.
    pub number: u64,
    /// One line.
    pub title: String,
    /// Markdown.
    #[serde(default)]
    pub body: Option<String>,
    /// `open` or `closed`.
    pub state: String,
    /// Not meant to be merged yet.
    #[serde(default)]
    pub draft: bool,
    /// Who opened it.
    #[serde(default)]
    pub user: Option<Account>,
    /// The branch with the work.
    pub head: Side,
    /// The branch it goes to.
    pub base: Side,
    /// Its page for people.
    pub html_url: String,
    /// When it was merged, if it was.
    #[serde(default)]
    pub merged_at: Option<jiff::Timestamp>,
    /// The commit on the base branch, once merged.
    #[serde(default)]
    pub merge_commit_sha: Option<CommitId>,
    /// Would it merge? `None` while the server does not know or in lists.
    #[serde(default)]
    pub mergeable: Option<bool>,
    /// Commits, where the API says it.
    #[serde(default)]
    pub commits: Option<u64>,
    /// Lines added, where the API says it.
    #[serde(default)]
    pub additions: Option<u64>,
    /// Lines removed, where the API says it.
    #[serde(default)]
    pub deletions: Option<u64>,
    /// Files, where the API says it.
    #[serde(default)]
    pub changed_files: Option<u64>,
}

/// A pull request to be opened.
#[derive(Debug, Clone, Serialize)]
pub struct PullWish {
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// The branch with the work.
    pub head: BranchName,
    /// The branch it is to go to.
    pub base: BranchName,
    /// Not meant to be merged yet.
    pub draft: bool,
}

/// A changed file of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FileInfo {
    /// Path.
    pub filename: String,
    /// Former path of a renamed file.
    #[serde(default)]
    pub previous_filename: Option<String>,
    /// `added`, `removed`, `modified`, `renamed`, `copied` or `changed`.
    pub status: String,
    /// Lines added.
    pub additions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// Hunks, unless binary or too large.
    #[serde(default)]
    pub patch: Option<String>,
}

/// A review.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReviewInfo {
    /// Number.
    pub id: i64,
    /// Who.
    #[serde(default)]
    pub user: Option<Account>,
    /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED` or `PENDING`.
    pub state: String,
    /// Markdown.
    #[serde(default)]
    pub body: Option<String>,
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CommentInfo {
    /// Number.
    pub id: i64,
    /// Who.
    #[serde(default)]
    pub user: Option<Account>,
    /// Markdown.
    #[serde(default)]
    pub body: Option<String>,
}

/// A verdict to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// Good to merge.
    Approve,
    /// Not yet.
    RequestChanges,
    /// Words only.
    Comment,
}

/// A finished merge.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MergeInfo {
    /// The commit on the base branch.
    pub sha: CommitId,
}
