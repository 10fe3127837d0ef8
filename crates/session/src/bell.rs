//! What wakes a subscription: a list of its sessions in which something happened.
//!
//! A tail rings once and not again until it has been looked at, so the list is never longer than the sessions that are followed.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// A session's place in a subscription.
pub(crate) type Slot = u32;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<Vec<Slot>>,
    notify: Notify,
}

impl Bell {
    /// Something happened in this session.
    pub(crate) fn ring(&self, slot: Slot) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        self.notify.notify_one();
    }

    /// Waits for a ring, and takes all there are. Cancel-safe.
    pub(crate) async fn rung(&self) -> Vec<Slot> {
        loop {
            let rung = std::mem::take(&mut *self.rung.lock().unwrap_or_else(PoisonError::into_inner));
            if !rung.is_empty() {
                return rung;
            }
            self.notify.notified().await;
        }
    }
}
