//! Commit statuses: what machines say about a commit, a word per context.

use serde::{Deserialize, Serialize};

use crate::changes::{Actor, ChangeKind, Subject, record};
use crate::door::ForgeUser;
use crate::error::{ForgeError, Invalid, Result};
use crate::local::{LocalForge, now_ms};
use crate::names::{CommitId, RepoPath};
use crate::people::{Person, person, remember};

/// Longest context or check name, in characters.
pub const CHECK_NAME_CHARS_MAX: usize = 255;

/// How a status or a finished check run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// The check itself failed to run.
    Error,
    /// It ran and found a fault.
    Failure,
    /// Not known yet.
    Pending,
    /// All is well.
    Success,
}

impl CheckState {
    /// GitHub's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Failure => "failure",
            Self::Pending => "pending",
            Self::Success => "success",
        }
    }

    fn from_word(word: &str) -> Result<Self> {
        match word {
            "error" => Ok(Self::Error),
            "failure" => Ok(Self::Failure),
            "pending" => Ok(Self::Pending),
            "success" => Ok(Self::Success),
            _ => Err(ForgeError::Broken(format!("a status is `{word}`"))),
        }
    }
}

/// A status to be reported.
#[derive(Debug, Clone)]
pub struct NewStatus {
    /// What it says.
    pub state: CheckState,
    /// Which check says it; `default` when the reporter has no name for it.
    pub context: String,
    /// One line.
    pub description: Option<String>,
    /// Where to read more.
    pub target_url: Option<String>,
}

/// A reported status. Several may have the same context: the newest counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The forge's number for it.
    pub id: i64,
    /// What it says.
    pub state: CheckState,
    /// Which check says it.
    pub context: String,
    /// One line.
    pub description: Option<String>,
    /// Where to read more.
    pub target_url: Option<String>,
    /// Who reported it.
    pub by: Person,
    /// When, in ms since 1970.
    pub created_ms: i64,
}

impl LocalForge {
    /// Reports a status of a commit.
    pub async fn create_status(
        &self,
        path: &RepoPath,
        commit: &CommitId,
        new: NewStatus,
        by: &ForgeUser,
    ) -> Result<Status> {
        let repo = self.repo(path).await?;
        self.resolve(&repo.path, commit.as_str()).await?;
        check_name("Status", "context", &new.context)?;
        let (sha, by) = (commit.clone(), by.clone());
        self.write(move |tx| {
            remember(tx, &by)?;
            let now = now_ms();
            tx.execute(
                "INSERT INTO statuses (repo_id, sha, state, context, description, target_url, person_id, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                (repo.id, sha.as_str(), new.state.word(), &new.context, &new.description, &new.target_url, by.id, now),
            )?;
            let id = tx.last_insert_rowid();
            let checked = ChangeKind::Checked { sha, name: new.context.clone(), state: new.state };
            record(tx, repo.id, Subject::Repository, Actor::Person(by.id), &checked)?;
            let by = person(tx, by.id)?;
            Ok(Status { id, state: new.state, context: new.context, description: new.description, target_url: new.target_url, by, created_ms: now })
        })
        .await
    }

    /// All statuses of a commit, newest first.
    pub async fn statuses(&self, path: &RepoPath, commit: &CommitId) -> Result<Vec<Status>> {
        let repo = self.repo(path).await?;
        let sha = commit.to_string();
        self.inner
            .database
            .read(move |db| {
                let mut query = db.prepare_cached(
                    "SELECT id, state, context, description, target_url, person_id, created_ms FROM statuses WHERE repo_id = ?1 AND sha = ?2 ORDER BY id DESC",
                )?;
                let rows = query.query_and_then((repo.id, sha), |row| {
                    Ok(Status {
                        id: row.get(0)?,
                        state: CheckState::from_word(&row.get::<_, String>(1)?)?,
                        context: row.get(2)?,
                        description: row.get(3)?,
                        target_url: row.get(4)?,
                        by: person(db, row.get(5)?)?,
                        created_ms: row.get(6)?,
                    })
                })?;
                rows.collect()
            })
            .await
    }
}

/// Of each context the newest status: what GitHub's combined status lists.
pub fn newest_by_context(newest_first: &[Status]) -> Vec<&Status> {
    let mut found: Vec<&Status> = Vec::new();
    for status in newest_first {
        if !found.iter().any(|known| known.context == status.context) {
            found.push(status);
        }
    }
    found
}

pub(crate) fn check_name(resource: &'static str, field: &'static str, name: &str) -> Result<()> {
    let long = name.chars().count();
    if (1..=CHECK_NAME_CHARS_MAX).contains(&long) {
        return Ok(());
    }
    let why = format!("it must have 1 to {CHECK_NAME_CHARS_MAX} characters");
    Err(ForgeError::Invalid(Invalid::Field { resource, field, why }))
}
