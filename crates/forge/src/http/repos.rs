//! The signed-in user and repositories.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::Value;

use crate::door::{Access, ForgeUser};
use crate::http::Faces;
use crate::http::answer::Refusal;
use crate::http::asked::{Asked, Body, Entered};
use crate::http::page::Page;
use crate::http::shapes::Links;
use crate::names::{BranchName, Owner, RepoName, RepoPath};
use crate::repos::{NewRepo, Repository};

/// `GET /user`
pub(super) async fn user(State(faces): State<Faces>, Asked { user }: Asked) -> Result<Json<Value>, Refusal> {
    let repos = seen_by(&faces, &user).await?;
    let own = repos.iter().filter(|(repo, _)| repo.path.owner == user.login).count();
    Ok(Json(Links { base: &faces.base_url }.myself(&user, own)))
}

/// `GET /user/repos`: all that the person may at least read.
pub(super) async fn list(State(faces): State<Faces>, Asked { user }: Asked, page: Page) -> Result<Response, Refusal> {
    let (repos, total) = page.cut(seen_by(&faces, &user).await?);
    let links = Links { base: &faces.base_url };
    Ok(page.answer(repos.iter().map(|(repo, access)| links.repo_for(repo, *access)).collect(), total))
}

async fn seen_by(faces: &Faces, user: &ForgeUser) -> Result<Vec<(Repository, Access)>, Refusal> {
    let mut seen = Vec::new();
    for repo in faces.forge.repos().await? {
        let access = faces.access(user, &repo.path).await?;
        if access > Access::None {
            seen.push((repo, access));
        }
    }
    Ok(seen)
}

/// `GET /repos/{owner}/{repo}`
pub(super) async fn get(State(faces): State<Faces>, entered: Entered) -> Json<Value> {
    Json(entered.links(&faces).repo_for(&entered.repo, entered.access))
}

#[derive(Debug, Deserialize)]
pub(super) struct Update {
    default_branch: Option<String>,
}

/// `PATCH /repos/{owner}/{repo}`: the default branch.
pub(super) async fn update(
    State(faces): State<Faces>,
    entered: Entered,
    Body(update): Body<Update>,
) -> Result<Json<Value>, Refusal> {
    entered.must_own()?;
    let repo = match update.default_branch {
        None => entered.repo.clone(),
        Some(name) => {
            let missing = |_| Refusal::field("Repository", "default_branch", "invalid", "The branch was not found.");
            let branch: BranchName = name.parse().map_err(missing)?;
            match faces.forge.set_default_branch(&entered.repo.path, &branch).await {
                Err(crate::ForgeError::NoCommit { .. }) => {
                    return Err(Refusal::field(
                        "Repository",
                        "default_branch",
                        "invalid",
                        "The branch was not found. Push it first.",
                    ));
                }
                other => other?,
            }
        }
    };
    Ok(Json(entered.links(&faces).repo_for(&repo, entered.access)))
}

#[derive(Debug, Deserialize)]
pub(super) struct Create {
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    auto_init: bool,
}

/// `POST /user/repos`
pub(super) async fn create_own(
    State(faces): State<Faces>,
    Asked { user }: Asked,
    Body(wish): Body<Create>,
) -> Result<Response, Refusal> {
    let owner = user.login.clone();
    create(&faces, &user, owner, wish).await
}

/// `POST /orgs/{org}/repos`
pub(super) async fn create_in(
    State(faces): State<Faces>,
    Path(org): Path<String>,
    Asked { user }: Asked,
    Body(wish): Body<Create>,
) -> Result<Response, Refusal> {
    let owner = org.parse().map_err(|_| Refusal::not_found())?;
    create(&faces, &user, owner, wish).await
}

async fn create(faces: &Faces, user: &ForgeUser, owner: Owner, wish: Create) -> Result<Response, Refusal> {
    // As with repositories: an owner one may not create under looks like none.
    if user.ceiling < Access::Admin || !faces.door.may_create(user, &owner).await? {
        return Err(Refusal::not_found());
    }
    let name = wish.name.ok_or_else(|| Refusal::field("Repository", "name", "missing_field", "name is missing"))?;
    let name: RepoName = name
        .parse()
        .map_err(|error: crate::NameError| Refusal::field("Repository", "name", "invalid", &error.to_string()))?;
    let new = NewRepo { path: RepoPath::new(owner, name), description: wish.description.unwrap_or_default() };
    let repo = if wish.auto_init {
        faces.forge.create_repo_with_readme(new, &user.signature()).await?
    } else {
        faces.forge.create_repo(new).await?
    };
    let access = faces.access(user, &repo.path).await?;
    let links = Links { base: &faces.base_url };
    Ok((StatusCode::CREATED, Json(links.repo_for(&repo, access))).into_response())
}
