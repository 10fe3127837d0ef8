//! Builds that were asked for: how far each is, and what it said.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    build::BuildFailure,
    image::{ImageId, Target},
    log::BuildLog,
};

/// A build that was asked for. A cheap handle.
#[derive(Clone, Debug)]
pub struct Build {
    /// Counted from 1 since hangar started.
    pub number: u32,
    /// What is built.
    pub target: Target,
    /// When it was asked for: milliseconds since 1970.
    pub asked_at_ms: u64,
    /// What it says.
    pub log: Arc<BuildLog>,
    pub(crate) step: watch::Receiver<String>,
    pub(crate) state: watch::Receiver<BuildState>,
}

/// How far a build is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildState {
    /// It waits for others.
    Queued,
    /// It runs.
    Running,
    /// It is over.
    Ended {
        /// When: milliseconds since 1970.
        at_ms: u64,
        /// How.
        end: BuildEnd,
    },
}

/// How a build ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildEnd {
    /// There is a new image.
    Built(ImageId),
    /// Neither commits nor recipe nor base had changed.
    Unchanged,
    /// There is none; the last good one stays in use.
    Failed(Box<BuildFailure>),
    /// Somebody cancelled it, or hangar ended.
    Cancelled,
}

impl Build {
    /// How far it is now.
    #[must_use]
    pub fn state(&self) -> BuildState {
        self.state.borrow().clone()
    }

    /// What is being done, or was done last.
    #[must_use]
    pub fn step(&self) -> String {
        self.step.borrow().clone()
    }

    /// Changes with its state.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<BuildState> {
        self.state.clone()
    }

    /// Waits for its end.
    pub async fn ended(&self) -> BuildEnd {
        let mut state = self.state.clone();
        match state.wait_for(|state| matches!(state, BuildState::Ended { .. })).await.as_deref() {
            Ok(BuildState::Ended { end, .. }) => end.clone(),
            Ok(BuildState::Queued | BuildState::Running) | Err(_) => BuildEnd::Cancelled,
        }
    }
}
