//! Who asks, and what they may do here. Every route goes through this file.

use axum::http::{HeaderMap, header};
use base64::Engine as _;

use crate::door::{Access, ForgeUser, Token};
use crate::error::{ForgeError, Result};
use crate::http::Faces;
use crate::names::RepoPath;
use crate::repos::Repository;

/// How a request says who it is.
#[derive(Debug)]
pub(crate) enum Asker {
    /// No `Authorization` header.
    Nobody,
    /// A token that nobody has, or a header that is not understood.
    Stranger,
    /// A person.
    User(ForgeUser),
}

impl Faces {
    /// Reads `Authorization`: `Bearer …` or `token …` as GitHub's clients send it, or `Basic` as git does, where the password is the
    /// token (or the user name, when there is no password).
    pub(crate) async fn asker(&self, headers: &HeaderMap) -> Result<Asker> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Ok(Asker::Nobody);
        };
        let Some(token) = value.to_str().ok().and_then(token) else {
            return Ok(Asker::Stranger);
        };
        match self.door.user(&token).await? {
            Some(user) => Ok(Asker::User(user)),
            None => Ok(Asker::Stranger),
        }
    }

    /// The repository and what this person may do there. Missing and forbidden look the same.
    pub(crate) async fn enter(&self, user: &ForgeUser, owner: &str, name: &str) -> Result<(Repository, Access)> {
        let missing = || ForgeError::NoRepository(format!("{owner}/{name}"));
        let path: RepoPath = format!("{owner}/{name}").parse().map_err(|_| missing())?;
        let repo = self.forge.find(&path).await?.ok_or_else(missing)?;
        match self.access(user, &repo.path).await? {
            Access::None => Err(missing()),
            access @ (Access::Read | Access::Write | Access::Admin) => Ok((repo, access)),
        }
    }

    /// What this person may do with a repository, within what their token may do.
    pub(crate) async fn access(&self, user: &ForgeUser, repo: &RepoPath) -> Result<Access> {
        Ok(self.door.access(user, repo).await?.min(user.ceiling))
    }
}

fn token(value: &str) -> Option<Token> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim();
    let found = match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "token" => rest.to_owned(),
        "basic" => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(rest).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (user, password) = text.split_once(':')?;
            let password = if password.is_empty() || password == "x-oauth-basic" { user } else { password };
            password.to_owned()
        }
        _ => return None,
    };
    if found.is_empty() { None } else { Some(Token::new(found)) }
}
