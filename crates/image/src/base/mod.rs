//! Bases: what the lowest layers of an image are made of.
//!
//! ```text
//!   host         this machine's own programs, no layer at all
//!   debian       mmdebstrap ──tar──▶ one layer, everything about this machine taken out
//!   image        registry, OCI layout, docker save ──oci──▶ one layer each
//!   dockerfile   FROM (one of these) and a layer for each RUN and COPY, run in sandboxes
//!                └──▶ and on top of each the agent's account, where the base has no user of its id
//! ```
//!
//! What was made is written down by what it was made from (`record.rs`), so that it is made once.

mod account;
mod debian;
pub mod dockerfile;
mod error;
mod every;
mod image;
mod mirrors;
mod mmdebstrap;
mod record;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hangar_sandbox::layers::{LayerId, LayerStore};

use crate::oci::{Digest, Limits, Registries, RunConfig};

pub use debian::{Debian, SUITE_DEFAULT, Variant};
pub use error::BaseError;
pub use every::EveryBase;
pub use record::Record;

/// Where bases come from and go to. A cheap handle.
#[derive(Clone, Debug)]
pub struct BaseMaker {
    store: Arc<LayerStore>,
    /// `data/bases`.
    directory: PathBuf,
    settings: Arc<BaseSettings>,
}

/// How bases are made, from the configuration.
#[derive(Clone, Debug)]
pub struct BaseSettings {
    /// Where Debian packages are fetched, as `https://mirror.example/debian`; empty for the mirror this machine itself uses for the suite, or
    /// else Debian's own. It is not written into the base.
    pub debian_mirror: String,
    /// After so long a Debian base is made anew, for its updates.
    pub debian_age_max: Duration,
    /// How registries are reached.
    pub registries: Registries,
    /// What an image from elsewhere may bring.
    pub limits: Limits,
}

/// A week: Debian's updates come every few days, and the security ones are in a session's `apt-get upgrade` at once.
const DEBIAN_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

impl Default for BaseSettings {
    fn default() -> Self {
        Self {
            debian_mirror: String::new(),
            debian_age_max: DEBIAN_AGE_MAX,
            registries: Registries::default(),
            limits: Limits::default(),
        }
    }
}

/// A base that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// As a person calls it: `debian bookworm`, `node:22`.
    pub name: String,
    /// Names its content.
    pub digest: Digest,
    /// Its layers, topmost first.
    pub layers: Vec<LayerId>,
    /// How it is run.
    pub config: RunConfig,
}

/// Told while a base is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// What is being done now, in a few words.
    Step(String),
    /// Something a program said: a part of its output, not necessarily whole lines.
    Output(Vec<u8>),
    /// Something a person should know.
    Warning(String),
}

/// Hears notes. Called from several threads, and should return soon.
pub type Notes = Arc<dyn Fn(Note) + Send + Sync>;

impl BaseMaker {
    /// Opens `data_dir/bases` and sweeps what an earlier process left half made. `store` is that of the same data directory.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(data_dir: &Path, store: Arc<LayerStore>, settings: BaseSettings) -> Result<Self, BaseError> {
        let directory = record::open(data_dir)?;
        Ok(Self { store, directory, settings: Arc::new(settings) })
    }

    /// A directory for one thing that is being made; gone when dropped.
    fn work(&self) -> Result<tempfile::TempDir, BaseError> {
        let work = self.directory.join(record::WORK);
        tempfile::Builder::new().prefix("making-").tempdir_in(&work).map_err(BaseError::host(work))
    }

    /// Every layer a base that is written down consists of: none of them may be collected.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn layers_in_use(&self) -> Result<std::collections::HashSet<LayerId>, BaseError> {
        Ok(self.records()?.into_iter().flat_map(|record| record.made.layers).collect())
    }
}

/// Runs what blocks on a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BaseError> + Send + 'static,
) -> Result<T, BaseError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(BaseError::Failed { what: "make a base".into(), said: error.to_string() }),
    }
}
