//! One layer: a tar stream on the one side, a tree as overlayfs wants it on the other.

pub(crate) mod merged;
mod owners;
mod pack;
mod path;
mod place;
mod records;
mod unpack;

pub use owners::Owners;
pub(crate) use pack::RENAMED;
pub use pack::{Packed, pack};
pub(crate) use place::beneath;
pub use unpack::Unpacked;
pub(crate) use unpack::unpack;
