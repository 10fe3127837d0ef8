//! Dockerfiles: a subset, one layer for each instruction that changes files, each made once.
//!
//! ```text
//!   text ──plan──▶ stages of steps, checked ──build──▶ for each step its key: the key before it, the words, what it copies
//!                                                        ├─ written down: its layers
//!                                                        ├─ COPY: a layer put together from the context or another stage (pick, put)
//!                                                        └─ RUN: a sandbox over the layers so far; what it changed is the layer
//! ```

mod build;
mod ignore;
mod pick;
mod plan;
mod put;
mod user;
mod words;

use std::{collections::BTreeMap, path::PathBuf};

use async_trait::async_trait;
use hangar_sandbox::{Sandbox, SandboxSpec};

use crate::base::{BaseError, BaseMaker, Made, Notes};

/// A Dockerfile to build a base from.
#[derive(Clone, Debug, Default)]
pub struct Dockerfile {
    /// What it is called, for people.
    pub name: String,
    /// The file itself.
    pub text: String,
    /// `.dockerignore`, if there is one.
    pub ignore: String,
    /// The directory `COPY` takes from. Its files are somebody else's: no link in it is followed out of it.
    pub context: PathBuf,
    /// The stage to build; the last one when empty.
    pub target: String,
    /// Values of `ARG`s.
    pub args: BTreeMap<String, String>,
}

/// Opens sandboxes for `RUN`, with the network that a set-up has.
#[async_trait]
pub trait Rooms: Send + Sync {
    /// Makes the sandbox. What serves its network lives as long as the room.
    ///
    /// # Errors
    /// As the engine.
    async fn open(&self, spec: SandboxSpec) -> Result<Room, hangar_sandbox::Error>;
}

/// A sandbox in which one instruction runs.
pub struct Room {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// What serves its network; dropped with the room.
    pub serving: Box<dyn Send + Sync>,
}

/// Largest Dockerfile, in bytes.
pub const DOCKERFILE_BYTES_MAX: usize = 1024 * 1024;

impl BaseMaker {
    /// Builds a Dockerfile. Instructions that were carried out before over the same files are not carried out again.
    ///
    /// # Errors
    /// When it has something hangar does not do (the words name line and instruction), when a file to copy is missing, or when a command fails.
    pub async fn dockerfile(&self, wanted: &Dockerfile, rooms: &dyn Rooms, notes: &Notes) -> Result<Made, BaseError> {
        if wanted.text.len() > DOCKERFILE_BYTES_MAX {
            return Err(BaseError::unfit(format!("`{}` is larger than 1 MiB", wanted.name), "make it shorter"));
        }
        let plan = plan::Plan::read(&wanted.text)?;
        let bare = build::Build::new(self, wanted, &plan, rooms, notes)?.run().await?;
        self.with_account(bare).await
    }
}
