//! Comments on pull requests (GitHub calls them issue comments).

use crate::changes::{Actor, ChangeKind, Subject, record};
use crate::door::ForgeUser;
use crate::error::{ForgeError, Invalid, Result};
use crate::local::{LocalForge, now_ms};
use crate::names::RepoPath;
use crate::people::{Person, person, remember};
use crate::pulls::by_number;

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The forge's number for it.
    pub id: i64,
    /// Who wrote it.
    pub by: Person,
    /// Markdown.
    pub body: String,
    /// When, in ms since 1970.
    pub created_ms: i64,
}

impl LocalForge {
    /// Writes a comment.
    pub async fn create_comment(&self, path: &RepoPath, number: u64, body: String, by: &ForgeUser) -> Result<Comment> {
        if body.trim().is_empty() {
            return Err(ForgeError::Invalid(Invalid::Missing { resource: "IssueComment", field: "body" }));
        }
        self.check_text(&body)?;
        let repo = self.repo(path).await?;
        let by = by.clone();
        self.write(move |tx| {
            remember(tx, &by)?;
            let pull = by_number(tx, repo.id, number)?;
            let now = now_ms();
            tx.execute(
                "INSERT INTO comments (pull_id, person_id, body, created_ms) VALUES (?1, ?2, ?3, ?4)",
                (pull.id, by.id, &body, now),
            )?;
            let id = tx.last_insert_rowid();
            tx.execute("UPDATE pulls SET updated_ms = ?2 WHERE id = ?1", (pull.id, now))?;
            record(tx, repo.id, Subject::Pull(number), Actor::Person(by.id), &ChangeKind::Commented { comment: id })?;
            Ok(Comment { id, by: person(tx, by.id)?, body, created_ms: now })
        })
        .await
    }

    /// The comments of a pull request, oldest first.
    pub async fn comments(&self, path: &RepoPath, number: u64) -> Result<Vec<Comment>> {
        let pull = self.pull(path, number).await?;
        self.inner
            .database
            .read(move |db| {
                let mut query = db.prepare_cached(
                    "SELECT id, person_id, body, created_ms FROM comments WHERE pull_id = ?1 ORDER BY id",
                )?;
                let rows = query.query_and_then([pull.id], |row| {
                    Ok(Comment {
                        id: row.get(0)?,
                        by: person(db, row.get(1)?)?,
                        body: row.get(2)?,
                        created_ms: row.get(3)?,
                    })
                })?;
                rows.collect()
            })
            .await
    }
}
