//! Images of the Open Container Initiative: taken in from a directory, a file or a registry, and given out again.
//!
//! ```text
//!   registry ──pull──▶ blobs ┐
//!   OCI layout, docker save ─┴─▶ import: manifest → config → every layer: digest ✓ unpack ✓ diff_id ✓ ──▶ LayerStore
//!   LayerStore ──export──▶ one tar file: OCI layout, readable by docker, podman, skopeo, umoci …
//! ```
//!
//! Whatever comes from elsewhere is hostile until it is unpacked: everything is bounded ([`limits`]), resolved by the kernel beneath one
//! directory and through no link, and sealed only after its digests have been found right.

pub mod config;
pub mod digest;
mod error;
mod exchange;
mod export;
mod import;
pub mod layer;
pub mod limits;
mod manifest;
mod pull;
mod source;

pub use config::RunConfig;
pub use digest::Digest;
pub use error::Error;
pub use exchange::{IMAGE_LABEL, export_image, import_image};
pub use export::{Annotations, Export, ExportLayer, Exported, Squeeze, export};
pub(crate) use import::unpack_plain;
pub use import::{Imported, OnLayer, import, import_file};
pub(crate) use layer::beneath;
pub use layer::{Owners, Packed, Unpacked};
pub use limits::Limits;
pub use pull::{Credential, Registries, Registry, Resolved};
