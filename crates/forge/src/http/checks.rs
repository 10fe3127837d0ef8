//! Commit statuses and check runs.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::check_runs::{CheckProgress, Conclusion, NewCheckRun};
use crate::checks::{CheckState, NewStatus, newest_by_context};
use crate::error::ForgeError;
use crate::http::Faces;
use crate::http::answer::Refusal;
use crate::http::asked::{Body, Entered};
use crate::http::page::Page;
use crate::local::now_ms;
use crate::names::CommitId;

type Rest = Path<(String, String, String)>;

/// Reports are about one commit, named by its full id; a branch would mean another one a moment later.
fn full_id(entered: &Entered, text: &str) -> Result<CommitId, Refusal> {
    let missing =
        |_| ForgeError::NoCommit { repo: entered.repo.path.clone(), reference: text.chars().take(80).collect() };
    Ok(text.parse().map_err(missing)?)
}

#[derive(Debug, Deserialize)]
pub(super) struct Status {
    state: CheckState,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    target_url: Option<String>,
}

/// `POST …/statuses/{sha}`
pub(super) async fn create_status(
    State(faces): State<Faces>,
    Path((_, _, sha)): Rest,
    entered: Entered,
    Body(wish): Body<Status>,
) -> Result<Response, Refusal> {
    entered.must_write()?;
    let path = &entered.repo.path;
    let sha = full_id(&entered, &sha)?;
    let context = wish.context.unwrap_or_else(|| "default".into());
    let new = NewStatus { state: wish.state, context, description: wish.description, target_url: wish.target_url };
    let status = faces.forge.create_status(path, &sha, new, &entered.user).await?;
    Ok((StatusCode::CREATED, Json(entered.links(&faces).status(path, &sha, &status))).into_response())
}

/// `GET …/commits/{ref}/statuses`
pub(super) async fn statuses(
    State(faces): State<Faces>,
    Path((_, _, reference)): Rest,
    entered: Entered,
    page: Page,
) -> Result<Response, Refusal> {
    let path = &entered.repo.path;
    let sha = faces.forge.resolve(path, &reference).await?;
    let (statuses, total) = page.cut(faces.forge.statuses(path, &sha).await?);
    let links = entered.links(&faces);
    Ok(page.answer(statuses.iter().map(|status| links.status(path, &sha, status)).collect(), total))
}

/// `GET …/commits/{ref}/status`: of every context the newest, and all in one word.
pub(super) async fn combined(
    State(faces): State<Faces>,
    Path((_, _, reference)): Rest,
    entered: Entered,
    page: Page,
) -> Result<Response, Refusal> {
    let path = &entered.repo.path;
    let sha = faces.forge.resolve(path, &reference).await?;
    let all = faces.forge.statuses(path, &sha).await?;
    let newest = newest_by_context(&all);
    let has = |wanted: &[CheckState]| newest.iter().any(|status| wanted.contains(&status.state));
    let word = if has(&[CheckState::Failure, CheckState::Error]) {
        "failure"
    } else if newest.is_empty() || has(&[CheckState::Pending]) {
        "pending"
    } else {
        "success"
    };
    let count = newest.len();
    let (shown, total) = page.cut(newest);
    let links = entered.links(&faces);
    let api = format!("{}/api/v3/repos/{path}/commits/{sha}", faces.base_url);
    let statuses: Vec<Value> = shown.iter().map(|status| links.status(path, &sha, status)).collect();
    let body = json!({
        "state": word, "sha": sha, "total_count": count, "statuses": statuses, "repository": links.repo(&entered.repo), "commit_url": api,
        "url": format!("{api}/status"),
    });
    Ok(page.answer(body, total))
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckRun {
    name: String,
    head_sha: String,
    #[serde(default)]
    status: Stage,
    conclusion: Option<Conclusion>,
    completed_at: Option<jiff::Timestamp>,
    details_url: Option<String>,
    external_id: Option<String>,
    output: Option<Output>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    #[default]
    Queued,
    InProgress,
    Completed,
}

#[derive(Debug, Deserialize)]
struct Output {
    title: String,
    summary: String,
}

/// `POST …/check-runs`
pub(super) async fn create_check_run(
    State(faces): State<Faces>,
    entered: Entered,
    Body(wish): Body<CheckRun>,
) -> Result<Response, Refusal> {
    entered.must_write()?;
    let path = &entered.repo.path;
    let sha = full_id(&entered, &wish.head_sha)?;
    let at_ms = wish.completed_at.map_or_else(now_ms, jiff::Timestamp::as_millisecond);
    let progress = match (wish.conclusion, wish.status) {
        (Some(conclusion), _) => CheckProgress::Completed { conclusion, at_ms },
        (None, Stage::Completed) => {
            return Err(Refusal::field(
                "CheckRun",
                "conclusion",
                "missing_field",
                "a completed check has a conclusion",
            ));
        }
        (None, Stage::Queued) => CheckProgress::Queued,
        (None, Stage::InProgress) => CheckProgress::InProgress,
    };
    let output = wish.output.map(|output| (output.title, output.summary));
    let new =
        NewCheckRun { name: wish.name, progress, details_url: wish.details_url, external_id: wish.external_id, output };
    let run = faces.forge.create_check_run(path, &sha, new, &entered.user).await?;
    Ok((StatusCode::CREATED, Json(entered.links(&faces).check_run(path, &run))).into_response())
}

/// `GET …/commits/{ref}/check-runs`
pub(super) async fn check_runs(
    State(faces): State<Faces>,
    Path((_, _, reference)): Rest,
    entered: Entered,
    page: Page,
) -> Result<Response, Refusal> {
    let path = &entered.repo.path;
    let sha = faces.forge.resolve(path, &reference).await?;
    let all = faces.forge.check_runs(path, &sha).await?;
    let count = all.len();
    let (shown, total) = page.cut(all);
    let links = entered.links(&faces);
    let runs: Vec<Value> = shown.iter().map(|run| links.check_run(path, run)).collect();
    Ok(page.answer(json!({"total_count": count, "check_runs": runs}), total))
}
