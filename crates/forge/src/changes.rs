//! What happened in the forge, in order: the source from which sessions learn that their pull request was reviewed or
//! merged and images that their base branch has moved.
//!
//! The table is the truth and a follower keeps a cursor in it; the watch channel only says "look again". So nobody can lag
//! out, and a follower that was away (or a server that was restarted) misses nothing.

use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::checks::CheckState;
use crate::door::ForgeUser;
use crate::error::Result;
use crate::local::{LocalForge, now_ms};
use crate::names::{BranchName, CommitId, RepoPath};
use crate::people::{Person, person, remember};
use crate::reviews::ReviewState;

/// Most changes that one page returns.
pub const CHANGES_PAGE_MAX: usize = 500;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its place in the order; strictly growing, with gaps.
    pub id: i64,
    /// Where.
    pub repo: RepoPath,
    /// The pull request's number, where the change is of one.
    pub number: Option<u64>,
    /// Who did it; `None` when nobody did (found out after a crash).
    pub actor: Option<Person>,
    /// When, in ms since 1970.
    pub at_ms: i64,
    /// What.
    pub kind: ChangeKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ChangeKind {
    /// A pull request was opened.
    Opened {
        /// Its head branch.
        head: BranchName,
        /// The branch it is to go to.
        base: BranchName,
        /// Its head commit.
        sha: CommitId,
    },
    /// The head branch of an open pull request was pushed.
    Synchronised {
        /// Head before.
        before: CommitId,
        /// Head now.
        after: CommitId,
    },
    /// Title, body, base or draft state was changed.
    Edited,
    /// Somebody reviewed.
    Reviewed {
        /// The review's number.
        review: i64,
        /// Their verdict.
        state: ReviewState,
    },
    /// Somebody wrote a comment.
    Commented {
        /// The comment's number.
        comment: i64,
    },
    /// It was merged.
    Merged {
        /// The commit on the base branch.
        sha: CommitId,
    },
    /// It was closed without a merge.
    Closed,
    /// It was opened again.
    Reopened,
    /// A branch was made (old is zero), moved or removed (new is zero).
    BranchMoved {
        /// The branch.
        branch: BranchName,
        /// Where it stood.
        old: CommitId,
        /// Where it stands.
        new: CommitId,
    },
    /// A commit status or a check run was reported.
    Checked {
        /// The commit.
        sha: CommitId,
        /// The status's context or the check's name.
        name: String,
        /// What it says.
        state: CheckState,
    },
}

impl LocalForge {
    /// The number of the newest change, as a hint that there is something to read with [`LocalForge::changes_since`].
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.inner.newest_change.subscribe()
    }

    /// The changes after a cursor (0 for all), oldest first, at most [`CHANGES_PAGE_MAX`]. The last one's id is the next cursor.
    pub async fn changes_since(&self, cursor: i64) -> Result<Vec<Change>> {
        self.inner
            .database
            .read(move |db| {
                let mut query = db.prepare_cached(
                    "SELECT c.id, r.owner || '/' || r.name, c.number, c.actor_id, c.at_ms, c.body
                     FROM changes c JOIN repos r ON r.id = c.repo_id WHERE c.id > ?1 ORDER BY c.id LIMIT ?2",
                )?;
                let rows = query.query_and_then((cursor, CHANGES_PAGE_MAX), |row| {
                    let actor: Option<i64> = row.get(3)?;
                    Ok(Change {
                        id: row.get(0)?,
                        repo: row.get::<_, String>(1)?.parse()?,
                        number: row.get(2)?,
                        actor: actor.map(|id| person(db, id)).transpose()?,
                        at_ms: row.get(4)?,
                        kind: serde_json::from_str(&row.get::<_, String>(5)?).map_err(broken_row)?,
                    })
                })?;
                rows.collect()
            })
            .await
    }

    /// Writes in one transaction and tells followers when it brought changes.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    {
        let (answer, newest) = self
            .inner
            .database
            .write(move |tx| {
                let answer = work(tx)?;
                let newest: i64 = tx.query_row("SELECT coalesce(max(id), 0) FROM changes", [], |row| row.get(0))?;
                Ok((answer, newest))
            })
            .await?;
        self.inner.newest_change.send_if_modified(|known| {
            let newer = newest > *known;
            *known = newest.max(*known);
            newer
        });
        Ok(answer)
    }

    /// Records a push to a branch.
    pub(crate) async fn record_push(&self, path: &RepoPath, kind: ChangeKind, by: &ForgeUser) -> Result<()> {
        let repo = self.repo(path).await?;
        let by = by.clone();
        self.write(move |tx| {
            remember(tx, &by)?;
            tx.execute("UPDATE repos SET pushed_ms = ?2, updated_ms = ?2 WHERE id = ?1", (repo.id, now_ms()))?;
            record(tx, repo.id, Subject::Repository, Actor::Person(by.id), &kind)
        })
        .await
    }
}

/// What a change is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject {
    Repository,
    Pull(u64),
}

/// Who caused a change.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Actor {
    Person(i64),
    Nobody,
}

/// Appends a change in the same transaction as the rows it is about.
pub(crate) fn record(
    tx: &Transaction<'_>,
    repo_id: i64,
    subject: Subject,
    actor: Actor,
    kind: &ChangeKind,
) -> Result<()> {
    let number = match subject {
        Subject::Repository => None,
        Subject::Pull(number) => Some(number),
    };
    let actor = match actor {
        Actor::Person(id) => Some(id),
        Actor::Nobody => None,
    };
    let body = serde_json::to_string(kind).map_err(broken_row)?;
    let mut insert =
        tx.prepare_cached("INSERT INTO changes (repo_id, number, actor_id, at_ms, body) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    insert.execute((repo_id, number, actor, now_ms(), body))?;
    Ok(())
}

fn broken_row(error: serde_json::Error) -> crate::error::ForgeError {
    crate::error::ForgeError::Broken(format!("a change's text: {error}"))
}
