//! Turns against the scripted model over real HTTP, with real files and real commands in a directory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod calls;
mod compact;
mod demo;
mod directory;
mod effort;
mod fallback;
mod family;
mod faults;
mod gateway;
mod harness;
mod images;
mod log;
mod mcp;
mod openai;
mod patch;
mod plugins;
mod program;
mod recorded;
mod repository_hooks;
mod responses;
mod resume;
mod sessions;
mod steer;
mod stop;
mod tasks;
mod web;
mod world;
