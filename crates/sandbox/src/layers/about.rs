//! What is written down about a layer, beside its tree.

use serde::{Deserialize, Serialize};

use super::id::LayerId;

/// Longest label.
pub const LABEL_CHARS_MAX: usize = 200;

/// What a layer is for, in its maker's words. Not part of its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// What made it.
    pub kind: Kind,
    /// A few words for people, at most [`LABEL_CHARS_MAX`]; cut where longer. No path of the host and no secret belongs here.
    pub label: String,
}

impl About {
    /// A layer of this kind.
    pub fn new(kind: Kind, label: impl Into<String>) -> Self {
        Self { kind, label: label.into() }
    }
}

/// What made a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A complete root file system.
    Base,
    /// A step of an image.
    Image,
    /// The changes of a sandbox.
    Snapshot,
    /// Several layers made one.
    Squashed,
}

/// `manifest.json` of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Which way of hashing made the id; always 1 so far.
    pub format: u32,
    /// The layer.
    pub id: LayerId,
    /// What it is for.
    pub about: About,
    /// When it was sealed, milliseconds since 1970.
    pub sealed_at_ms: u64,
    /// Files, directories, links and whiteouts in it.
    pub files: u64,
    /// Bytes of the files' content.
    pub bytes: u64,
    /// Bytes it takes on this disk; less than `bytes` where files have holes.
    pub disk_bytes: u64,
    /// What was taken out of the tree when it was sealed (see docs/snapshots.md).
    pub cleaned: u64,
    /// The layers it was made of, topmost first; empty unless it was squashed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub squashed: Vec<LayerId>,
}

/// The way of hashing that `digest.rs` implements.
pub(super) const FORMAT: u32 = 1;
