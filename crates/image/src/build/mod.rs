//! One build: from a commit to an image.
//!
//! ```text
//!   head ─▶ nothing changed? ── yes ─▶ unchanged
//!    │ no
//!    ├─ same recipe, same base ─▶ onto:   a sandbox over the last image, the new commits brought in ──┐
//!    └─ else ───────────────────▶ afresh: clone as the first layer, base below it, a sandbox over both ─┤
//!                                                                                                      ▼
//!        set-up ─▶ services up and seeded ─▶ warm ─▶ verify ─▶ services down ─▶ kill all ─▶ freeze ─▶ seal ─▶ manifest
//! ```
//!
//! Nothing an image is made of is used before it is sealed, and the manifest comes last: a build that is killed at any point leaves the last good
//! image in use and a directory that the next start sweeps.

mod afresh;
mod env;
pub(crate) mod failure;
mod onto;
pub(crate) mod place;
pub(crate) mod run;
mod steps;
mod work;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hangar_sandbox::{
    Engine, Limits,
    layers::{Below, LayerId, LayerStore},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use failure::{BuildFailure, Exit, FailedLine, Passing};

use crate::{
    bases::Bases,
    image::{BesideAt, Image, Target},
    log::BuildLog,
    outside::{Outside, SetupNetwork},
    recipe::Recipe,
    source::{Branch, Head, Source, SourceError},
    steps::BuildStep,
};

/// An image with more layers of its own than this gets them squashed into one.
pub const OWN_LAYERS_MAX: usize = 24;

/// Builds images.
#[derive(Clone)]
pub(crate) struct Builder {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<LayerStore>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) outside: Arc<dyn Outside>,
    pub(crate) bases: Arc<dyn Bases>,
    /// Directories of running builds.
    pub(crate) folder: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) build_max: Duration,
}

/// One build to do.
pub(crate) struct Job {
    pub(crate) target: Target,
    pub(crate) number: u32,
    pub(crate) previous: Option<Arc<Image>>,
    pub(crate) way: Way,
    pub(crate) log: Arc<BuildLog>,
    /// What is being done, for people.
    pub(crate) step: watch::Sender<String>,
    pub(crate) cancel: CancellationToken,
}

/// What a build may start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The last image, where its recipe and base are still the same; nothing is done when its commits are too.
    Usual,
    /// A new clone, whatever there is.
    Afresh,
}

/// What came of a build.
pub(crate) enum Outcome {
    Unchanged,
    Built(Box<Image>),
}

/// Why a build on top of the last image has to start afresh instead.
enum NotOnto {
    Afresh(String),
    Failed(BuildFailure),
}

impl From<BuildFailure> for NotOnto {
    fn from(failure: BuildFailure) -> Self {
        Self::Failed(failure)
    }
}

impl Builder {
    pub(crate) async fn build(&self, job: &Job) -> Result<Outcome, BuildFailure> {
        let began = Instant::now();
        job.doing("asking for the newest commit");
        let head = self.source.head(&job.target.repo, &Branch::Default).await.map_err(|error| unsourced(&error))?;
        BuildStep::CommitAsked.done();
        if let (Way::Usual, Some(previous)) = (job.way, &job.previous) {
            if self.unchanged(previous, &head).await? {
                return Ok(Outcome::Unchanged);
            }
            match self.onto(job, previous, &head, began).await {
                Ok(image) => return Ok(Outcome::Built(Box::new(image))),
                Err(NotOnto::Failed(failure)) => return Err(failure),
                Err(NotOnto::Afresh(why)) => job.log.say(&format!("built afresh: {why}")),
            }
        }
        let image = self.afresh(job, &head, began).await?;
        Ok(Outcome::Built(Box::new(image)))
    }

    /// Whether the image would come out the same. Equal commits have equal recipes as long as they are read the same way.
    async fn unchanged(&self, previous: &Image, head: &Head) -> Result<bool, BuildFailure> {
        if previous.commit != head.commit || previous.recipe_version != crate::recipe::RECIPE_VERSION {
            return Ok(false);
        }
        for beside in &previous.beside {
            let branch = Branch::Named(beside.branch.clone());
            let newest = self.source.head(&beside.repo, &branch).await.map_err(|error| unsourced(&error))?;
            if newest.commit != beside.commit {
                return Ok(false);
            }
        }
        Ok(self.base_change(previous).await.is_none())
    }

