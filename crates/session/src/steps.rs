//! Named steps of a session's life, so that a test can end the server at each of them. See [`mod@hangar_sandbox::steps`].
//!
//! Those of a commit are done again and again, once for every batch of events; a test names the n-th.

hangar_sandbox::steps! {
    /// A step of a session's life that has just been done.
    pub enum SessionStep {
        // A session begins.
        SessionFolderMade,
        SessionLogBegun,
        SessionTaskStarted,
        SessionListed,
        // A commit, once for every batch of commands and reports.
        BatchDecided,
        BatchAppended,
        BatchEffectsStarted,
        BatchPublished,
        BatchAnswered,
        // A turn.
        TurnHandedOver,
        TurnEventRecorded,
        TurnBlobWritten,
        TurnBlobNamed,
        TurnBlobKept,
        TurnOver,
        // Its sandbox.
        SandboxAnnounced,
        SandboxMade,
        SandboxReady,
        SnapshotFrozen,
        SnapshotSealed,
        SnapshotTold,
        SandboxPutAway,
        // Its pull request.
        PullRequestPushed,
        PullRequestMade,
        PullRequestRecorded,
        // A fork of it begins.
        ForkMarked,
        ForkFilled,
        ForkTold,
        ForkUnmarked,
        // Its agent begins another session, on a copy of its files.
        ChildFilesBegun,
        ChildBegun,
        ChildTold,
        // It goes back to an earlier turn: its event, which is a commit, and then its files.
        RewindRested,
        RewindFilesBegun,
        RewindFilesNamed,
        RewindFilesGone,
        // It was deleted, and its time is over.
        RemovalEnded,
        RemovalRenamed,
        RemovalUnlisted,
        RemovalDone,
        // Its end, in order.
        TaskDrained,
        TaskForgotten,
        TaskLogClosed,
        // Its next beginning.
        WakeFolded,
        WakeLogOpened,
        // Nothing to do.
        SleepListed,
        SleepTaken,
    }
}
