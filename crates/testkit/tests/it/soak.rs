//! How long the tests of faults run: short within `cargo test`, long by `make soak`.

use std::{env, time::Duration};

/// The seed of runs that are not told another: the short form is the same everywhere.
const SEED: u64 = 20;
/// Connections spoiled in the short form.
const CUTS: u64 = 60;
/// Kills at each named step in a long run, at other times of it.
const KILLS: u32 = 5;
/// A short run kills at one step of so many; the next seeds' runs at the others.
const STEPS_A_KILL: u64 = 3;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The seed of this run: `HANGAR_SEED`, else the same as ever.
pub(crate) fn seed() -> u64 {
    number("HANGAR_SEED").unwrap_or(SEED)
}

/// Whether this is a long run.
fn long() -> bool {
    number("HANGAR_SOAK_CUTS").is_some() || number("HANGAR_SOAK_SECONDS").is_some()
}

/// How many connections are to be spoiled at least.
pub(crate) fn cuts() -> u64 {
    number("HANGAR_SOAK_CUTS").unwrap_or(CUTS)
}

/// How long it goes on at least, whatever was spoiled by then.
pub(crate) fn at_least() -> Duration {
    Duration::from_secs(number("HANGAR_SOAK_SECONDS").unwrap_or(0))
}

/// How often the server is killed at a named step: in short at one step of [`STEPS_A_KILL`] beginning with the seed's, in long at each.
pub(crate) fn kills_at(step: u64, seed: u64) -> u32 {
    if long() { KILLS } else { u32::from(step % STEPS_A_KILL == seed % STEPS_A_KILL) }
}
