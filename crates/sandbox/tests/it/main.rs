//! Real sandboxes on this machine's kernel, as root.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod bench;
mod commands;
mod conformance;
mod disk_full;
mod files;
mod held;
mod isolation;
mod kills;
mod layer_faults;
mod layer_stacks;
mod layers;
mod life;
mod limits;
mod many;
mod network;
mod own_source;
mod remains;
mod rootless;
mod security;
mod slots;
mod snapshots;
mod sweeps;
mod watches;
mod work;
