//! Statuses and check runs.

use serde_json::{Value, json};

use super::{Links, moment, node_id};
use crate::check_runs::{CheckProgress, CheckRun};
use crate::checks::Status;
use crate::names::{CommitId, RepoPath};

impl Links<'_> {
    /// A status.
    pub(crate) fn status(&self, repo: &RepoPath, sha: &CommitId, status: &Status) -> Value {
        json!({
            "url": format!("{}/statuses/{sha}", self.api_repo(repo)), "avatar_url": format!("{}/avatars/{}", self.base, status.by.id), "id": status.id,
            "node_id": node_id("StatusContext", status.id), "state": status.state.word(), "description": status.description,
            "target_url": status.target_url, "context": status.context, "created_at": moment(status.created_ms), "updated_at": moment(status.created_ms),
            "creator": self.person(&status.by),
        })
    }

    /// A check run.
    pub(crate) fn check_run(&self, repo: &RepoPath, run: &CheckRun) -> Value {
        let url = format!("{}/check-runs/{}", self.api_repo(repo), run.id);
        let (status, conclusion, completed) = match &run.progress {
            CheckProgress::Queued => ("queued", None, None),
            CheckProgress::InProgress => ("in_progress", None, None),
            CheckProgress::Completed { conclusion, at_ms } => {
                ("completed", Some(conclusion.word()), Some(moment(*at_ms)))
            }
        };
        let (title, summary) = run.output.clone().unzip();
        json!({
            "id": run.id, "node_id": node_id("CheckRun", run.id), "head_sha": run.commit, "name": run.name, "url": url,
            "html_url": format!("{}/commit/{}/checks/{}", self.page(repo), run.commit, run.id), "details_url": run.details_url,
            "external_id": run.external_id, "status": status, "conclusion": conclusion, "started_at": moment(run.started_ms), "completed_at": completed,
            "output": {"title": title, "summary": summary, "text": null, "annotations_count": 0, "annotations_url": format!("{url}/annotations")},
            "check_suite": null, "app": null, "pull_requests": [],
        })
    }
}
