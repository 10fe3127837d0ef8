//! What the words promise to those who are not written in Rust: the committed TypeScript types are fresh, and the fold gives
//! the states that the fixtures pin for every language.
//!
//! `HANGAR_BLESS=1 cargo test -p hangar-protocol` writes the generated types and the expected states anew; read the diff.

#![allow(clippy::expect_used, reason = "a test that cannot go on says why and ends")]

mod clock;
mod committed;
mod fixtures;
mod repetition;
mod types;
