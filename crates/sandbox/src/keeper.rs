//! The one task that looks after a sandbox: notices its end, hit limits and used disk, and clears up behind it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hangar_protocol::guest::Request;
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};

use crate::{
    backend::{Body, Readings},
    disk::{self, Free, Usage},
    exec::LimitHit,
    link::Link,
    spec::Limits,
    steps::Step,
};

/// Between two looks while commands run.
const LOOK_BUSY: Duration = Duration::from_millis(250);
/// Between two looks while only left-over processes may run.
const LOOK_IDLE: Duration = Duration::from_secs(5);
/// Files are counted anew at least this often while commands run, even if the file system seems not to have filled.
const COUNT_LATEST: Duration = Duration::from_secs(30);
/// Counting may take this share of one processor's time.
const COUNT_SHARE: u32 = 20;
/// Below so much free space on the file system, no sandbox may grow its files: hangar's own databases need room.
pub(crate) const FREE_BYTES_MIN: u64 = 512 * 1024 * 1024;

fn is_host_full(free: Free) -> bool {
    free.bytes < FREE_BYTES_MIN
}

/// How a sandbox is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether it lives.
    pub life: Life,
    /// Processes killed because memory ran out, since it was made.
    pub oom_kills: u64,
    /// Processes that were not made because there were too many, since it was made.
    pub processes_refused: u64,
    /// Its files.
    pub disk: Disk,
}

/// Whether a sandbox lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// It does.
    #[default]
    Running,
    /// It ended, by [`destroy`](crate::Sandbox::destroy) or otherwise; nothing of it is left but its files.
    Ended,
}

/// How a sandbox's files stand to their limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disk {
    /// Below it.
    #[default]
    Fine,
    /// Over it: running commands were killed, and until files are deleted none may grow.
    Full {
        /// Bytes in use.
        bytes: u64,
        /// Files in use.
        files: u64,
    },
    /// The host itself has hardly any space left; the same holds.
    HostFull {
        /// Bytes that are free.
        free_bytes: u64,
    },
}

/// What tells a command's end why it ended.
pub(crate) struct Readout {
    /// The body itself is the keeper's to clear away.
    body: Weak<dyn Body>,
    health: watch::Receiver<Health>,
    before: Readings,
    _active: Active,
}

impl Readout {
    /// Remembers where the counters stand now.
    pub(crate) fn start(body: &Arc<dyn Body>, health: &watch::Receiver<Health>, active: Active) -> Self {
        let before = body.readings();
        Self { body: Arc::downgrade(body), health: health.clone(), before, _active: active }
    }

    /// The limit that was hit since.
    pub(crate) fn limit_hit(&self) -> Option<LimitHit> {
        let now = self.body.upgrade().map_or(self.before, |body| body.readings());
        if now.oom_kills > self.before.oom_kills {
            return Some(LimitHit::Memory);
        }
        match self.health.borrow().disk {
            Disk::Full { .. } => return Some(LimitHit::Disk),
            Disk::HostFull { .. } => return Some(LimitHit::HostDisk),
            Disk::Fine => {}
        }
        if now.processes_refused > self.before.processes_refused {
            return Some(LimitHit::Processes);
        }
        // A command may fail sooner than the keeper looks.
        let body = self.body.upgrade()?;
        let free = disk::free(body.changes()?).ok()?;
        is_host_full(free).then_some(LimitHit::HostDisk)
    }
}

/// Counts running commands, and wakes the keeper when the first starts.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    commands: AtomicUsize,
    started: Notify,
}

