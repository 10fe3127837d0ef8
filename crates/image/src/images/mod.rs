//! Every image there is, and the one task that sees to new ones.
//!
//! ```text
//!   schedule · push · a person ──ask──▶ queue ──at most `builds_max` at once, one for each repository──▶ build ──▶ manifest ──▶ newest
//!                                         ▲                                                               │
//!                                         └───────────────────── wait, longer after each failure ◀────────┘
//! ```
//!
//! Readers never wait for the task: they look at what it has published last.

mod builds;
mod catalog;
mod collect;
mod exchange;
mod schedule;
mod task;

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hangar_sandbox::{
    Engine, Limits,
    layers::{LayerId, LayerStore},
};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use builds::{Build, BuildEnd, BuildState};
pub use catalog::LastBuild;
pub use collect::{Collected, KeepImages};
pub use exchange::{Adopted, CameIn, ComingIn, EXCHANGES_MAX, ExchangeError, GivenOut};
pub use schedule::{RETRY_AFTER_FIRST, RETRY_AFTER_MAX, RETRY_PASSING_MAX};

use crate::{
    bases::Bases,
    build::{Builder, Way, place},
    image::{Image, ImageId, Target},
    oci,
    outside::Outside,
    source::Source,
};
use catalog::Catalog;
use task::{Ask, Task};

/// Requests that may wait for the task. When it is full, whoever asks waits.
const ASKS_MAX: usize = 64;

/// How images are made.
#[derive(Clone, Debug)]
pub struct ImagesConfig {
    /// hangar's data directory; images are in `images/`, their layers in `layers/`.
    pub data_dir: PathBuf,
    /// After so long without a build, the newest commits are looked at.
    pub every: Duration,
    /// Builds at once.
    pub builds_max: usize,
    /// How long one build may take.
    pub build_max: Duration,
    /// What a build's sandbox may use.
    pub limits: Limits,
    /// Which images stay.
    pub keep: KeepImages,
    /// What an image that comes in as a file may bring.
    pub import_limits: oci::Limits,
}

impl ImagesConfig {
    /// The usual: every 30 minutes, two builds at once, two hours for each.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            every: Duration::from_secs(30 * 60),
            builds_max: 2,
            build_max: Duration::from_secs(2 * 60 * 60),
            limits: Limits::default(),
            keep: KeepImages::default(),
            import_limits: oci::Limits::default(),
        }
    }
}

/// What images are made with.
#[derive(Clone)]
pub struct Means {
    /// Makes sandboxes.
    pub engine: Engine,
    /// Keeps layers; of the same data directory.
    pub store: Arc<LayerStore>,
    /// Gives commits.
    pub source: Arc<dyn Source>,
    /// Serves what a set-up may reach.
    pub outside: Arc<dyn Outside>,
    /// Makes bases.
    pub bases: Arc<dyn Bases>,
}

/// Every image. A cheap handle; builds end when [`close`](Self::close) is called or the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Images {
    asks: mpsc::Sender<Ask>,
    view: watch::Receiver<Arc<View>>,
    shared: Arc<Shared>,
}

/// What readers see.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Every image, the oldest first.
    images: Vec<Arc<Image>>,
    newest: BTreeMap<Target, Arc<Image>>,
    /// Targets that are looked after.
    followed: Vec<Target>,
    last: BTreeMap<Target, LastBuild>,
    builds: Vec<Build>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    catalog: Catalog,
    store: Arc<LayerStore>,
    keep: KeepImages,
    import_limits: oci::Limits,
    /// Directories of images on their way in or out, and how many more there may be.
    exchange_folder: PathBuf,
    exchanges: Arc<Semaphore>,
    /// How many leases each image has.
    leases: Mutex<BTreeMap<ImageId, usize>>,
}

