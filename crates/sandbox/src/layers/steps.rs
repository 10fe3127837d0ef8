//! Named steps of what happens to layers, so that a test can end the process at each of them.
//!
//! Nothing is done here unless [`on_step`] was called, which only tests do.

use std::sync::OnceLock;

static HOOK: OnceLock<fn(Step)> = OnceLock::new();

/// A step that has just been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the steps; the code beside each says the rest")]
pub enum Step {
    SealCleaned,
    SealHashed,
    SealManifestWritten,
    SealNoted,
    SealSynced,
    SealTreeMoved,
    SealPublished,
    SquashCopied,
    CollectMoved,
    CollectHalfRemoved,
    SnapshotUpperMoved,
    SnapshotUpperMade,
    SnapshotMounted,
    SnapshotSwitched,
    SnapshotCopied,
    RestoreFound,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 16] = [
        Self::SealCleaned,
        Self::SealHashed,
        Self::SealManifestWritten,
        Self::SealNoted,
        Self::SealSynced,
        Self::SealTreeMoved,
        Self::SealPublished,
        Self::SquashCopied,
        Self::CollectMoved,
        Self::CollectHalfRemoved,
        Self::SnapshotUpperMoved,
        Self::SnapshotUpperMade,
        Self::SnapshotMounted,
        Self::SnapshotSwitched,
        Self::SnapshotCopied,
        Self::RestoreFound,
    ];

    pub(crate) fn done(self) {
        if let Some(hook) = HOOK.get() {
            hook(self);
        }
    }
}

/// Calls `hook` after every step of this process. The first call wins.
pub fn on_step(hook: fn(Step)) {
    let _ = HOOK.set(hook);
}
