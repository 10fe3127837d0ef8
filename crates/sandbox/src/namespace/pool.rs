//! Slots that wait to be claimed. One pool serves every repository and image, so a new image makes none of them useless.
//!
//! ```text
//!   claim takes one ──▶ fewer than wanted ──▶ the filling task makes more, a few at a time, behind everybody who waits for one
//! ```

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use hangar_protocol::guest::Account;
use tokio::sync::Notify;

use super::{Inner, Ready};
use crate::{backend::SlotCounts, error::Error};

/// Slots that are made at once. More would only take processors away from sandboxes at work.
const AT_ONCE: usize = 3;
/// How long the pool leaves the processors to whoever has just claimed a slot, while there are others.
const CALM: Duration = Duration::from_millis(10);
/// After a failure, before the next try.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);

/// See the module's documentation.
pub(super) struct Pool {
    ready: Mutex<VecDeque<Ready>>,
    wanted: usize,
    wake: Arc<Notify>,
    closed: AtomicBool,
    made: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Pool {
    pub(super) fn new(wanted: usize) -> Self {
        Self {
            ready: Mutex::default(),
            wanted,
            wake: Arc::default(),
            closed: AtomicBool::new(false),
            made: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// A slot, if one is ready. Whoever takes it has it alone.
    pub(super) fn take(&self) -> Option<Ready> {
        let found = loop {
            match self.ready().pop_front() {
                // One that died while it waited is cleared away, elsewhere.
                Some(dead) if dead.body.has_ended() => drop(dead),
                other => break other,
            }
        };
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_one();
        found
    }

    pub(super) fn count_made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> SlotCounts {
        SlotCounts {
            ready: self.ready().len(),
            made: self.made.load(Ordering::Relaxed),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// Ends every slot and makes no more. Blocks until they are gone.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_one();
        let slots = std::mem::take(&mut *self.ready());
        for slot in slots {
            slot.body.end_now();
        }
    }

    /// Whether no more slots are made.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn put(&self, slot: Ready) {
        let mut ready = self.ready();
        if !self.is_closed() {
            ready.push_back(slot);
        }
    }

    fn missing(&self) -> usize {
        self.wanted.saturating_sub(self.ready().len())
    }

    fn ready(&self) -> MutexGuard<'_, VecDeque<Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // So that the filling task notices.
        self.pool.wake.notify_one();
    }
}

/// Starts the task that fills the pool for as long as the backend lives.
pub(super) fn keep_filled(inner: &Arc<Inner>) {
    if inner.pool.wanted == 0 {
        return;
    }
    let (wake, weak) = (Arc::clone(&inner.pool.wake), Arc::downgrade(inner));
    tokio::spawn(async move {
        let mut making = FuturesUnordered::new();
        loop {
            let Some(inner) = weak.upgrade().filter(|inner| !inner.pool.is_closed()) else {
                return;
            };
            while making.len() < inner.pool.missing().min(AT_ONCE) {
                making.push(make(Arc::clone(&inner)));
            }
            // While this task waits, the backend may go.
            drop(inner);
            match making.next().await {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, "a slot could not be made ahead of need");
                    tokio::time::sleep(FAILURE_PAUSE).await;
                }
                None => {
                    wake.notified().await;
                    calm(&weak).await;
                }
            }
        }
    });
}

async fn make(inner: Arc<Inner>) -> Result<(), Error> {
    let slot = inner.slot(Account::Agent).await?;
    inner.pool.put(slot);
    Ok(())
}

/// Lets whoever has claimed a slot get going, unless it was the last one or there is nothing to wait for.
async fn calm(inner: &Weak<Inner>) {
    let others = inner.upgrade().is_some_and(|inner| !inner.pool.is_closed() && !inner.pool.ready().is_empty());
    if others {
        tokio::time::sleep(CALM).await;
    }
}
