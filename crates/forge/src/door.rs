//! The seam to whoever knows the users: the forge keeps no accounts and no tokens of its own. The server answers two
//! questions, who is this and what may they do here; the forge asks them for every single request.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;
use crate::names::{Owner, RepoPath};

/// A token as it came in a request. It never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps what the client sent.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for looking it up or for sending it on.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A person as the forge knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeUser {
    /// The server's number for them, stable for ever. Above 0.
    pub id: i64,
    /// Short unique name; by GitHub's rules.
    pub login: Owner,
    /// Name for commits.
    pub name: String,
    /// Address for commits.
    pub email: String,
    /// The most that the token they came with may do anywhere (its scope), whatever the person themselves may do.
    pub ceiling: Access,
}

/// What somebody may do with a repository. Ordered: each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Not even know that it is there: every request is answered as if it were not.
    None,
    /// Clone, fetch, look, comment and review.
    Read,
    /// Push branches, open, change and merge pull requests, report checks.
    Write,
    /// Push to the default branch and change the repository itself.
    Admin,
}

/// Knows people and what they may do. Implemented by the server; asked at every request, so it should answer from memory
/// or a fast table.
#[async_trait]
pub trait Doorkeeper: Send + Sync + 'static {
    /// Whose token this is; `None` for nobody's (unknown, expired, revoked).
    async fn user(&self, token: &Token) -> Result<Option<ForgeUser>>;

    /// What this person may do with a repository that exists. The forge lowers the answer to `user.ceiling`.
    async fn access(&self, user: &ForgeUser, repo: &RepoPath) -> Result<Access>;

    /// May this person create repositories under this owner?
    async fn may_create(&self, user: &ForgeUser, owner: &Owner) -> Result<bool>;
}
