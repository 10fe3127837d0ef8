//! Check runs: what machines say about a commit, with a life of their own and an outcome in the end.

use serde::{Deserialize, Serialize};

use crate::changes::{Actor, ChangeKind, Subject, record};
use crate::checks::{CheckState, check_name};
use crate::door::ForgeUser;
use crate::error::{ForgeError, Result};
use crate::local::{LocalForge, now_ms};
use crate::names::{CommitId, RepoPath};
use crate::people::remember;

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
