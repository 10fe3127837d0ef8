//! Real clients in a real network namespace against the border, with a small internet behind it.
//!
//! Every test has three namespaces of its own: `sandbox` (loopback with every address local, as sandboxes have it), `home` (where
//! hangar runs, with services of the machine that must not be reached) and `world` (public and private addresses with servers).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod border;
mod namespaces;
mod routes;
mod world;

mod addresses;
mod around;
mod behalf;
mod borders;
mod credentials;
mod git;
mod hellos;
mod limits;
mod names;
mod requests;
mod rules;
