//! The forge as its users meet it: stock git, curl-like REST, and the broker, each against a real listener on loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands, also in its helpers")]

mod house;

mod broker;
mod changes;
mod client;
mod diffs;
mod git;
mod hangup;
mod hostile;
mod imports;
mod octokit;
mod pulls;
mod rest;
mod restart;
mod workspace;
