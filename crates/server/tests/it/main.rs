//! The server as its clients meet it: a real one on a free port of loopback, asked over HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is not as it should be")]

mod answers;
mod cli;
mod configuration;
mod hangar;
mod pages;
mod people;
mod private;
mod private_streams;
mod repositories;
mod saved_prompts;
mod secrecy;
mod sessions;
mod source;
mod start;
mod strangers;
mod stream_of_many;
mod streams;
