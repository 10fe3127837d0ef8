//! What machines say about a commit: statuses (a word per context) and check runs (with a life of their own).

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

/// How far a check run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckProgress {
    /// Waiting.
    Queued,
    /// Running.
    InProgress,
    /// Done.
    Completed {
        /// The outcome.
        conclusion: Conclusion,
        /// When, in ms since 1970.
        at_ms: i64,
    },
}

/// Outcome of a check run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// All is well.
    Success,
    /// A fault was found.
    Failure,
    /// Neither good nor bad.
    Neutral,
    /// Stopped.
    Cancelled,
    /// Not needed.
    Skipped,
    /// Took too long.
    TimedOut,
    /// Somebody has to do something.
    ActionRequired,
}

impl Conclusion {
    /// GitHub's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Neutral => "neutral",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::TimedOut => "timed_out",
            Self::ActionRequired => "action_required",
        }
    }

    fn state(self) -> CheckState {
        match self {
            Self::Success | Self::Neutral | Self::Skipped => CheckState::Success,
            Self::Failure | Self::TimedOut | Self::ActionRequired => CheckState::Failure,
            Self::Cancelled => CheckState::Error,
        }
    }

    fn from_word(word: &str) -> Result<Self> {
        serde_json::from_value(word.into()).map_err(|_| ForgeError::Broken(format!("a check's conclusion is `{word}`")))
    }
}

/// A check run to be reported.
#[derive(Debug, Clone)]
pub struct NewCheckRun {
    /// The check's name.
    pub name: String,
    /// How far it is.
    pub progress: CheckProgress,
    /// Where to read more.
    pub details_url: Option<String>,
    /// The reporter's own number for it.
    pub external_id: Option<String>,
    /// Title and summary (Markdown) of its result.
    pub output: Option<(String, String)>,
}

/// A reported check run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    /// The forge's number for it.
    pub id: i64,
    /// The commit.
    pub commit: CommitId,
    /// The check's name.
    pub name: String,
    /// How far it is.
    pub progress: CheckProgress,
    /// Where to read more.
    pub details_url: Option<String>,
    /// The reporter's own number for it.
    pub external_id: Option<String>,
    /// Title and summary of its result.
    pub output: Option<(String, String)>,
    /// Started, in ms since 1970.
    pub started_ms: i64,
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

    /// Reports a check run of a commit.
    pub async fn create_check_run(
        &self,
        path: &RepoPath,
        commit: &CommitId,
        new: NewCheckRun,
        by: &ForgeUser,
    ) -> Result<CheckRun> {
        let repo = self.repo(path).await?;
        self.resolve(&repo.path, commit.as_str()).await?;
        check_name("CheckRun", "name", &new.name)?;
        let (sha, by) = (commit.clone(), by.clone());
        self.write(move |tx| {
            remember(tx, &by)?;
            let now = now_ms();
            let (status, conclusion, completed, state) = match &new.progress {
                CheckProgress::Queued => ("queued", None, None, CheckState::Pending),
                CheckProgress::InProgress => ("in_progress", None, None, CheckState::Pending),
                CheckProgress::Completed { conclusion, at_ms } => ("completed", Some(conclusion.word()), Some(*at_ms), conclusion.state()),
            };
            let (title, summary) = new.output.clone().unzip();
            tx.execute(
                "INSERT INTO check_runs (repo_id, sha, name, status, conclusion, details_url, external_id, title, summary, started_ms, completed_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                rusqlite::params![repo.id, sha.as_str(), new.name, status, conclusion, new.details_url, new.external_id, title, summary, now, completed],
            )?;
            let id = tx.last_insert_rowid();
            let checked = ChangeKind::Checked { sha: sha.clone(), name: new.name.clone(), state };
            record(tx, repo.id, Subject::Repository, Actor::Person(by.id), &checked)?;
            Ok(CheckRun {
                id,
                commit: sha,
                name: new.name,
                progress: new.progress,
                details_url: new.details_url,
                external_id: new.external_id,
                output: new.output,
                started_ms: now,
            })
        })
        .await
    }

    /// The check runs of a commit, newest first; of several with one name only the newest.
    pub async fn check_runs(&self, path: &RepoPath, commit: &CommitId) -> Result<Vec<CheckRun>> {
        let repo = self.repo(path).await?;
        let sha = commit.to_string();
        self.inner
            .database
            .read(move |db| {
                let mut query = db.prepare_cached(
                    "SELECT id, sha, name, status, conclusion, details_url, external_id, title, summary, started_ms, completed_ms FROM check_runs
                     WHERE id IN (SELECT max(id) FROM check_runs WHERE repo_id = ?1 AND sha = ?2 GROUP BY name) ORDER BY id DESC",
                )?;
                let rows = query.query_and_then((repo.id, sha), read_check_run)?;
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

fn check_name(resource: &'static str, field: &'static str, name: &str) -> Result<()> {
    let long = name.chars().count();
    if (1..=CHECK_NAME_CHARS_MAX).contains(&long) {
        return Ok(());
    }
    let why = format!("it must have 1 to {CHECK_NAME_CHARS_MAX} characters");
    Err(ForgeError::Invalid(Invalid::Field { resource, field, why }))
}

fn read_check_run(row: &rusqlite::Row<'_>) -> Result<CheckRun> {
    let status: String = row.get(3)?;
    let conclusion: Option<String> = row.get(4)?;
    let completed: Option<i64> = row.get(10)?;
    let progress = match (status.as_str(), conclusion, completed) {
        (_, Some(word), Some(at_ms)) => CheckProgress::Completed { conclusion: Conclusion::from_word(&word)?, at_ms },
        ("queued", _, _) => CheckProgress::Queued,
        _ => CheckProgress::InProgress,
    };
    let (title, summary): (Option<String>, Option<String>) = (row.get(7)?, row.get(8)?);
    Ok(CheckRun {
        id: row.get(0)?,
        commit: row.get::<_, String>(1)?.parse()?,
        name: row.get(2)?,
        progress,
        details_url: row.get(5)?,
        external_id: row.get(6)?,
        output: title.zip(summary),
        started_ms: row.get(9)?,
    })
}
