//! Layers: trees of changes to a sandbox's root, named by what is in them, never changed once sealed.
//!
//! ```text
//!   tree of a session or a build ──seal──▶ layers/<id>/{manifest.json, witness, used, tree/} ──verify──▶ lower of an overlay
//!                                                 │ squash: many become one      │ collect: those nobody needs go
//! ```
//!
//! * `digest.rs` says what a layer's id is made of, `content.rs` what may be in a layer and what is cleaned away, `owners.rs` whose files they are.
//! * `seal.rs`, `verify.rs`, `adopt.rs`, `squash.rs` and `collect.rs` are the operations; `copy.rs`, `walk.rs` and `beneath.rs` how trees are touched.
//! * `chain.rs` is where the snapshots of a session lie until and after they are layers.
//!
//! Architecture invariants:
//! * Trees were filled by sandboxes. Every name in them is opened through `openat2` beneath the tree's root, no link is followed, no other file
//!   system entered, and nothing is opened that is not a directory or a regular file (`beneath.rs` is the only place that opens).
//! * A layer is in its place only when it is complete and on disk: the rename that puts it there is the last step.
//! * A tree that was given to [`LayerStore::seal`] is at every moment either where it was or in the layer; a note beside it says which.

mod about;
mod adopt;
mod beneath;
pub(crate) mod chain;
mod collect;
mod content;
mod copy;
mod digest;
mod error;
mod id;
mod owners;
mod seal;
mod squash;
mod stack;
mod store;
mod verify;
mod walk;

pub use about::{About, Kind, LABEL_CHARS_MAX, Manifest};
pub use adopt::Given;
pub use chain::{Snapshot, begin, is_changed, rewind, snapshots};
pub use collect::{Collected, Keep};
pub(crate) use copy::copy_changes;
pub use error::LayerError;
pub use id::LayerId;
pub use seal::sealed_as;
pub use squash::{Below, LAYERS_UNTIL_SQUASH};
pub use store::{DiskUse, InUse, LayerStore};
pub use walk::{BYTES_MAX, DEPTH_MAX, FILES_MAX, PATH_BYTES_MAX};