impl Activity {
    /// Whether commands run.
    pub(crate) fn is_busy(&self) -> bool {
        self.commands.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn begin(self: &Arc<Self>) -> Active {
        self.commands.fetch_add(1, Ordering::Relaxed);
        self.started.notify_one();
        Active(Arc::clone(self))
    }
}

/// A command that is running.
pub(crate) struct Active(Arc<Activity>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.commands.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything the task owns. When the guest has ended, it is dropped from top to bottom.
pub(crate) struct Keeper {
    pub link: Link,
    pub body: Arc<dyn Body>,
    pub limits: Limits,
    pub activity: Arc<Activity>,
    pub health: watch::Sender<Health>,
    pub kill: Arc<Notify>,
    pub place: OwnedSemaphorePermit,
}

impl Keeper {
    /// Looks after the sandbox until it has ended and been cleared up.
    pub(crate) async fn run(self) {
        let mut counting = Counting::new();
        let mut next = Instant::now() + LOOK_IDLE;
        let mut ended = self.body.ended();
        loop {
            tokio::select! {
                () = &mut ended => break,
                () = self.kill.notified() => {
                    self.body.kill();
                    Step::DestroyKilled.done();
                    continue;
                }
                // A command that has just begun has not filled anything yet, and has better use for the processor.
                () = self.activity.started.notified() => {
                    next = next.min(Instant::now() + LOOK_BUSY);
                    continue;
                }
                () = tokio::time::sleep_until(next.into()) => {}
            }
            self.look(&mut counting).await;
            next = Instant::now() + if self.activity.is_busy() { LOOK_BUSY } else { LOOK_IDLE };
        }
        drop(ended);
        Step::DestroyEnded.done();
        let Self { body, health, place, .. } = self;
        body.clear().await;
        Step::DestroyCleared.done();
        drop((body, place));
        health.send_modify(|health| health.life = Life::Ended);
    }

    async fn look(&self, counting: &mut Counting) {
        let readings = self.body.readings();
        self.health.send_if_modified(|health| {
            let news = health.oom_kills != readings.oom_kills || health.processes_refused != readings.processes_refused;
            health.oom_kills = readings.oom_kills;
            health.processes_refused = readings.processes_refused;
            news
        });
        let Some(changes) = self.body.changes() else { return };
        let before = self.health.borrow().disk;
        let Some(now) = counting.look(changes, self.body.frozen(), &self.limits, before).await else { return };
        if now == before {
            return;
        }
        self.health.send_modify(|health| health.disk = now);
        let full = !matches!(now, Disk::Fine);
        // When the guest is gone there is nobody to tell, and the loop is about to end.
        let _ = self.link.ask(&Request::ShrinkOnly(full), &[]).await;
        if full && matches!(before, Disk::Fine) {
            let _ = self.link.ask(&Request::KillAll, &[]).await;
        }
    }
}

/// When to count files, and what the last count gave.
struct Counting {
    last: Usage,
    counted_at: Option<Instant>,
    took: Duration,
    free: Free,
}

impl Counting {
    fn new() -> Self {
        Self { last: Usage::default(), counted_at: None, took: Duration::ZERO, free: Free::default() }
    }

    /// Where the disk stands; `None` when it could not be found out.
    ///
    /// Counting a large tree is dear, asking the file system for its free space and inodes is not: as long as the whole file system has
    /// not filled by what this sandbox has left, nothing is counted.
    async fn look(&mut self, changes: &Path, frozen: Vec<PathBuf>, limits: &Limits, before: Disk) -> Option<Disk> {
        let free = disk::free(changes).ok()?;
        if is_host_full(free) {
            return Some(Disk::HostFull { free_bytes: free.bytes });
        }
        if self.is_due(free, limits, before) {
            let mut roots = frozen;
            roots.push(changes.to_owned());
            let started = Instant::now();
            let counted = tokio::task::spawn_blocking(move || {
                disk::usage(&roots.iter().map(PathBuf::as_path).collect::<Vec<_>>())
            });
            self.last = counted.await.ok()?;
            self.took = started.elapsed();
            self.counted_at = Some(started);
            self.free = free;
        }
        let Usage { bytes, files, uncounted } = self.last;
        let over = bytes > limits.disk_bytes || files > limits.disk_files || uncounted;
        Some(if over { Disk::Full { bytes, files } } else { Disk::Fine })
    }

    fn is_due(&self, free: Free, limits: &Limits, before: Disk) -> bool {
        let Some(at) = self.counted_at else { return true };
        if at.elapsed() < self.took * COUNT_SHARE {
            return false;
        }
        let bytes_left = limits.disk_bytes.saturating_sub(self.last.bytes);
        let files_left = limits.disk_files.saturating_sub(self.last.files);
        let filled = self.free.bytes.saturating_sub(free.bytes) >= bytes_left
            || self.free.files.saturating_sub(free.files) >= files_left;
        !matches!(before, Disk::Fine) || filled || at.elapsed() >= COUNT_LATEST
    }
}