/// Why images are not there.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The data directory cannot be used.
    #[error("images cannot be kept in {}: {source}", path.display())]
    Disk {
        /// Which directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// hangar is ending.
    #[error("images are not built any more: hangar is ending")]
    Closed,
    /// There is no such build.
    #[error("there is no build {0}; `hangar image ls` shows those since hangar started")]
    NoBuild(u32),
    /// Removing did not work.
    #[error("{0}")]
    Layers(#[from] hangar_sandbox::layers::LayerError),
}

impl Images {
    /// Reads the catalog, sweeps what killed builds left, and begins to look after whatever is followed later.
    ///
    /// # Errors
    /// When the data directory cannot be used.
    pub fn open(config: ImagesConfig, means: Means) -> Result<Self, ImagesError> {
        let folder = config.data_dir.join("images");
        let disk = |source| ImagesError::Disk { path: folder.clone(), source };
        let catalog = Catalog::open(folder.clone()).map_err(disk)?;
        let (builds, exchange_folder) = (folder.join("builds"), folder.join("exchange"));
        place::sweep(&builds).map_err(disk)?;
        place::sweep(&exchange_folder).map_err(disk)?;
        let images = catalog.images(&means.store).map_err(disk)?;
        let last = catalog.last_builds().map_err(disk)?;
        let mut view = View { images, ..View::default() };
        for image in &view.images {
            // The oldest come first, so the newest stays.
            view.newest.insert(image.target.clone(), Arc::clone(image));
        }
        view.last = last.into_iter().map(|last| (last.target.clone(), last)).collect();
        let builder = Builder {
            engine: means.engine,
            store: Arc::clone(&means.store),
            source: means.source,
            outside: means.outside,
            bases: means.bases,
            folder: builds,
            limits: config.limits,
            build_max: config.build_max,
        };
        let shared = Arc::new(Shared {
            catalog,
            store: means.store,
            keep: config.keep.clone(),
            import_limits: config.import_limits,
            exchange_folder,
            exchanges: Arc::new(Semaphore::new(EXCHANGES_MAX)),
            leases: Mutex::default(),
        });
        let (asks, inbox) = mpsc::channel(ASKS_MAX);
        let (publish, view) = watch::channel(Arc::new(view));
        tokio::spawn(Task::new(config, builder, Arc::clone(&shared), inbox, publish).run());
        Ok(Self { asks, view, shared })
    }

    /// The newest good image of a target.
    #[must_use]
    pub fn newest(&self, target: &Target) -> Option<Arc<Image>> {
        self.view.borrow().newest.get(target).cloned()
    }

    /// The image of this name.
    #[must_use]
    pub fn image(&self, id: &ImageId) -> Option<Arc<Image>> {
        self.view.borrow().images.iter().find(|image| image.id == *id).cloned()
    }

    /// Every image, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Image>> {
        self.view.borrow().images.clone()
    }

    /// How the last build of each target went, also before a restart.
    #[must_use]
    pub fn last_builds(&self) -> Vec<LastBuild> {
        self.view.borrow().last.values().cloned().collect()
    }

    /// Builds since hangar started, the newest last, at most a hundred.
    #[must_use]
    pub fn builds(&self) -> Vec<Build> {
        self.view.borrow().builds.clone()
    }

    /// One of them.
    #[must_use]
    pub fn build_of(&self, number: u32) -> Option<Build> {
        self.view.borrow().builds.iter().find(|build| build.number == number).cloned()
    }

    /// Changes whenever an image, a build or a followed target does. For the pool, and for whoever shows them.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes { view: self.view.clone() }
    }

    /// Keeps an image built from now on, by its schedule. Doing it twice is fine. The first build begins at once if there is no image.
    ///
    /// # Errors
    /// When hangar is ending.
    pub async fn follow(&self, target: Target) -> Result<(), ImagesError> {
        self.send(Ask::Follow(target)).await
    }

    /// Does not keep it built any longer. Its images stay until they are collected.
    ///
    /// # Errors
    /// When hangar is ending.
    pub async fn unfollow(&self, target: Target) -> Result<(), ImagesError> {
        self.send(Ask::Unfollow(target)).await
    }

    /// A base branch has moved: builds of this repository, and of those with it beside them, begin soon.
    ///
    /// # Errors
    /// When hangar is ending.
    pub async fn pushed(&self, repo: hangar_protocol::RepoPath) -> Result<(), ImagesError> {
        self.send(Ask::Pushed(repo)).await
    }

    /// Builds now, or as soon as a place is free. A build of this target that waits or runs already is returned instead of a second one.
    ///
    /// # Errors
    /// When hangar is ending.
    pub async fn build(&self, target: Target, way: Way) -> Result<Build, ImagesError> {
        let (answer, build) = oneshot::channel();
        self.send(Ask::Build { target, way, answer }).await?;
        build.await.map_err(|_| ImagesError::Closed)
    }

    /// Cancels a build that waits or runs, and waits until nothing of it is left.
    ///
    /// # Errors
    /// When there is no such build, or hangar is ending.
    pub async fn cancel(&self, number: u32) -> Result<(), ImagesError> {
        let build = self.build_of(number).ok_or(ImagesError::NoBuild(number))?;
        self.send(Ask::Cancel(number)).await?;
        build.ended().await;
        Ok(())
    }

    /// Keeps an image from being collected, and marks it as used.
    #[must_use]
    pub fn lease(&self, image: Arc<Image>) -> Lease {
        *self.shared.leases().entry(image.id.clone()).or_default() += 1;
        if let Err(error) = self.shared.catalog.touch(&image.id) {
            tracing::debug!(image = %image.id, %error, "an image cannot be marked as used");
        }
        let layers = image.layers.iter().map(|layer| self.shared.store.hold(layer)).collect();
        Lease { image, shared: Arc::clone(&self.shared), _layers: layers }
    }

    /// Removes images that nobody needs, and then layers that neither images nor `in_use_elsewhere` (sessions, snapshots, bases) need.
    ///
    /// # Errors
    /// When something cannot be read or removed, or hangar is ending.
    pub async fn collect(&self, in_use_elsewhere: HashSet<LayerId>) -> Result<Collected, ImagesError> {
        let (answer, collected) = oneshot::channel();
        self.send(Ask::Collect { in_use_elsewhere, answer }).await?;
        collected.await.map_err(|_| ImagesError::Closed)?
    }

    /// Every layer that images are made of.
    #[must_use]
    pub fn layers_in_use(&self) -> HashSet<LayerId> {
        self.view.borrow().images.iter().flat_map(|image| image.layers.iter().cloned()).collect()
    }

    /// Cancels every build and waits until nothing of them is left.
    pub async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        if self.send(Ask::Close(answer)).await.is_ok() {
            let _ = closed.await;
        }
    }

    async fn send(&self, ask: Ask) -> Result<(), ImagesError> {
        self.asks.send(ask).await.map_err(|_| ImagesError::Closed)
    }
}

/// Tells that something changed.
#[derive(Clone, Debug)]
pub struct Changes {
    view: watch::Receiver<Arc<View>>,
}

impl Changes {
    /// Waits for the next change since the last call. `false`: there will be no more.
    pub async fn next(&mut self) -> bool {
        self.view.changed().await.is_ok()
    }

    /// The newest image of every target now.
    #[must_use]
    pub fn newest(&mut self) -> BTreeMap<Target, Arc<Image>> {
        self.view.borrow_and_update().newest.clone()
    }
}

/// An image that is in use. Until dropped, it is not collected.
pub struct Lease {
    image: Arc<Image>,
    shared: Arc<Shared>,
    _layers: Vec<hangar_sandbox::layers::InUse>,
}

impl Lease {
    /// The image.
    #[must_use]
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut leases = self.shared.leases();
        if let Some(count) = leases.get_mut(&self.image.id) {
            *count -= 1;
            if *count == 0 {
                leases.remove(&self.image.id);
            }
        }
    }
}

impl Shared {
    fn leases(&self) -> std::sync::MutexGuard<'_, BTreeMap<ImageId, usize>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
