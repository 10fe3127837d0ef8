//! Sandboxes that are ready before anybody asks: over the newest image of a busy repository, with its services running.
//!
//! ```text
//!              ┌───────────── abandoned, still over the newest image ─────────────┐
//!              ▼                                                                  │
//!   making ─▶ waiting ──warm(who)──▶ bringing the newest commits ──▶ kept for who ─┴─expired──▶ ended
//!              │  └── a newer image, too many, too old ──▶ ended         │
//!              └───────────────────── take ──────────────────────────────┴──▶ a session's
//! ```
//!
//! Slots of the engine, which could become anything, are the first level; these are the second.

mod demand;
mod prepared;
mod size;
mod task;

use std::{path::PathBuf, sync::Arc, time::Duration};

use hangar_sandbox::{Engine, Limits, layers::LayerStore};
use tokio::sync::{mpsc, oneshot, watch};

pub use prepared::{At, Behind, Hit, PoolError, Prepared, Rest, Taken};
pub use size::{Demand, PoolLimits, sizes};

use crate::{image::Target, images::Images, source::Source};
use prepared::{Preparer, Warm};
use task::{Arrival, Ask, Given, Task};

/// Requests that may wait for the task. When it is full, whoever asks waits.
const ASKS_MAX: usize = 64;

/// How sandboxes are kept ready.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// hangar's data directory; the sandboxes' files are in `pool/`, those that sessions have taken included.
    pub data_dir: PathBuf,
    /// How many.
    pub sizes: PoolLimits,
    /// What one without services is expected to use while it waits, in bytes.
    pub each_bytes: u64,
    /// What one with services is expected to use.
    pub serving_bytes: u64,
    /// How long a sandbox is kept for somebody who began to type, after the last sign of it.
    pub warm_kept: Duration,
    /// Sandboxes one person may have kept at once. The oldest goes back when there would be more.
    pub warm_max: usize,
    /// A sandbox that waited so long is made anew: what runs in it may have rotted.
    pub age_max: Duration,
    /// What each may use.
    pub limits: Limits,
}

impl PoolConfig {
    /// The usual: 1 to 8 for a busy repository in 2 GiB of memory, kept 2 minutes for who types.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            sizes: PoolLimits { floor: 1, ceiling: 8, memory_bytes: 2 * 1024 * 1024 * 1024 },
            each_bytes: 8 * 1024 * 1024,
            serving_bytes: 384 * 1024 * 1024,
            warm_kept: Duration::from_secs(120),
            warm_max: 2,
            age_max: Duration::from_secs(60 * 60),
            limits: Limits::default(),
        }
    }
}

/// Sandboxes kept ready. A cheap handle; they end when [`close`](Self::close) is called or the last handle is dropped.
#[derive(Clone)]
pub struct Pool {
    asks: mpsc::Sender<Ask>,
    counts: watch::Receiver<Vec<PoolCounts>>,
    preparer: Arc<Preparer>,
    warm_kept: Duration,
}

/// One repository's sandboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolCounts {
    /// Whose.
    pub target: Target,
    /// Waiting for anybody.
    pub ready: u32,
    /// Kept for somebody who types.
    pub reserved: u32,
    /// Being made or brought to the newest commits.
    pub preparing: u32,
    /// How many recent demand asks for.
    pub wanted: u32,
    /// Sessions that found one.
    pub hits: u64,
    /// Sessions that did not.
    pub misses: u64,
    /// How long sessions that found one waited for it, in the middle of the last hundred.
    pub hit_wait_p50: Duration,
    /// How long the others waited, likewise.
    pub miss_wait_p50: Duration,
    /// What all of them are expected to use, in bytes.
    pub memory_bytes: u64,
    /// Sandboxes that were warmed for nothing: they went back or were ended.
    pub abandoned: u64,
}

/// What comes of [`Pool::warm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warming {
    /// A sandbox with the newest commits is ready, and so are its services (or have ended or failed).
    pub ready: bool,
    /// How long it is kept if no session comes.
    pub kept: Duration,
}

