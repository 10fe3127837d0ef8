//! What can go wrong in the forge, sorted by who has to act.

use crate::names::{BranchName, NameError, RepoPath};

/// An answer of the forge that is not the wished one. `Display` is fit to show to the person who asked, except for
/// [`ForgeError::Broken`], which is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// A name that cannot be one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No such repository (or the asker may not know of it).
    #[error("There is no repository {0} here.")]
    NoRepository(String),
    /// The repository is there already.
    #[error("The repository {0} exists already. Choose another name.")]
    RepositoryExists(RepoPath),
    /// A branch, tag or commit that is not in the repository.
    #[error("{repo} has no commit, branch or tag `{reference}`.")]
    NoCommit {
        /// Where it was looked for.
        repo: RepoPath,
        /// What was looked for.
        reference: String,
    },
    /// No such pull request, review or comment.
    #[error("There is no {0}.")]
    NotFound(String),
    /// The request makes no sense as it stands.
    #[error("{0}")]
    Invalid(Invalid),
    /// The pull request cannot be merged now (conflict, closed, draft…).
    #[error("{0}")]
    NotMergeable(NotMergeable),
    /// Somebody else was faster: a branch moved meanwhile.
    #[error("{0}")]
    Moved(&'static str),
    /// The source of an import is not usable.
    #[error("The import of {path} failed: {why}")]
    Import {
        /// What was to be imported.
        path: String,
        /// git's own words, without host paths.
        why: String,
    },
    /// Too much is going on; ask again.
    #[error("The forge is busy. Try again in a moment.")]
    Busy,
    /// A limit was exceeded.
    #[error("{what} is over the limit of {limit}.")]
    OverLimit {
        /// What was too large.
        what: &'static str,
        /// The limit with its unit.
        limit: String,
    },
    /// Ours: disk, database, a git that misbehaves. For the log, not for the user.
    #[error("The forge failed: {0}")]
    Broken(String),
}

/// Requests that GitHub answers with 422; the words are GitHub's where it has any.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The author wants to approve.
    #[error("Can not approve your own pull request")]
    SelfApproval,
    /// The author wants to request changes.
    #[error("Can not request changes on your own pull request")]
    SelfChangeRequest,
    /// A pull request of this branch is open already.
    #[error("A pull request already exists for {owner}:{head}.")]
    PullExists {
        /// Owner of the head branch.
        owner: String,
        /// The head branch.
        head: BranchName,
        /// The number of the open pull request.
        number: u64,
    },
    /// Head adds nothing to base.
    #[error("No commits between {base} and {head}")]
    NoCommits {
        /// The base branch.
        base: BranchName,
        /// The head branch.
        head: BranchName,
    },
    /// A field names something that is not there or cannot be.
    #[error("The {resource}'s {field} is invalid: {why}")]
    Field {
        /// GitHub's word for the thing.
        resource: &'static str,
        /// The field.
        field: &'static str,
        /// What to do about it.
        why: String,
    },
    /// A field is missing.
    #[error("The {resource}'s {field} is missing.")]
    Missing {
        /// GitHub's word for the thing.
        resource: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A ref that is there already.
    #[error("Reference already exists")]
    RefExists,
    /// A ref that is not there.
    #[error("Reference does not exist")]
    NoRef,
    /// An id of no object.
    #[error("Object does not exist")]
    NoObject,
    /// A move of a ref that would lose commits, without force.
    #[error("Update is not a fast forward")]
    NotFastForward,
    /// The default branch cannot go away.
    #[error("Cannot delete the default branch")]
    DefaultBranch,
}

/// Why a merge was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotMergeable {
    /// Both sides changed the same lines, or it is closed or merged already. GitHub's words.
    #[error("Pull Request is not mergeable")]
    Conflict,
    /// It is closed or merged.
    #[error("Pull Request is closed")]
    Closed,
    /// Still a draft.
    #[error("Pull Request is still a draft")]
    Draft,
    /// Rebase is not offered.
    #[error("Rebase merges are not allowed on this repository. Use merge or squash.")]
    Rebase,
}

impl From<rusqlite::Error> for ForgeError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(format!("database: {error}"))
    }
}

impl From<std::io::Error> for ForgeError {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(format!("input or output: {error}"))
    }
}

/// What nearly everything here returns.
pub type Result<T, E = ForgeError> = std::result::Result<T, E>;
