//! git's smart HTTP protocol for people: clone, fetch and push with a token as the password.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Deserialize;

use crate::backend::{Service, Step, Wish};
use crate::door::{Access, ForgeUser};
use crate::gitdoor::{Place, Push, error_words, fetch, open_push, words};
use crate::http::Faces;
use crate::http::who::Asker;
use crate::repos::Repository;

#[derive(Debug, Deserialize)]
pub(super) struct Question {
    service: Option<String>,
}

type Names = Path<(String, String)>;

pub(super) async fn advertise(
    State(faces): State<Faces>,
    Path(names): Names,
    Query(question): Query<Question>,
    headers: HeaderMap,
) -> Response<Body> {
    let Some(service) = question.service.as_deref().and_then(Service::from_word) else {
        return words(StatusCode::FORBIDDEN, "Only git's smart HTTP protocol is served here; use a newer git.");
    };
    let entered = match enter(&faces, &headers, names, service).await {
        Ok(entered) => entered,
        Err(response) => return response,
    };
    let wish = Wish {
        repo: &entered.repo.path,
        service,
        step: Step::Advertise,
        headers: &headers,
        login: entered.user.login.as_str(),
    };
    fetch(&faces.forge, wish, Body::empty(), Place::Public).await.unwrap_or_else(|error| error_words(&error))
}

pub(super) async fn upload_pack(
    State(faces): State<Faces>,
    Path(names): Names,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let service = Service::UploadPack;
    let entered = match enter(&faces, &headers, names, service).await {
        Ok(entered) => entered,
        Err(response) => return response,
    };
    let wish = Wish {
        repo: &entered.repo.path,
        service,
        step: Step::Exchange,
        headers: &headers,
        login: entered.user.login.as_str(),
    };
    fetch(&faces.forge, wish, body, Place::Public).await.unwrap_or_else(|error| error_words(&error))
}

pub(super) async fn receive_pack(
    State(faces): State<Faces>,
    Path(names): Names,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let entered = match enter(&faces, &headers, names, Service::ReceivePack).await {
        Ok(entered) => entered,
        Err(response) => return response,
    };
    let push = match open_push(&faces.forge, &headers, body).await {
        Ok(push) => push,
        Err(error) => return words(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    if let Err(why) = may_push(&entered, &push) {
        return push.refuse("protected branch", &why).await;
    }
    let note = Box::new(|_moved| -> futures::future::BoxFuture<'static, ()> { Box::pin(async {}) });
    let path = entered.repo.path;
    push.accept(&faces.forge, &path, &headers, entered.user, note).await.unwrap_or_else(|error| error_words(&error))
}

struct Entered {
    user: ForgeUser,
    repo: Repository,
    access: Access,
}

/// The default branch moves by pull requests; only an admin may push to it directly, and nobody may delete it.
fn may_push(entered: &Entered, push: &Push) -> Result<(), String> {
    let protected = entered.repo.default_branch.full_ref();
    for command in &push.head.commands {
        if command.full_ref != protected {
            continue;
        }
        if command.new.is_zero() {
            return Err(format!("{} is the default branch and cannot be deleted.", entered.repo.default_branch));
        }
        if entered.access < Access::Admin {
            return Err(format!(
                "{} is protected: push your work to another branch and open a pull request.",
                entered.repo.default_branch
            ));
        }
    }
    Ok(())
}

async fn enter(
    faces: &Faces,
    headers: &HeaderMap,
    (owner, repo): (String, String),
    service: Service,
) -> Result<Entered, Response<Body>> {
    let user = match faces.asker(headers).await {
        Ok(Asker::User(user)) => user,
        Ok(Asker::Nobody) => {
            return Err(challenge("Sign in with your user name and a personal access token as the password."));
        }
        Ok(Asker::Stranger) => {
            return Err(challenge("This token is not valid (any more). Use a personal access token as the password."));
        }
        Err(error) => return Err(error_words(&error)),
    };
    let Some(name) = repo.strip_suffix(".git") else {
        return Err(words(
            StatusCode::NOT_FOUND,
            &format!("Repository not found. Its address ends with .git: {}/{owner}/{repo}.git", faces.base_url),
        ));
    };
    let (repo, access) = faces.enter(&user, &owner, name).await.map_err(|error| error_words(&error))?;
    let needed = match service {
        Service::UploadPack => Access::Read,
        Service::ReceivePack => Access::Write,
    };
    if access < needed {
        return Err(words(StatusCode::FORBIDDEN, &format!("You may read {} but not push to it.", repo.path)));
    }
    Ok(Entered { user, repo, access })
}

fn challenge(text: &str) -> Response<Body> {
    let mut response = words(StatusCode::UNAUTHORIZED, text);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"hangar\""));
    response
}
