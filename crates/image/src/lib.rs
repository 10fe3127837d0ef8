//! Images: one per repository, or per environment of several repositories, built ahead of need.
//!
//! An image is a manifest over layers: the clone at a known commit, everything the setup installed, and the caches that a first build and a
//! first test run left behind. A session starts from the newest one, so its own set-up is a small delta.

pub mod base;
pub mod oci;
pub mod recipe;