    /// What is different about the base, where that can be told without the repository's files. A registry that does not answer changes nothing.
    async fn base_change(&self, previous: &Image) -> Option<String> {
        match self.bases.digest(&previous.recipe.base).await {
            Ok(Some(digest)) if digest != previous.base.digest => Some("the base has changed".into()),
            Ok(_) => None,
            Err(error) => {
                tracing::info!(target = %previous.target, %error, "whether a base has changed cannot be told");
                None
            }
        }
    }

    /// The newest commits of the repositories beside the main one, if they may be there.
    async fn beside(&self, target: &Target, recipe: &Recipe) -> Result<Vec<BesideAt>, BuildFailure> {
        let mut found = Vec::new();
        for beside in &recipe.beside {
            let step = format!("the repository {}", beside.repo);
            match self.source.may_lie_beside(&target.repo, &beside.repo).await {
                Ok(true) => {}
                Ok(false) => {
                    let what = format!(
                        "not everybody who may use {} may read it, so it cannot be part of the image; \
                         give them access, or take it out of `repositories`",
                        target.repo
                    );
                    return Err(BuildFailure::lasting(step, what));
                }
                Err(error) => return Err(BuildFailure { step, ..unsourced(&error) }),
            }
            let head = self.source.head(&beside.repo, &Branch::written(&beside.branch)).await;
            let Head { branch, commit } = head.map_err(|error| BuildFailure { step, ..unsourced(&error) })?;
            found.push(BesideAt { repo: beside.repo.clone(), commit, branch, name: beside.name.clone() });
        }
        Ok(found)
    }

    fn network(job: &Job, allow: &[String]) -> SetupNetwork {
        SetupNetwork { target: job.target.clone(), allow: allow.to_vec() }
    }

    /// Checks that the layers are as they were sealed. Blocks the calling task only.
    async fn verified(&self, layers: &[LayerId]) -> Result<(), BuildFailure> {
        let (store, layers) = (Arc::clone(&self.store), layers.to_vec());
        let checked =
            tokio::task::spawn_blocking(move || layers.iter().try_for_each(|layer| store.verify(layer))).await;
        let failed = |error: &dyn std::fmt::Display| BuildFailure::passing("check the layers", error);
        checked.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }

    /// Squashes an image's own layers when there are many.
    async fn short(&self, own: Vec<LayerId>, base: &[LayerId], label: String) -> Result<Vec<LayerId>, BuildFailure> {
        if own.len() <= OWN_LAYERS_MAX {
            return Ok(own);
        }
        let below = if base.is_empty() { Below::Nothing } else { Below::Layers };
        let store = Arc::clone(&self.store);
        let squashed = tokio::task::spawn_blocking(move || store.squash(&own, below, &label)).await;
        let failed = |error: &dyn std::fmt::Display| BuildFailure::passing("squash the layers", error);
        let squashed = squashed.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        BuildStep::LayersSquashed.done();
        Ok(vec![squashed])
    }

    /// What the layers take on disk.
    fn disk_bytes(&self, layers: &[LayerId]) -> u64 {
        layers.iter().filter_map(|layer| self.store.manifest(layer).ok()).map(|manifest| manifest.disk_bytes).sum()
    }
}

impl Job {
    fn doing(&self, what: &str) {
        self.log.say(what);
        self.show(what);
    }

    /// What people see of a build that runs. A step that is run in the sandbox says itself in the log.
    fn show(&self, what: &str) {
        self.step.send_replace(what.to_owned());
    }

    /// The name of its sandbox: unique among those running.
    fn sandbox_name(&self) -> String {
        let repo: String =
            self.target.repo.name().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
        format!("build-{}-{}", self.number, repo.trim_matches('-'))
    }
}

fn unsourced(error: &SourceError) -> BuildFailure {
    let step = "the newest commit";
    match error {
        SourceError::Gone(what) => BuildFailure::lasting(step, what),
        SourceError::Failed(what) => BuildFailure::passing(step, what),
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn now_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
