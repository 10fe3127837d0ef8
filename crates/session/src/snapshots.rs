//! Keeps a sandbox's files: after every turn, and before the sandbox goes.
//!
//! ```text
//!   turn over ──▶ snapshot (the sandbox waits: milliseconds) ──▶ seal (nobody waits: hash, sync) ──▶ snapshot_taken in the log
//! ```
//!
//! The event is written when the layer is on disk, complete and named by its content; before that nobody calls it durable. A crash in between
//! loses nothing: the tree stays in the session's files and is sealed with the next snapshot.

use std::{path::PathBuf, sync::Arc, time::Instant};

use hangar_protocol::{TurnId, event::SnapshotGuarantee};
use hangar_sandbox::{
    Frozen, Guarantee, Sandbox,
    layers::{About, Kind, LayerId, LayerStore, Manifest},
};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, watch};

use crate::{
    clock::millis,
    decide::Report,
    driver::Message,
    floor::{Floor, FloorError},
};

/// Takes snapshots of one session's files.
pub(crate) struct Snapshots {
    folder: PathBuf,
    layers: Arc<LayerStore>,
    inbox: mpsc::WeakSender<Message>,
    /// One is sealed at a time, in the order in which they were taken.
    sealing: Arc<Mutex<()>>,
    /// How many were promised and are not told yet.
    promised: Arc<watch::Sender<usize>>,
}

/// A snapshot that somebody counts on: until this is dropped it is being taken, sealed or told.
pub(crate) struct Promise(Arc<watch::Sender<usize>>);

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Snapshots {
    pub(crate) fn new(folder: PathBuf, layers: Arc<LayerStore>, inbox: mpsc::WeakSender<Message>) -> Self {
        Self { folder, layers, inbox, sealing: Arc::default(), promised: Arc::new(watch::Sender::new(0)) }
    }

    /// Says that one is about to be taken.
    pub(crate) fn promise(&self) -> Promise {
        self.promised.send_modify(|count| *count += 1);
        Promise(Arc::clone(&self.promised))
    }

    /// Waits until every promised snapshot is on disk and in the session's inbox.
    pub(crate) async fn told(&self) {
        let mut promised = self.promised.subscribe();
        // The sender lives as long as this.
        let _closed = promised.wait_for(|count| *count == 0).await;
    }

    /// As long as the answer lives, none is sealed.
    pub(crate) async fn still(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.sealing).lock_owned().await
    }

    /// Freezes the sandbox's files as they are. Answers as soon as the sandbox may go on; the rest runs by itself and ends with an event.
    pub(crate) async fn take(&self, sandbox: &Sandbox, turn: Option<TurnId>, promise: Promise) {
        let began = Instant::now();
        match sandbox.snapshot().await {
            Ok(frozen) => {
                let waited_ms = millis(began.elapsed());
                let (folder, layers, inbox) = (self.folder.clone(), Arc::clone(&self.layers), self.inbox.clone());
                let in_turn = Arc::clone(&self.sealing).lock_owned().await;
                tokio::spawn(async move {
                    let sealed = tokio::task::spawn_blocking(move || seal(&folder, &layers, frozen)).await;
                    drop(in_turn);
                    let report = match sealed {
                        Ok(Ok((guarantee, manifest))) => taken(turn, guarantee, &manifest, waited_ms),
                        Ok(Err(error)) => failed(&error.to_string()),
                        Err(error) => failed(&error.to_string()),
                    };
                    tell(&inbox, report).await;
                    drop(promise);
                });
            }
            // The sandbox has ended: its files are where they were.
            Err(hangar_sandbox::Error::Gone) => {}
            Err(error) => tell(&self.inbox, failed(&error.to_string())).await,
        }
    }
}

fn seal(folder: &std::path::Path, store: &LayerStore, frozen: Frozen) -> Result<(Guarantee, Manifest), FloorError> {
    let layer: LayerId = store.seal(&frozen.tree, About::new(Kind::Snapshot, "a session's files"))?;
    match frozen.guarantee {
        Guarantee::Quiescent => {}
        Guarantee::Frozen => {
            if let Some(mut floor) = Floor::read(folder)? {
                floor.set_aside(folder, layer.clone())?;
            }
        }
    }
    Ok((frozen.guarantee, store.manifest(&layer)?))
}

fn taken(turn: Option<TurnId>, guarantee: Guarantee, manifest: &Manifest, duration_ms: u32) -> Report {
    Report::SnapshotTaken {
        snapshot: manifest.id.to_string(),
        turn,
        guarantee: match guarantee {
            Guarantee::Quiescent => SnapshotGuarantee::Quiescent,
            Guarantee::Frozen => SnapshotGuarantee::Frozen,
        },
        files: u32::try_from(manifest.files).unwrap_or(u32::MAX),
        bytes: manifest.bytes,
        duration_ms,
    }
}

fn failed(why: &str) -> Report {
    tracing::warn!(why, "a snapshot could not be taken");
    Report::Warning {
        text: format!(
            "The files could not be kept as a snapshot: {why}. They are still in the sandbox; hangar tries again after the next turn."
        ),
    }
}

async fn tell(inbox: &mpsc::WeakSender<Message>, report: Report) {
    if let Some(inbox) = inbox.upgrade() {
        // A session that has ended needs no news; its files say what was kept.
        drop(inbox.send(Message::Report(report)).await);
    }
}
