//! Where code lives.
//!
//! - [`LocalForge`]: bare repositories and pull requests on this machine.
//! - [`http::router`]: its two faces for everybody with a token: git's own protocol and a subset of GitHub's REST API.
//! - [`broker`]: the face for one sandbox, without a token: fetch its repository, push its branch, nothing else.
//! - [`client`]: speaks that REST API, so the same code talks to this forge and to GitHub.
//!
//! The crate knows no users: a [`Doorkeeper`] of the server answers who a token belongs to and what they may do. It knows
//! no sessions either: the broker gets a grant and reports what was pushed; followers read [`LocalForge::changes_since`].

mod backend;
pub mod backup;
mod border;
pub mod broker;
mod changes;
mod check_runs;
mod checks;
pub mod client;
mod comments;
mod commits;
mod contents;
mod database;
mod delta;
mod diff;
mod door;
mod error;
mod git;
mod gitdoor;
pub mod http;
mod imports;
mod limits;
mod local;
mod merge;
mod names;
mod people;
mod pulls;
mod push;
mod refs;
mod repos;
mod reviews;
mod sync;
mod tip;
mod workspace;

pub use changes::{CHANGES_PAGE_MAX, Change, ChangeKind};
pub use check_runs::{CheckProgress, CheckRun, Conclusion, NewCheckRun};
pub use checks::{CHECK_NAME_CHARS_MAX, CheckState, NewStatus, Status, newest_by_context};
pub use comments::Comment;
pub use commits::{COMMITS_BETWEEN_MAX, Commit, Stamp};
pub use contents::{Content, ENTRIES_MAX, Entry, EntryKind, Small};
pub use diff::{Diff, FileDiff, FileStatus, Patch};
pub use door::{Access, Doorkeeper, ForgeUser, Token};
pub use error::{ForgeError, Invalid, NotMergeable, Result};
pub use imports::ImportSource;
pub use limits::Limits;
pub use local::{ForgeConfig, LocalForge};
pub use merge::{MergeMethod, MergeWish, Mergeability};
pub use names::{
    BRANCH_BYTES_MAX, BranchName, CommitId, NameError, OWNER_BYTES_MAX, OWNERS_RESERVED, Owner, REPO_NAME_BYTES_MAX,
    RepoName, RepoPath,
};
pub use people::{Person, Signature};
pub use pulls::{NewPull, Pull, PullEdit, PullFilter, PullState};
pub use refs::{BRANCHES_MAX, Branch, Move};
pub use repos::{DESCRIPTION_CHARS_MAX, NewRepo, Repository, TEAM_IDS_FROM};
pub use reviews::{NewReview, Review, ReviewState};
pub use workspace::{WorkspaceClone, WorkspaceHead};
