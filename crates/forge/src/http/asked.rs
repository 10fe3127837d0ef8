//! What a handler gets instead of a raw request: a person, a repository they may enter, a parsed body.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::door::{Access, ForgeUser};
use crate::http::Faces;
use crate::http::answer::Refusal;
use crate::http::shapes::Links;
use crate::http::who::Asker;
use crate::repos::Repository;

/// A person with a good token.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) user: ForgeUser,
}

impl FromRequestParts<Faces> for Asked {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, faces: &Faces) -> Result<Self, Refusal> {
        match faces.asker(&parts.headers).await? {
            Asker::User(user) => Ok(Self { user }),
            Asker::Nobody => Err(Refusal::unauthenticated()),
            Asker::Stranger => Err(Refusal::bad_credentials()),
        }
    }
}

/// A person in a repository that they may at least read; owner and name come from the route.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) user: ForgeUser,
    pub(crate) repo: Repository,
    pub(crate) access: Access,
}

impl FromRequestParts<Faces> for Entered {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, faces: &Faces) -> Result<Self, Refusal> {
        let Asked { user } = Asked::from_request_parts(parts, faces).await?;
        let params = RawPathParams::from_request_parts(parts, faces).await.map_err(|_| Refusal::not_found())?;
        let find =
            |wanted: &str| params.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value).unwrap_or_default();
        let (repo, access) = faces.enter(&user, find("owner"), find("repo")).await?;
        Ok(Self { user, repo, access })
    }
}

impl Entered {
    /// Refuses a person who may only read.
    pub(crate) fn must_write(&self) -> Result<(), Refusal> {
        if self.access >= Access::Write {
            return Ok(());
        }
        Err(Refusal::forbidden(format!("Must have push access to {}.", self.repo.path)))
    }

    /// Refuses a person who does not own the repository.
    pub(crate) fn must_own(&self) -> Result<(), Refusal> {
        if self.access >= Access::Admin {
            return Ok(());
        }
        Err(Refusal::forbidden(format!("Must have admin rights to {}.", self.repo.path)))
    }

    /// Addresses of things in this repository.
    pub(crate) fn links<'a>(&self, faces: &'a Faces) -> Links<'a> {
        Links { base: &faces.base_url }
    }
}

/// A JSON body, refused in GitHub's words when it is not one.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Faces> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, faces: &Faces) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, faces).await.map_err(|_| Refusal::too_large())?;
        // GitHub takes an absent body for an empty object.
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Refusal::wrong_shape(error),
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => Refusal::not_json(),
        })
    }
}
