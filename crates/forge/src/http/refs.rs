//! Branches and refs.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::door::Access;
use crate::error::ForgeError;
use crate::http::Faces;
use crate::http::answer::Refusal;
use crate::http::asked::{Body, Entered};
use crate::http::page::Page;
use crate::names::{BranchName, CommitId};
use crate::refs::Move;

type Rest = Path<(String, String, String)>;

/// `GET …/branches`
pub(super) async fn branches(State(faces): State<Faces>, entered: Entered, page: Page) -> Result<Response, Refusal> {
    let path = &entered.repo.path;
    let (branches, total) = page.cut(faces.forge.branches(path).await?);
    let api = format!("{}/api/v3/repos/{path}", faces.base_url);
    let shape = |branch: &crate::Branch| {
        json!({
            "name": branch.name, "commit": {"sha": branch.tip, "url": format!("{api}/commits/{}", branch.tip)},
            "protected": branch.name == entered.repo.default_branch,
        })
    };
    Ok(page.answer(branches.iter().map(shape).collect(), total))
}

/// `GET …/branches/{branch}`
pub(super) async fn branch(
    State(faces): State<Faces>,
    Path((_, _, name)): Rest,
    entered: Entered,
) -> Result<Json<Value>, Refusal> {
    let path = &entered.repo.path;
    let name: BranchName = name.parse().map_err(|_| Refusal::no_branch())?;
    let tip = faces.forge.branch_tip(path, &name).await.map_err(|error| match error {
        ForgeError::NoCommit { .. } => Refusal::no_branch(),
        other => other.into(),
    })?;
    let commit = faces.forge.commit(path, &tip).await?;
    let people = faces.forge.people_by_email().await?;
    let protected = name == entered.repo.default_branch;
    let api = format!("{}/api/v3/repos/{path}/branches/{name}", faces.base_url);
    Ok(Json(json!({
        "name": name, "commit": entered.links(&faces).commit(path, &commit, &people), "protected": protected,
        "_links": {"self": api, "html": format!("{}/{path}/tree/{name}", faces.base_url)},
        "protection": {"enabled": protected, "required_status_checks": {"enforcement_level": "off", "contexts": [], "checks": []}},
        "protection_url": format!("{api}/protection"),
    })))
}

/// `GET …/git/ref/heads/{branch}` (and `tags/…`)
pub(super) async fn get_ref(
    State(faces): State<Faces>,
    Path((_, _, tail)): Rest,
    entered: Entered,
) -> Result<Json<Value>, Refusal> {
    let full = format!("refs/{}", tail.trim_start_matches("refs/"));
    let sha = faces.forge.resolve(&entered.repo.path, &full).await.map_err(|error| match error {
        ForgeError::NoCommit { .. } => Refusal::not_found(),
        other => other.into(),
    })?;
    Ok(Json(entered.links(&faces).git_ref(&entered.repo.path, &full, &sha)))
}

/// `GET …/git/matching-refs/heads/{prefix}`: branches only.
pub(super) async fn matching(
    State(faces): State<Faces>,
    Path((_, _, tail)): Rest,
    entered: Entered,
) -> Result<Json<Value>, Refusal> {
    let prefix = format!("refs/{tail}");
    let branches = faces.forge.branches(&entered.repo.path).await?;
    let links = entered.links(&faces);
    let found = branches
        .iter()
        .map(|branch| (branch.name.full_ref(), &branch.tip))
        .filter(|(full, _)| full.starts_with(&prefix));
    Ok(Json(found.map(|(full, tip)| links.git_ref(&entered.repo.path, &full, tip)).collect()))
}

#[derive(Debug, Deserialize)]
pub(super) struct Create {
    r#ref: Option<String>,
    sha: Option<String>,
}

/// `POST …/git/refs`: a new branch.
pub(super) async fn create(
    State(faces): State<Faces>,
    entered: Entered,
    Body(wish): Body<Create>,
) -> Result<Response, Refusal> {
    entered.must_write()?;
    let full = wish.r#ref.ok_or_else(|| Refusal::wrong_shape("\"ref\" wasn't supplied."))?;
    let sha = wish.sha.ok_or_else(|| Refusal::wrong_shape("\"sha\" wasn't supplied."))?;
    let branch = BranchName::from_full_ref(&full)
        .map_err(|error| Refusal::field("Reference", "ref", "invalid", &error.to_string()))?;
    let sha: CommitId = sha.parse().map_err(|_| ForgeError::Invalid(crate::Invalid::NoObject))?;
    guard_default(&entered, &branch)?;
    faces.forge.create_branch(&entered.repo.path, &branch, &sha, &entered.user).await?;
    let body = entered.links(&faces).git_ref(&entered.repo.path, &full, &sha);
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct Update {
    sha: Option<String>,
    #[serde(default)]
    force: bool,
}

/// `PATCH …/git/refs/heads/{branch}`
pub(super) async fn update(
    State(faces): State<Faces>,
    Path((_, _, tail)): Rest,
    entered: Entered,
    Body(wish): Body<Update>,
) -> Result<Json<Value>, Refusal> {
    entered.must_write()?;
    let full = format!("refs/{tail}");
    let branch = BranchName::from_full_ref(&full).map_err(|_| ForgeError::Invalid(crate::Invalid::NoRef))?;
    guard_default(&entered, &branch)?;
    let sha = wish.sha.ok_or_else(|| Refusal::wrong_shape("\"sha\" wasn't supplied."))?;
    let sha: CommitId = sha.parse().map_err(|_| ForgeError::Invalid(crate::Invalid::NoObject))?;
    let how = if wish.force { Move::Force } else { Move::FastForward };
    faces.forge.move_branch(&entered.repo.path, &branch, &sha, how, &entered.user).await?;
    Ok(Json(entered.links(&faces).git_ref(&entered.repo.path, &full, &sha)))
}

/// `DELETE …/git/refs/heads/{branch}`
pub(super) async fn delete(
    State(faces): State<Faces>,
    Path((_, _, tail)): Rest,
    entered: Entered,
) -> Result<StatusCode, Refusal> {
    entered.must_write()?;
    let branch =
        BranchName::from_full_ref(&format!("refs/{tail}")).map_err(|_| ForgeError::Invalid(crate::Invalid::NoRef))?;
    faces.forge.delete_branch(&entered.repo.path, &branch, &entered.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The default branch moves by pull requests; only an admin may move it directly.
fn guard_default(entered: &Entered, branch: &BranchName) -> Result<(), Refusal> {
    if *branch != entered.repo.default_branch || entered.access >= Access::Admin {
        return Ok(());
    }
    Err(Refusal::forbidden(format!("{branch} is protected: open a pull request instead.")))
}
