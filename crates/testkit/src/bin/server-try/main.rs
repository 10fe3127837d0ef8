//! `hangar` for the tests of faults: the same program, with a hook at every named step (`crates/session/src/steps.rs` and those of
//! sandboxes and images) and a clock that jumps. What it does there is told by variables of its environment that `hangar` itself does
//! not know: `HANGAR_END_AFTER`, `HANGAR_END_AFTER_IN`, `HANGAR_STEPS_TO` (`crates/sandbox/src/steps/told.rs`), `HANGAR_CLOCK_AHEAD_IN`.

mod clock;

use std::process::ExitCode;

fn main() -> ExitCode {
    clock::as_told();
    hangar_sandbox::steps::as_told();
    hangar::command_line()
}
