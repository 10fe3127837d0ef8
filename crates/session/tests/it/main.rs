//! The session crate from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod any_order;
mod children;
mod decide;
mod fuzz;
mod gateway;
mod life;
mod past;
mod people;
mod properties;
mod queue;
mod steer;
mod who_may;
