//! Plugins as files, loaded and asked as a session does it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod examples;
mod hooks;
mod hostile;
mod loading;
mod plugin;
