//! Pull requests.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::door::Access;
use crate::error::{ForgeError, Invalid, NotMergeable};
use crate::http::Faces;
use crate::http::answer::Refusal;
use crate::http::asked::{Body, Entered};
use crate::http::commits::{Media, media, text};
use crate::http::page::Page;
use crate::http::shapes::merge as add;
use crate::merge::{MergeMethod, MergeWish, Mergeability};
use crate::names::{BranchName, CommitId, RepoPath};
use crate::pulls::{NewPull, Pull, PullEdit, PullFilter, PullState, RESOURCE, field};

pub(super) type Number = Path<(String, String, String)>;

/// The number in a route; anything else is a route that does not exist.
pub(super) fn number(Path((_, _, text)): Number) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::not_found())
}

#[derive(Debug, Deserialize)]
pub(super) struct Filter {
    state: Option<String>,
    head: Option<String>,
    base: Option<String>,
    direction: Option<String>,
    sort: Option<String>,
}

/// `GET …/pulls?state=&head=&base=&sort=&direction=`
pub(super) async fn list(
    State(faces): State<Faces>,
    entered: Entered,
    Query(wish): Query<Filter>,
    page: Page,
) -> Result<Response, Refusal> {
    let path = &entered.repo.path;
    let open = match wish.state.as_deref().unwrap_or("open") {
        "open" => Some(true),
        "closed" => Some(false),
        "all" => None,
        _ => return Err(field("state", "it must be open, closed or all".into()).into()),
    };
    let head = wish.head.as_deref().map(|text| own_branch(path, text));
    let base = wish.base.as_deref().map(str::parse::<BranchName>);
    let mut found = match (head, base) {
        // A branch of somebody else's, or a name that cannot be one, has no pull request here.
        (Some(None), _) | (_, Some(Err(_))) => Vec::new(),
        (head, base) => {
            let filter = PullFilter { open, head: head.flatten(), base: base.and_then(Result::ok) };
            faces.forge.pulls(path, filter).await?
        }
    };
    if wish.sort.as_deref() == Some("updated") {
        found.sort_by_key(|pull| std::cmp::Reverse(pull.updated_ms));
    }
    if wish.direction.as_deref() == Some("asc") {
        found.reverse();
    }
    let (pulls, total) = page.cut(found);
    let links = entered.links(&faces);
    Ok(page.answer(pulls.iter().map(|pull| links.pull(&entered.repo, pull)).collect(), total))
}

