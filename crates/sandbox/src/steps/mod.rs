//! Named steps of what happens to sandboxes, snapshots and layers, so that a test can end the process at each of them.
//!
//! Nothing is done here unless [`on_step`] was called, which only programs for tests do. Other crates make steps of their own with [`steps!`](macro@crate::steps).

mod told;

use std::sync::OnceLock;

pub use told::as_told;

static HOOK: OnceLock<fn(&'static str)> = OnceLock::new();

/// An enum of steps with a list of them, and with `done`, by which the crate says that one was done.
#[macro_export]
macro_rules! steps {
    ($(#[$about:meta])* pub enum $name:ident { $($step:ident),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the names are the steps; the code beside each says the rest")]
        pub enum $name { $($step),* }

        impl $name {
            /// Every step.
            pub const ALL: &[Self] = &[$(Self::$step),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$step => stringify!($step)),* }
            }

            pub(crate) fn done(self) {
                $crate::steps::reached(self.name());
            }
        }
    };
}

steps! {
    /// A step that has just been done.
    pub enum Step {
        // A slot: a process that could become any sandbox.
        NurseryStarted,
        SlotGroupMade,
        SlotRangeMapped,
        SlotBorn,
        SlotViewed,
        SlotStaged,
        // A claim: a slot becomes a sandbox.
        ClaimOrdered,
        ClaimLimited,
        ClaimSessionMade,
        RestoreFound,
        ClaimMounted,
        ClaimRootGiven,
        ClaimAttached,
        ClaimKept,
        // Its life.
        Paused,
        Held,
        Released,
        SnapshotWorkMoved,
        SnapshotUpperMoved,
        SnapshotUpperMade,
        SnapshotMounted,
        SnapshotProtected,
        SnapshotPivoted,
        SnapshotSwitched,
        SnapshotWorkRemoved,
        SnapshotStands,
        SnapshotCopied,
        // Its end.
        DestroyKilled,
        DestroyEnded,
        DestroyReaped,
        DestroyGroupHalfRemoved,
        DestroyCleared,
        // A layer.
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
        // The stack of a session.
        SessionSquashNoted,
        SessionSquashed,
        PartMade,
        BeginNoted,
        BeginDone,
        RewindChangesMoved,
        RewindChangesRemoved,
        RewindTopMoved,
    }
}

/// Tells that a step of this name has just been done.
pub fn reached(step: &'static str) {
    if let Some(hook) = HOOK.get() {
        hook(step);
    }
}

/// Calls `hook` with the name of every step of this process. The first call wins.
pub fn on_step(hook: fn(&'static str)) {
    let _ = HOOK.set(hook);
}
