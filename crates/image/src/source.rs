//! Where commits come from. The server implements this over its forge; nothing here knows one.

use std::path::Path;

use async_trait::async_trait;
use hangar_protocol::RepoPath;

/// Gives commits of repositories. It uses hangar's own access, which belongs to no user; nothing of it reaches a sandbox.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The newest commit of a branch.
    ///
    /// # Errors
    /// [`SourceError::Gone`] when there is no such repository or branch.
    async fn head(&self, repo: &RepoPath, branch: &Branch) -> Result<Head, SourceError>;

    /// Clones a repository into `dir`, which does not exist: the work tree of `commit` with a detached `HEAD`, and a whole `.git` whose `origin` is
    /// the address that works inside a sandbox. No hooks, no alternates, no credential and no path of this host is in it. May leave half of
    /// one on an error; the caller removes it.
    ///
    /// # Errors
    /// When the commit is not there, or the disk is full.
    async fn clone_to(&self, repo: &RepoPath, commit: &str, dir: &Path) -> Result<(), SourceError>;

    /// Writes to `file` a thin pack of every object that `want` has and `have` has not: what
    /// `git pack-objects --thin --revs --stdout` gives for `want` and `^have`. Empty when `have` has everything.
    ///
    /// # Errors
    /// [`SourceError::Gone`] when either commit is not known any more (after a forced push): a new clone is made then.
    async fn delta(&self, repo: &RepoPath, have: &str, want: &str, file: &Path) -> Result<(), SourceError>;

    /// Whether `other` may lie beside `main` in an image: everybody who may use `main` may read `other` too.
    ///
    /// # Errors
    /// When that cannot be found out; it is taken for a no.
    async fn may_lie_beside(&self, main: &RepoPath, other: &RepoPath) -> Result<bool, SourceError>;
}

/// Which branch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Branch {
    /// The repository's default branch.
    Default,
    /// This one, without `refs/heads/`.
    Named(String),
}

impl Branch {
    /// As recipes write it: empty for the default.
    #[must_use]
    pub fn written(name: &str) -> Self {
        if name.is_empty() { Self::Default } else { Self::Named(name.to_owned()) }
    }
}

/// A branch and its newest commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Without `refs/heads/`.
    pub branch: String,
    /// 40 hexadecimal digits.
    pub commit: String,
}

/// Why a source gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no such repository, branch or commit (any more).
    #[error("{0}")]
    Gone(String),
    /// It did not work this time.
    #[error("{0}")]
    Failed(String),
}
