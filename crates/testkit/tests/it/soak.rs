//! How long the tests of faults run: short within `cargo test`, long by `make soak`.

use std::{env, time::Duration};

/// The seed of runs that are not told another: the short form is the same everywhere.
const SEED: u64 = 20;
/// Connections spoiled in the short form.
const CUTS: u64 = 60;
/// Kills at other times of each named step in a long run.
const KILLS_BEYOND: usize = 4;

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

/// How many times more each named step is killed at.
pub(crate) fn kills_beyond_the_short_form() -> usize {
    if long() { KILLS_BEYOND } else { 0 }
}
