//! The client against a small server that cuts, repeats, delays and refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, helpers included")]

mod api;
mod play;
mod stream;
