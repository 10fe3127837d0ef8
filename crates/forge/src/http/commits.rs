//! Commits and comparisons.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ForgeError;
use crate::http::Faces;
use crate::http::answer::Refusal;
use crate::http::asked::Entered;
use crate::http::page::Page;
use crate::http::shapes::merge;
use crate::names::CommitId;

type Rest = Path<(String, String, String)>;

#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    sha: Option<String>,
    #[serde(default)]
    path: String,
}

/// `GET …/commits?sha=…&path=…`
pub(super) async fn list(
    State(faces): State<Faces>,
    entered: Entered,
    Query(wish): Query<Wish>,
    page: Page,
) -> Result<Response, Refusal> {
    let path = &entered.repo.path;
    let from = wish.sha.as_deref().unwrap_or("HEAD");
    let from = faces.forge.resolve(path, from).await.map_err(|error| match (error, wish.sha.is_some()) {
        (ForgeError::NoCommit { .. }, false) => Refusal::empty_repository(),
        (ForgeError::NoCommit { .. }, true) => Refusal::not_found(),
        (other, _) => other.into(),
    })?;
    let read = faces.forge.history(path, &from, wish.path.trim_matches('/'), page.skip(), page.size + 1).await?;
    let (commits, total) = page.cut_read(read);
    let people = faces.forge.people_by_email().await?;
    let links = entered.links(&faces);
    Ok(page.answer(commits.iter().map(|commit| links.commit(path, commit, &people)).collect(), total))
}

/// `GET …/commits/{ref}`: with its files and counts; `Accept: application/vnd.github.diff` gives the diff, `.sha` the id.
pub(super) async fn get(
    State(faces): State<Faces>,
    Path((_, _, reference)): Rest,
    entered: Entered,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let path = &entered.repo.path;
    let id = faces.forge.resolve(path, &reference).await?;
    let commit = faces.forge.commit(path, &id).await?;
    let before = match commit.parents.first() {
        Some(parent) => parent.clone(),
        None => faces.forge.empty_tree(path).await?,
    };
    match media(&headers) {
        Media::Diff => {
            return Ok(text(
                "application/vnd.github.diff; charset=utf-8",
                faces.forge.diff_text(path, &before, &id).await?,
            ));
        }
        Media::Sha => return Ok(text("application/vnd.github.sha; charset=utf-8", id.to_string())),
        Media::Raw | Media::Json => {}
    }
    let diff = faces.forge.diff(path, &before, &id).await?;
    let people = faces.forge.people_by_email().await?;
    let links = entered.links(&faces);
    let mut body = links.commit(path, &commit, &people);
    let files: Vec<Value> = diff.files.iter().map(|file| links.file(path, &id, file)).collect();
    let stats =
        json!({"additions": diff.additions, "deletions": diff.deletions, "total": diff.additions + diff.deletions});
    merge(&mut body, json!({ "stats": stats, "files": files }));
    Ok(Json(body).into_response())
}

/// `GET …/compare/{base}...{head}`
pub(super) async fn compare(
    State(faces): State<Faces>,
    Path((_, _, basehead)): Rest,
    entered: Entered,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let path = &entered.repo.path;
    let (base_name, head_name) = basehead.split_once("...").ok_or_else(Refusal::not_found)?;
    let own = |name: &str| name.strip_prefix(&format!("{}:", path.owner)).unwrap_or(name).to_owned();
    let forge = &faces.forge;
    let (base, head) = (named(forge, path, &own(base_name)).await?, named(forge, path, &own(head_name)).await?);
    let fork = faces.forge.merge_base(path, &base, &head).await?.ok_or_else(Refusal::not_found)?;
    if media(&headers) == Media::Diff {
        return Ok(text(
            "application/vnd.github.diff; charset=utf-8",
            faces.forge.diff_text(path, &fork, &head).await?,
        ));
    }
    let (ahead, behind) = faces.forge.ahead_behind(path, &base, &head).await?;
    let commits = faces.forge.commits_between(path, &base, &head).await?;
    let diff = faces.forge.diff(path, &fork, &head).await?;
    let people = faces.forge.people_by_email().await?;
    let links = entered.links(&faces);
    let html = format!("{}/{path}/compare/{base_name}...{head_name}", faces.base_url);
    let status = match (ahead, behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        (_, _) => "diverged",
    };
    let (base_commit, fork_commit) = (forge.commit(path, &base).await?, forge.commit(path, &fork).await?);
    Ok(Json(json!({
        "url": format!("{}/api/v3/repos/{path}/compare/{base_name}...{head_name}", faces.base_url), "html_url": html,
        "permalink_url": format!("{}/{path}/compare/{base}...{head}", faces.base_url), "diff_url": format!("{html}.diff"), "patch_url": format!("{html}.patch"),
        "base_commit": links.commit(path, &base_commit, &people), "merge_base_commit": links.commit(path, &fork_commit, &people),
        "status": status, "ahead_by": ahead, "behind_by": behind, "total_commits": ahead,
        "commits": commits.iter().map(|commit| links.commit(path, commit, &people)).collect::<Vec<_>>(),
        "files": diff.files.iter().map(|file| links.file(path, &head, file)).collect::<Vec<_>>(),
    }))
    .into_response())
}

/// The commit of a name in a route; GitHub answers 404 when there is none.
async fn named(forge: &crate::LocalForge, path: &crate::RepoPath, name: &str) -> Result<CommitId, Refusal> {
    forge.resolve(path, name).await.map_err(|error| match error {
        ForgeError::NoCommit { .. } => Refusal::not_found(),
        other => other.into(),
    })
}

/// What a client wants instead of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Diff,
    Sha,
    Raw,
}

/// Reads `Accept` for GitHub's own media types.
pub(super) fn media(headers: &HeaderMap) -> Media {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wants = |kind: &str| {
        accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim()).any(|part| {
            part.strip_prefix("application/vnd.github.").is_some_and(|rest| rest.trim_start_matches("v3.") == kind)
        })
    };
    if wants("diff") {
        Media::Diff
    } else if wants("sha") {
        Media::Sha
    } else if wants("raw") || wants("raw+json") {
        Media::Raw
    } else {
        Media::Json
    }
}

pub(super) fn text(kind: &'static str, body: impl Into<axum::body::Body>) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], body.into()).into_response()
}