/// `owner:branch` or `branch`; `None` when it is not a branch of this repository.
fn own_branch(path: &RepoPath, text: &str) -> Option<BranchName> {
    match text.split_once(':') {
        Some((owner, branch)) if owner.eq_ignore_ascii_case(path.owner.as_str()) => branch.parse().ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Create {
    title: Option<String>,
    #[serde(default)]
    body: Option<String>,
    head: Option<String>,
    base: Option<String>,
    #[serde(default)]
    draft: bool,
}

/// `POST …/pulls`
pub(super) async fn create(
    State(faces): State<Faces>,
    entered: Entered,
    Body(wish): Body<Create>,
) -> Result<Response, Refusal> {
    entered.must_write()?;
    let path = &entered.repo.path;
    let head = wish.head.ok_or_else(|| missing("head"))?;
    let base = wish.base.ok_or_else(|| missing("base"))?;
    let head = own_branch(path, &head).ok_or_else(|| field("head", format!("there is no branch {head}")))?;
    let base = base.parse().map_err(|_| field("base", format!("there is no branch {base}")))?;
    let new = NewPull {
        title: wish.title.ok_or_else(|| missing("title"))?,
        body: wish.body.unwrap_or_default(),
        head,
        base,
        draft: wish.draft,
    };
    let pull = faces.forge.create_pull(path, new, &entered.user).await?;
    let body = in_full(&faces, &entered, &pull).await?;
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

fn missing(field: &'static str) -> ForgeError {
    ForgeError::Invalid(Invalid::Missing { resource: RESOURCE, field })
}

/// `GET …/pulls/{number}`; `Accept: application/vnd.github.diff` gives the diff.
pub(super) async fn get(
    State(faces): State<Faces>,
    path: Number,
    entered: Entered,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let pull = faces.forge.pull(&entered.repo.path, number(path)?).await?;
    if media(&headers) == Media::Diff {
        let path = &entered.repo.path;
        let fork = faces.forge.fork_point(path, &pull).await?;
        let diff = faces.forge.diff_text(path, &fork, &pull.head.1).await?;
        return Ok(text("application/vnd.github.diff; charset=utf-8", diff));
    }
    Ok(Json(in_full(&faces, &entered, &pull).await?).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct Update {
    title: Option<String>,
    body: Option<String>,
    state: Option<String>,
    base: Option<String>,
}

/// `PATCH …/pulls/{number}`
pub(super) async fn update(
    State(faces): State<Faces>,
    path: Number,
    entered: Entered,
    Body(wish): Body<Update>,
) -> Result<Json<Value>, Refusal> {
    let n = number(path)?;
    let path = &entered.repo.path;
    let pull = faces.forge.pull(path, n).await?;
    if pull.author.id != entered.user.id {
        entered.must_write()?;
    }
    let open = match wish.state.as_deref() {
        None => None,
        Some("open") => Some(true),
        Some("closed") => Some(false),
        Some(_) => return Err(field("state", "it must be open or closed".into()).into()),
    };
    let base = match wish.base {
        None => None,
        Some(name) => Some(name.parse().map_err(|_| field("base", format!("there is no branch {name}")))?),
    };
    let edit = PullEdit { title: wish.title, body: wish.body, base, open };
    let pull = faces.forge.edit_pull(path, n, edit, &entered.user).await?;
    Ok(Json(in_full(&faces, &entered, &pull).await?))
}

/// `GET …/pulls/{number}/commits`
pub(super) async fn commits(
    State(faces): State<Faces>,
    path: Number,
    entered: Entered,
    page: Page,
) -> Result<Response, Refusal> {
    let pull = faces.forge.pull(&entered.repo.path, number(path)?).await?;
    let (commits, total) = page.cut(faces.forge.pull_commits(&entered.repo.path, &pull).await?);
    let people = faces.forge.people_by_email().await?;
    let links = entered.links(&faces);
    Ok(page.answer(commits.iter().map(|commit| links.commit(&entered.repo.path, commit, &people)).collect(), total))
}

/// `GET …/pulls/{number}/files`
pub(super) async fn files(
    State(faces): State<Faces>,
    path: Number,
    entered: Entered,
    page: Page,
) -> Result<Response, Refusal> {
    let pull = faces.forge.pull(&entered.repo.path, number(path)?).await?;
    let diff = faces.forge.pull_diff(&entered.repo.path, &pull).await?;
    let (files, total) = page.cut(diff.files);
    let links = entered.links(&faces);
    Ok(page.answer(files.iter().map(|file| links.file(&entered.repo.path, &pull.head.1, file)).collect(), total))
}

#[derive(Debug, Deserialize)]
pub(super) struct Merge {
    commit_title: Option<String>,
    commit_message: Option<String>,
    sha: Option<String>,
    merge_method: Option<String>,
}

/// `PUT …/pulls/{number}/merge`
pub(super) async fn merge(
    State(faces): State<Faces>,
    path: Number,
    entered: Entered,
    Body(wish): Body<Merge>,
) -> Result<Json<Value>, Refusal> {
    let n = number(path)?;
    faces.forge.pull(&entered.repo.path, n).await?;
    entered.must_write()?;
    let method = match wish.merge_method.as_deref().unwrap_or("merge") {
        "merge" => MergeMethod::Merge,
        "squash" => MergeMethod::Squash,
        "rebase" => return Err(ForgeError::NotMergeable(NotMergeable::Rebase).into()),
        _ => return Err(field("merge_method", "it must be merge or squash".into()).into()),
    };
    let expected_head = match wish.sha {
        None => None,
        Some(sha) => Some(
            sha.parse::<CommitId>()
                .map_err(|_| ForgeError::Moved("Head branch was modified. Review and try the merge again."))?,
        ),
    };
    let wish = MergeWish { method, title: wish.commit_title, message: wish.commit_message, expected_head };
    let sha = faces.forge.merge_pull(&entered.repo.path, n, wish, &entered.user).await?;
    Ok(Json(json!({"sha": sha, "merged": true, "message": "Pull Request successfully merged"})))
}

/// `GET …/pulls/{number}/merge`: 204 when merged, else 404.
pub(super) async fn merged(State(faces): State<Faces>, path: Number, entered: Entered) -> Result<StatusCode, Refusal> {
    let pull = faces.forge.pull(&entered.repo.path, number(path)?).await?;
    match pull.state {
        PullState::Merged { .. } => Ok(StatusCode::NO_CONTENT),
        PullState::Open | PullState::Closed { .. } => Err(Refusal::not_found()),
    }
}

/// A pull request with what only its own page has: counts and whether it would merge.
async fn in_full(faces: &Faces, entered: &Entered, pull: &Pull) -> Result<Value, Refusal> {
    let path = &entered.repo.path;
    let links = entered.links(faces);
    let commits = faces.forge.pull_commits(path, pull).await?.len();
    let diff = faces.forge.pull_diff(path, pull).await?;
    let comments = faces.forge.comments(path, pull.number).await?.len();
    let (mergeable, word) = match (&pull.state, pull.draft) {
        (PullState::Open, draft) => match faces.forge.mergeability(path, &pull.base.1, &pull.head.1).await? {
            Mergeability::Clean { .. } if draft => (Some(true), "draft"),
            Mergeability::Clean { .. } => (Some(true), "clean"),
            Mergeability::Conflict { .. } => (Some(false), "dirty"),
        },
        (PullState::Closed { .. } | PullState::Merged { .. }, _) => (None, "unknown"),
    };
    let (merged, merged_by) = match &pull.state {
        PullState::Merged { by, .. } => (true, by.as_ref().map(|person| links.person(person))),
        PullState::Open | PullState::Closed { .. } => (false, None),
    };
    let mut body = links.pull(&entered.repo, pull);
    add(
        &mut body,
        json!({
            "merged": merged, "mergeable": mergeable, "rebaseable": false, "mergeable_state": word, "merged_by": merged_by, "comments": comments,
            "review_comments": 0, "maintainer_can_modify": entered.access >= Access::Write, "commits": commits,
            "additions": diff.additions, "deletions": diff.deletions, "changed_files": diff.changed_files,
        }),
    );
    Ok(body)
}
