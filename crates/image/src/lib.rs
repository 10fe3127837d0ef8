//! Images: one per repository, or per environment of several repositories, built ahead of need.
//!
//! An image is a manifest over layers: the clone at a known commit, everything the setup installed, and the caches that a first build and a
//! first test run left behind. A session starts from the newest one, so its own set-up is a small delta.
//!
//! ```text
//!   files of a commit ──recipe──▶ Recipe ──build──▶ layer, manifest ──▶ Images::newest ──▶ Pool::take ──▶ a session's sandbox
//!        ▲                                             ▲                     ▲                ▲
//!      Source (commits)              Bases, Outside (network)       schedule, push, asked   warm: somebody types
//! ```
//!
//! [`Images`] has the images and builds new ones; [`Pool`] has sandboxes over them that are ready ahead of need. Commits, bases and the
//! network come through the traits [`Source`], [`Bases`] and [`Outside`], which the server implements.

pub mod base;
mod bases;
mod build;
mod image;
mod images;
mod log;
pub mod oci;
mod outside;
mod pool;
pub mod recipe;
mod services;
mod source;
#[doc(hidden)]
pub mod steps;
mod sync;

pub use bases::{BaseError, Bases, HostOnly, host};
pub use build::{BuildFailure, Exit, FailedLine, OWN_LAYERS_MAX, Passing, Way};
pub use image::{BadImageId, BaseKind, BaseUsed, BesideAt, Checked, Image, ImageId, Target, Took};
pub use images::{
    Adopted, Build, BuildEnd, BuildState, CameIn, Changes, Collected, ComingIn, EXCHANGES_MAX, ExchangeError, GivenOut,
    Images, ImagesConfig, ImagesError, KeepImages, LastBuild, Lease, Means, RETRY_AFTER_FIRST, RETRY_AFTER_MAX,
    RETRY_PASSING_MAX,
};
pub use log::{BuildLog, LAST_LINES, LOG_BYTES_MAX};
pub use outside::{Closed, Outside, Serving, SetupNetwork};
pub use pool::{
    At, Behind, Demand, Hit, Pool, PoolConfig, PoolCounts, PoolError, PoolLimits, Prepared, Rest, Taken, Warming, sizes,
};
pub use services::{LOG_FOLDER, ServicePhase, ServiceState, Services};
pub use source::{Branch, Head, Source, SourceError};
pub use sync::{Bringing, alone};
