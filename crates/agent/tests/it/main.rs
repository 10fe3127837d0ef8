//! Turns against the scripted model over real HTTP, with real files and real commands in a directory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod calls;
mod commands;
mod demo;
mod directory;
mod faults;
mod log;
mod openai;
mod plugins;
mod recorded;
mod resume;
mod steer;
mod stop;
mod tasks;
mod world;
