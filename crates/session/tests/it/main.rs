//! The session crate from outside.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod decide;
mod life;
mod people;
mod who_may;
