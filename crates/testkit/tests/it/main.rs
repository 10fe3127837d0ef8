//! hangar as a whole: a real server process, driven as people, scripts and browsers drive it. `docs/testing.md` says how each kind is run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails here, with its words"
)]

mod acp;
mod backup;
mod budgets;
mod chaos;
mod children;
mod clock;
mod disk;
mod eval;
mod forks;
mod gateway;
mod guest;
mod harnesses;
mod idle;
mod images;
mod kernel;
mod kill;
mod leaks;
mod mcp;
mod mcp_servers;
mod model_faults;
mod people;
mod plugins;
mod prompts;
mod questions;
mod read_only_disk;
mod refusals;
mod removal;
mod repository_hooks;
mod secrets;
mod session;
mod soak;
mod source;
mod starts;
mod state;
mod steps;
mod stop;
mod stream;
mod sync;
mod web;
