//! Reviews and comments of pull requests.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::Value;

use crate::error::{ForgeError, Invalid};
use crate::http::Faces;
use crate::http::answer::Refusal;
use crate::http::asked::{Body, Entered};
use crate::http::page::Page;
use crate::http::pulls::{Number, number};
use crate::reviews::{NewReview, ReviewState};

const RESOURCE: &str = "PullRequestReview";

/// `GET …/pulls/{number}/reviews`
pub(super) async fn list(
    State(faces): State<Faces>,
    path: Number,
    entered: Entered,
    page: Page,
) -> Result<Response, Refusal> {
    let n = number(path)?;
    let (reviews, total) = page.cut(faces.forge.reviews(&entered.repo.path, n).await?);
    let links = entered.links(&faces);
    Ok(page.answer(reviews.iter().map(|review| links.review(&entered.repo, n, review)).collect(), total))
}

#[derive(Debug, Deserialize)]
pub(super) struct Review {
    event: Option<String>,
    #[serde(default)]
    body: Option<String>,
    commit_id: Option<String>,
}

/// `POST …/pulls/{number}/reviews`. Drafts of reviews (no `event`) and comments on lines are not offered.
pub(super) async fn create(
    State(faces): State<Faces>,
    path: Number,
    entered: Entered,
    Body(wish): Body<Review>,
) -> Result<Json<Value>, Refusal> {
    let n = number(path)?;
    let state = match wish.event.as_deref() {
        Some("APPROVE") => ReviewState::Approved,
        Some("REQUEST_CHANGES") => ReviewState::ChangesRequested,
        Some("COMMENT") => ReviewState::Commented,
        Some(_) => {
            return Err(Refusal::field(RESOURCE, "event", "invalid", "it must be APPROVE, REQUEST_CHANGES or COMMENT"));
        }
        None => return Err(ForgeError::Invalid(Invalid::Missing { resource: RESOURCE, field: "event" }).into()),
    };
    let commit = match wish.commit_id {
        None => None,
        Some(text) => Some(faces.forge.resolve(&entered.repo.path, &text).await?),
    };
    let new = NewReview { state, body: wish.body.unwrap_or_default(), commit };
    let review = faces.forge.create_review(&entered.repo.path, n, new, &entered.user).await?;
    Ok(Json(entered.links(&faces).review(&entered.repo, n, &review)))
}

/// `GET …/issues/{number}/comments`
pub(super) async fn comments(
    State(faces): State<Faces>,
    path: Number,
    entered: Entered,
    page: Page,
) -> Result<Response, Refusal> {
    let n = number(path)?;
    let (comments, total) = page.cut(faces.forge.comments(&entered.repo.path, n).await?);
    let links = entered.links(&faces);
    Ok(page.answer(comments.iter().map(|comment| links.comment(&entered.repo, n, comment)).collect(), total))
}

#[derive(Debug, Deserialize)]
pub(super) struct Comment {
    #[serde(default)]
    body: String,
}

/// `POST …/issues/{number}/comments`
pub(super) async fn comment(
    State(faces): State<Faces>,
    path: Number,
    entered: Entered,
    Body(wish): Body<Comment>,
) -> Result<Response, Refusal> {
    let n = number(path)?;
    let comment = faces.forge.create_comment(&entered.repo.path, n, wish.body, &entered.user).await?;
    let body = entered.links(&faces).comment(&entered.repo, n, &comment);
    Ok((StatusCode::CREATED, Json(body)).into_response())
}
