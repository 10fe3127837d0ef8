//! The two public faces of the forge, for everybody with a token: git's smart HTTP protocol at `/{owner}/{repo}.git`, and a
//! subset of GitHub's REST API under `/api/v3`, where GitHub Enterprise Server has it.

mod answer;
mod asked;
mod checks;
mod commits;
mod contents;
mod git;
mod page;
mod pulls;
mod refs;
mod repos;
mod reviews;
mod shapes;
mod who;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, patch, post, put};

use crate::door::Doorkeeper;
use crate::http::answer::Refusal;
use crate::http::asked::Asked;
use crate::local::LocalForge;

/// What the faces need.
#[derive(Clone)]
pub struct Faces {
    /// The forge.
    pub forge: LocalForge,
    /// Who knows the users.
    pub door: Arc<dyn Doorkeeper>,
    /// The server's address as clients see it, e.g. `https://hangar.example.com`, without a slash at its end. Links in answers begin
    /// with it.
    pub base_url: String,
}

impl std::fmt::Debug for Faces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faces").field("forge", &self.forge).field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// Both faces, to be merged into the server's own router at its root.
pub fn router(faces: Faces) -> Router {
    Router::new().merge(git_router(faces.clone())).nest("/api/v3", rest_router(faces))
}

fn git_router(faces: Faces) -> Router {
    Router::new()
        .route("/{owner}/{repo}/info/refs", get(git::advertise))
        .route("/{owner}/{repo}/git-upload-pack", post(git::upload_pack))
        .route("/{owner}/{repo}/git-receive-pack", post(git::receive_pack))
        // Packs are limited by git itself (receive.maxInputSize); everything streams.
        .layer(DefaultBodyLimit::disable())
        .with_state(faces)
}

fn rest_router(faces: Faces) -> Router {
    let body_bytes_max = faces.forge.limits().body_bytes_max;
    let repo = Router::new()
        .route("/", get(repos::get).patch(repos::update))
        .route("/branches", get(refs::branches))
        .route("/branches/{*branch}", get(refs::branch))
        .route("/git/ref/{*ref}", get(refs::get_ref))
        .route("/git/matching-refs/{*ref}", get(refs::matching))
        .route("/git/refs", post(refs::create))
        .route("/git/refs/{*ref}", patch(refs::update).delete(refs::delete))
        .route("/commits", get(commits::list))
        .route("/commits/{ref}", get(commits::get))
        .route("/commits/{ref}/status", get(checks::combined))
        .route("/commits/{ref}/statuses", get(checks::statuses))
        .route("/commits/{ref}/check-runs", get(checks::check_runs))
        .route("/statuses/{sha}", post(checks::create_status))
        .route("/check-runs", post(checks::create_check_run))
        .route("/compare/{*basehead}", get(commits::compare))
        .route("/contents", get(contents::top))
        .route("/contents/", get(contents::top))
        .route("/contents/{*path}", get(contents::get))
        .route("/pulls", get(pulls::list).post(pulls::create))
        .route("/pulls/{number}", get(pulls::get).patch(pulls::update))
        .route("/pulls/{number}/commits", get(pulls::commits))
        .route("/pulls/{number}/files", get(pulls::files))
        .route("/pulls/{number}/merge", put(pulls::merge).get(pulls::merged))
        .route("/pulls/{number}/reviews", get(reviews::list).post(reviews::create))
        .route("/issues/{number}/comments", get(reviews::comments).post(reviews::comment));
    Router::new()
        .route("/user", get(repos::user))
        .route("/user/repos", get(repos::list).post(repos::create_own))
        .route("/orgs/{org}/repos", post(repos::create_in))
        .nest("/repos/{owner}/{repo}", repo)
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
        .layer(axum::middleware::from_fn(to_the_end))
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .with_state(faces)
}

/// No such route. Strangers are told that they are strangers, as everywhere.
async fn nothing(_asked: Asked) -> Refusal {
    Refusal::not_found()
}

/// A client that hangs up must not leave its request half done: a moved branch, say, that no pull request knows of.
async fn to_the_end(request: Request, next: Next) -> Response {
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "a request broke off");
            Refusal::broken().into_response()
        }
    }
}