impl Pool {
    /// Sweeps what a killed hangar's pool left and begins. `engine` and `store` are those that `images` has.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(
        config: PoolConfig,
        engine: Engine,
        store: Arc<LayerStore>,
        images: Images,
        source: Arc<dyn Source>,
    ) -> Result<Self, PoolError> {
        let folder = config.data_dir.join("pool");
        prepared::sweep(&folder)?;
        let preparer = Preparer { engine, store, images, source, folder, limits: config.limits };
        let preparer = Arc::new(preparer);
        let (asks, inbox) = mpsc::channel(ASKS_MAX);
        let (publish, counts) = watch::channel(Vec::new());
        let warm_kept = config.warm_kept;
        tokio::spawn(Task::new(config, Arc::clone(&preparer), inbox, publish).run());
        Ok(Self { asks, counts, preparer, warm_kept })
    }

    /// Somebody began to type: a sandbox over the newest image is kept for them and brought to the newest commits. Called again with
    /// every few keystrokes, it prolongs that. Returns at once. Nothing happens where there is no image, or where a new one would need more memory than the pool
    /// may use.
    ///
    /// # Errors
    /// When hangar is ending.
    pub async fn warm(&self, target: Target, who: &str) -> Result<Warming, PoolError> {
        let (answer, ready) = oneshot::channel();
        self.send(Ask::Warm { target, who: who.to_owned(), answer }).await?;
        let ready = ready.await.map_err(|_| PoolError::Closed)?;
        Ok(Warming { ready, kept: self.warm_kept })
    }

    /// A sandbox for a session: the one that was warmed for `who`, else one that waits, else a new one; at the commits asked for. `None` where there is
    /// no image of the target, or the one it would be over is not the repository's any more.
    ///
    /// Dropping the future ends the sandbox that was on its way.
    ///
    /// # Errors
    /// When it cannot be made, or the commits are not to be had. The session can still make a sandbox over a clone of its own.
    pub async fn take(&self, target: Target, who: &str, at: At) -> Result<Option<Taken>, PoolError> {
        let began = std::time::Instant::now();
        let Some((mut warm, hit)) = self.given(target, who, at.clone(), Arrival::Brought).await? else {
            return Ok(None);
        };
        if let Err(error) = self.preparer.bring(&mut warm, &at).await {
            warm.end().await;
            return Err(error);
        }
        warm.begin();
        let waited = self.waited(&warm, began, hit).await;
        Ok(Some(warm.taken(waited, hit)))
    }

    /// The same, without waiting for the commit: [`Taken::behind`] is the way there, and [`Taken::rest`] what is to be begun afterwards.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn take_as_it_is(&self, target: Target, who: &str, commit: String) -> Result<Option<Taken>, PoolError> {
        let began = std::time::Instant::now();
        let at = At::Commit(commit.clone());
        let Some((warm, hit)) = self.given(target, who, at, Arrival::AsItIs).await? else { return Ok(None) };
        let waited = self.waited(&warm, began, hit).await;
        Ok(Some(warm.taken_behind(Arc::clone(&self.preparer.source), commit, waited, hit)))
    }

    async fn given(
        &self,
        target: Target,
        who: &str,
        at: At,
        arrival: Arrival,
    ) -> Result<Option<(Warm, Hit)>, PoolError> {
        let (answer, given) = oneshot::channel();
        self.send(Ask::Take { target, who: who.to_owned(), at, arrival, answer }).await?;
        match given.await.map_err(|_| PoolError::Closed)? {
            Given::Warm(warm, hit) => Ok(Some((*warm, hit))),
            Given::NoImage => Ok(None),
            Given::Failed(error) => Err(error),
        }
    }

    async fn waited(&self, warm: &Warm, began: std::time::Instant, hit: Hit) -> Duration {
        let waited = began.elapsed();
        let target = warm.lease.image().target.clone();
        // Counting may fail only when hangar is ending.
        let _ = self.send(Ask::Waited { target, waited, hit }).await;
        waited
    }

    /// How it stands, by repository.
    #[must_use]
    pub fn counts(&self) -> Vec<PoolCounts> {
        self.counts.borrow().clone()
    }

    /// Changes with the counts.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Vec<PoolCounts>> {
        self.counts.clone()
    }

    /// Ends every sandbox that no session has taken, and waits for that.
    pub async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        if self.send(Ask::Close(answer)).await.is_ok() {
            let _ = closed.await;
        }
    }

    async fn send(&self, ask: Ask) -> Result<(), PoolError> {
        self.asks.send(ask).await.map_err(|_| PoolError::Closed)
    }
}
