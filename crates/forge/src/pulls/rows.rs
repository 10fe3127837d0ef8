//! The rows of pull requests.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{NewPull, Pull, PullEdit, PullFilter, PullState};
use crate::changes::{Actor, ChangeKind, Subject, record};
use crate::door::ForgeUser;
use crate::error::{ForgeError, Invalid, Result};
use crate::local::now_ms;
use crate::names::{BranchName, CommitId};
use crate::people::{person, remember};
use crate::repos::Repository;

pub(super) fn insert(
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

pub(super) fn apply_edit(
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

pub(super) fn list(db: &Connection, repo_id: i64, filter: &PullFilter) -> Result<Vec<Pull>> {
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
