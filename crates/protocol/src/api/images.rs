//! Images, their builds, and the sandboxes that are kept ready.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::ids::RepoPath;

/// An image: a repository at a commit, with everything it needs installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct ImageInfo {
    /// Its id.
    pub id: String,
    /// The repository whose files are at `/workspace`.
    pub repo: RepoPath,
    /// The commit (40 hex digits).
    pub commit: String,
    /// What lies below: `host`, or the name of a base.
    pub base: String,
    /// Where its recipe was read: a file of the repository, or `detected`.
    pub recipe: String,
    /// When it was built: milliseconds since 1970-01-01 UTC.
    #[ts(type = "number")]
    pub built_ms: u64,
    /// How long the build took.
    #[ts(type = "number")]
    pub duration_ms: u64,
    /// Its layers together, on disk.
    #[ts(type = "number")]
    pub bytes: u64,
    /// How many layers it has.
    pub layers: u32,
    /// Whether new sessions start from it.
    pub newest: bool,
    /// What a person should know: steps of a recipe that hangar does not carry out, a test run that failed.
    pub notes: Vec<String>,
}

/// `POST /images`: an image that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct ImportedImage {
    /// The image.
    pub image: ImageInfo,
    /// Whether it was not there before.
    pub new: bool,
    /// What whoever brought it should know: that a newer image is in use, that it was built over another machine's programs.
    pub remarks: Vec<String>,
}

/// `POST /images/builds`: build an image now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBuild {
    /// The repository.
    pub repo: RepoPath,
}

/// A build of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct BuildInfo {
    /// Its number, from 1 since the server started.
    pub build: u32,
    /// The repository.
    pub repo: RepoPath,
    /// How far it is.
    pub status: BuildStatus,
    /// What is being done, or was done last.
    pub step: String,
    /// When it was asked for: milliseconds since 1970-01-01 UTC.
    #[ts(type = "number")]
    pub asked_ms: u64,
    /// When it ended; `None` before.
    #[ts(type = "number | null")]
    pub ended_ms: Option<u64>,
    /// The image it made.
    pub image: Option<String>,
    /// Why it failed: the step, how it ended, and its last lines.
    pub failure: Option<String>,
}

/// How far a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BuildStatus {
    /// It waits for others.
    Queued,
    /// It runs.
    Running,
    /// There is a new image.
    Built,
    /// Nothing had changed since the last image.
    Unchanged,
    /// It failed; the last good image stays in use.
    Failed,
    /// Somebody cancelled it, or the server ended.
    Cancelled,
}

/// `GET /images/builds/{build}/log`: what a build has said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct BuildLog {
    /// The build as it is now.
    pub info: BuildInfo,
    /// Its output from the position asked for, at most 64 KiB.
    pub text: String,
    /// The position after `text`, in bytes: ask from here for what comes next.
    #[ts(type = "number")]
    pub next: u64,
}

/// `GET /pool`: the sandboxes that are kept ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct PoolInfo {
    /// Slots: sandboxes that could become any repository's.
    pub slots: SlotInfo,
    /// Sandboxes over the newest image of a repository, by repository.
    pub repos: Vec<RepoPool>,
    /// A repository that was busy lately has at least so many (`pool.floor`).
    pub floor: u32,
    /// No repository has more (`pool.ceiling`).
    pub ceiling: u32,
    /// Memory that those there are now are expected to use.
    #[ts(type = "number")]
    pub memory_bytes: u64,
    /// Memory the sandboxes kept for repositories may use together (`pool.memory_mib`).
    #[ts(type = "number")]
    pub memory_bytes_max: u64,
}

/// Slots that wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct SlotInfo {
    /// Ready now.
    pub ready: u32,
    /// Made since the server started.
    #[ts(type = "number")]
    pub made: u64,
    /// Sandboxes that began in a waiting slot.
    #[ts(type = "number")]
    pub hits: u64,
    /// Sandboxes that had to make one.
    #[ts(type = "number")]
    pub misses: u64,
}

/// Sandboxes that wait for one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct RepoPool {
    /// The repository.
    pub repo: RepoPath,
    /// Ready now, for whoever comes.
    pub ready: u32,
    /// Ready now, and kept for somebody who types.
    pub reserved: u32,
    /// Being made, or being brought to the newest commits.
    pub preparing: u32,
    /// How many the recent demand asks for.
    pub wanted: u32,
    /// Sessions that found one ready.
    #[ts(type = "number")]
    pub hits: u64,
    /// Sessions that did not.
    #[ts(type = "number")]
    pub misses: u64,
    /// How long sessions that found one waited for it, in the middle of the last hundred.
    pub hit_wait_ms_p50: u32,
    /// How long the sessions that did not had to wait, likewise.
    pub miss_wait_ms_p50: u32,
    /// Kept for somebody who then began no session: they went back, or were ended.
    #[ts(type = "number")]
    pub abandoned: u64,
}

/// `POST /warm`: somebody began to type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Warm {
    /// The repository the session will probably be about.
    pub repo: RepoPath,
}

/// What comes of [`Warm`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Warming {
    /// Whether a sandbox with the newest commits is ready already.
    pub ready: bool,
    /// How long it is kept if no session comes.
    pub kept_s: u32,
}
