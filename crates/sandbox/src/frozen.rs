//! What a snapshot gives.

use std::path::PathBuf;

/// The changes of a sandbox, frozen as a layer's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// The tree, below the engine's data directory.
    pub tree: PathBuf,
    /// What is certain about it.
    pub guarantee: Guarantee,
}

/// What is certain about a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// No command was running: every file is as its writer left it. The sandbox goes on over the tree with new, empty changes.
    Quiescent,
    /// Processes were stopped in the middle of whatever they did while the changes were copied, as after a power cut. The sandbox goes on as it was.
    Frozen,
}
