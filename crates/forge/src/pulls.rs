//! Pull requests: open, find, list, edit, close.

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::changes::{Actor, ChangeKind, Subject, record};
use crate::commits::Commit;
use crate::diff::Diff;
use crate::door::ForgeUser;
use crate::error::{ForgeError, Invalid, Result};
use crate::local::{LocalForge, now_ms};
use crate::names::{BranchName, CommitId, RepoPath};
use crate::people::{Person, person, remember};
use crate::repos::Repository;

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

fn insert(
    tx: &rusqlite::Transaction<'_>,
    repo: &Repository,
    new: NewPull,
    tips: (&CommitId, &CommitId),
    by: &ForgeUser,
) -> Result<Pull> {
    remember(tx, by)?;
    refuse_second(tx, repo.id, &new.head, &new.base)?;
    let number: u64 = tx.query_row(
        "UPDATE repos SET next_number = next_number + 1 WHERE id = ?1 RETURNING next_number - 1",
        [repo.id],
        |row| row.get(0),
    )?;
    let now = now_ms();
    tx.execute(
        "INSERT INTO pulls (repo_id, number, title, body, draft, state, author_id, head_branch, head_sha, base_branch, base_sha, created_ms, updated_ms)
         VALUES (?1, ?2, ?3, nullif(?4, ''), ?5, 'open', ?6, ?7, ?8, ?9, ?10, ?11, ?11)",
        rusqlite::params![
            repo.id, number, new.title.trim(), new.body, new.draft, by.id,
            new.head.as_str(), tips.0.as_str(), new.base.as_str(), tips.1.as_str(), now
        ],
    )?;
    let opened = ChangeKind::Opened { head: new.head, base: new.base, sha: tips.0.clone() };
    record(tx, repo.id, Subject::Pull(number), Actor::Person(by.id), &opened)?;
    by_number(tx, repo.id, number)
}

/// One open pull request per pair of branches.
fn refuse_second(db: &Connection, repo_id: i64, head: &BranchName, base: &BranchName) -> Result<()> {
    let mut query = db.prepare_cached(
        "SELECT p.number, r.owner FROM pulls p JOIN repos r ON r.id = p.repo_id
         WHERE p.repo_id = ?1 AND p.head_branch = ?2 AND p.base_branch = ?3 AND p.state = 'open'",
    )?;
    let open: Option<(u64, String)> =
        query.query_row((repo_id, head.as_str(), base.as_str()), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    match open {
        Some((number, owner)) => Err(ForgeError::Invalid(Invalid::PullExists { owner, head: head.clone(), number })),
        None => Ok(()),
    }
}

fn apply_edit(
    tx: &rusqlite::Transaction<'_>,
    repo_id: i64,
    number: u64,
    edit: PullEdit,
    base: Option<(BranchName, CommitId)>,
    reopened_head: Option<CommitId>,
    by: &ForgeUser,
) -> Result<Pull> {
    remember(tx, by)?;
    let pull = by_number(tx, repo_id, number)?;
    let now = now_ms();
    let tell = |kind: &ChangeKind| record(tx, repo_id, Subject::Pull(number), Actor::Person(by.id), kind);
    if edit.title.is_some() || edit.body.is_some() || base.is_some() {
        tx.execute(
            "UPDATE pulls SET title = coalesce(?2, title), body = CASE WHEN ?3 IS NULL THEN body ELSE nullif(?3, '') END, updated_ms = ?4 WHERE id = ?1",
            (pull.id, edit.title.as_deref().map(str::trim), &edit.body, now),
        )?;
        if let Some((branch, tip)) = base {
            if branch != pull.base.0 && pull.state == PullState::Open {
                refuse_second(tx, repo_id, &pull.head.0, &branch)?;
            }
            tx.execute(
                "UPDATE pulls SET base_branch = ?2, base_sha = ?3 WHERE id = ?1",
                (pull.id, branch.as_str(), tip.as_str()),
            )?;
        }
        tell(&ChangeKind::Edited)?;
    }
    match (edit.open, &pull.state) {
        (Some(false), PullState::Open) => {
            tx.execute("UPDATE pulls SET state = 'closed', closed_ms = ?2, updated_ms = ?2 WHERE id = ?1 AND intent_sha IS NULL", (pull.id, now))?;
            tell(&ChangeKind::Closed)?;
        }
        (Some(true), PullState::Closed { .. }) => {
            refuse_second(tx, repo_id, &pull.head.0, &pull.base.0)?;
            tx.execute(
                "UPDATE pulls SET state = 'open', closed_ms = NULL, updated_ms = ?2, head_sha = coalesce(?3, head_sha) WHERE id = ?1",
                (pull.id, now, reopened_head.map(String::from)),
            )?;
            tell(&ChangeKind::Reopened)?;
        }
        (Some(false), PullState::Closed { .. } | PullState::Merged { .. })
        | (Some(true), PullState::Open | PullState::Merged { .. })
        | (None, _) => {}
    }
    by_number(tx, repo_id, number)
}

pub(crate) fn by_number(db: &Connection, repo_id: i64, number: u64) -> Result<Pull> {
    let mut query = db.prepare_cached("SELECT * FROM pulls WHERE repo_id = ?1 AND number = ?2")?;
    let found = query.query_row((repo_id, number), |row| Ok(read_row(db, row))).optional()?;
    found.transpose()?.ok_or_else(|| ForgeError::NotFound(format!("pull request {number}")))
}

fn list(db: &Connection, repo_id: i64, filter: &PullFilter) -> Result<Vec<Pull>> {
    let mut query = db.prepare_cached(
        "SELECT * FROM pulls WHERE repo_id = ?1 AND (?2 IS NULL OR (state = 'open') = ?2)
         AND (?3 IS NULL OR head_branch = ?3) AND (?4 IS NULL OR base_branch = ?4) ORDER BY number DESC",
    )?;
    let head = filter.head.as_ref().map(BranchName::as_str);
    let base = filter.base.as_ref().map(BranchName::as_str);
    let rows = query.query_and_then((repo_id, filter.open, head, base), |row| read_row(db, row))?;
    rows.collect()
}

pub(crate) fn read_row(db: &Connection, row: &Row<'_>) -> Result<Pull> {
    let text = |column: &str| row.get::<_, String>(column);
    let merged: Option<i64> = row.get("merged_ms")?;
    let merge_sha: Option<String> = row.get("merge_sha")?;
    let closed: Option<i64> = row.get("closed_ms")?;
    let state = match (merged, merge_sha, closed) {
        (Some(at_ms), Some(sha), _) => {
            let by: Option<i64> = row.get("merged_by")?;
            PullState::Merged { at_ms, by: by.map(|id| person(db, id)).transpose()?, commit: sha.parse()? }
        }
        (None, _, Some(at_ms)) | (Some(_), None, Some(at_ms)) => PullState::Closed { at_ms },
        (None, _, None) | (Some(_), None, None) => PullState::Open,
    };
    Ok(Pull {
        id: row.get("id")?,
        repo_id: row.get("repo_id")?,
        number: row.get("number")?,
        title: text("title")?,
        body: row.get("body")?,
        draft: row.get("draft")?,
        state,
        author: person(db, row.get("author_id")?)?,
        head: (text("head_branch")?.parse()?, text("head_sha")?.parse()?),
        base: (text("base_branch")?.parse()?, text("base_sha")?.parse()?),
        created_ms: row.get("created_ms")?,
        updated_ms: row.get("updated_ms")?,
    })
}
