//! The programs that this crate makes, as they are started.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod hook;
