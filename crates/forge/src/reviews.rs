//! Reviews of pull requests. Nobody reviews their own work into the base branch: the author can neither approve nor request
//! changes.

use serde::{Deserialize, Serialize};

use crate::changes::{Actor, ChangeKind, Subject, record};
use crate::door::ForgeUser;
use crate::error::{ForgeError, Invalid, Result};
use crate::local::{LocalForge, now_ms};
use crate::names::{CommitId, RepoPath};
use crate::people::{Person, person, remember};
use crate::pulls::{Pull, by_number};

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReviewState {
    /// Good to merge.
    Approved,
    /// Not yet.
    ChangesRequested,
    /// Words without a verdict.
    Commented,
}

impl ReviewState {
    /// GitHub's word in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approved => "APPROVED",
            Self::ChangesRequested => "CHANGES_REQUESTED",
            Self::Commented => "COMMENTED",
        }
    }

    fn from_word(word: &str) -> Result<Self> {
        match word {
            "APPROVED" => Ok(Self::Approved),
            "CHANGES_REQUESTED" => Ok(Self::ChangesRequested),
            "COMMENTED" => Ok(Self::Commented),
            _ => Err(ForgeError::Broken(format!("a review's state is `{word}`"))),
        }
    }
}

/// A review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The forge's number for it.
    pub id: i64,
    /// Who.
    pub by: Person,
    /// The verdict.
    pub state: ReviewState,
    /// Markdown; may be empty for an approval.
    pub body: String,
    /// The commit that was looked at.
    pub commit: CommitId,
    /// When, in ms since 1970.
    pub submitted_ms: i64,
}

/// A review to be given.
#[derive(Debug, Clone)]
pub struct NewReview {
    /// The verdict.
    pub state: ReviewState,
    /// Markdown; needed for anything but an approval.
    pub body: String,
    /// The commit that was looked at; the present head when `None`.
    pub commit: Option<CommitId>,
}

impl LocalForge {
    /// Gives a review.
    pub async fn create_review(&self, path: &RepoPath, number: u64, new: NewReview, by: &ForgeUser) -> Result<Review> {
        self.check_text(&new.body)?;
        let repo = self.repo(path).await?;
        let by = by.clone();
        self.write(move |tx| {
            let pull = by_number(tx, repo.id, number)?;
            may_review(&pull, &new, &by)?;
            remember(tx, &by)?;
            let sha = new.commit.unwrap_or(pull.head.1);
            let now = now_ms();
            tx.execute(
                "INSERT INTO reviews (pull_id, person_id, state, body, sha, submitted_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                (pull.id, by.id, new.state.word(), &new.body, sha.as_str(), now),
            )?;
            let id = tx.last_insert_rowid();
            tx.execute("UPDATE pulls SET updated_ms = ?2 WHERE id = ?1", (pull.id, now))?;
            let reviewed = ChangeKind::Reviewed { review: id, state: new.state };
            record(tx, repo.id, Subject::Pull(number), Actor::Person(by.id), &reviewed)?;
            Ok(Review { id, by: person(tx, by.id)?, state: new.state, body: new.body, commit: sha, submitted_ms: now })
        })
        .await
    }

    /// The reviews of a pull request, oldest first.
    pub async fn reviews(&self, path: &RepoPath, number: u64) -> Result<Vec<Review>> {
        let pull = self.pull(path, number).await?;
        self.inner
            .database
            .read(move |db| {
                let mut query = db.prepare_cached(
                    "SELECT id, person_id, state, body, sha, submitted_ms FROM reviews WHERE pull_id = ?1 ORDER BY id",
                )?;
                let rows = query.query_and_then([pull.id], |row| {
                    Ok(Review {
                        id: row.get(0)?,
                        by: person(db, row.get(1)?)?,
                        state: ReviewState::from_word(&row.get::<_, String>(2)?)?,
                        body: row.get(3)?,
                        commit: row.get::<_, String>(4)?.parse()?,
                        submitted_ms: row.get(5)?,
                    })
                })?;
                rows.collect()
            })
            .await
    }
}

fn may_review(pull: &Pull, new: &NewReview, by: &ForgeUser) -> Result<()> {
    let own = pull.author.id == by.id;
    match (new.state, own) {
        (ReviewState::Approved, true) => Err(ForgeError::Invalid(Invalid::SelfApproval)),
        (ReviewState::ChangesRequested, true) => Err(ForgeError::Invalid(Invalid::SelfChangeRequest)),
        (ReviewState::Approved, false) => Ok(()),
        (ReviewState::ChangesRequested | ReviewState::Commented, _) => {
            if new.body.trim().is_empty() {
                Err(ForgeError::Invalid(Invalid::Missing { resource: "PullRequestReview", field: "body" }))
            } else {
                Ok(())
            }
        }
    }
}
