//! Images as a whole: recipes as tables; images from elsewhere; builds, catalog and pool over real sandboxes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod bases;
mod builds;
mod faults;
#[path = "../../src/bin/images-try/forge.rs"]
mod forge;
mod kills;
mod oci;
mod pools;
mod recipes;
mod recipes_written;
#[path = "../../../sandbox/tests/it/remains.rs"]
mod remains;
mod world;
