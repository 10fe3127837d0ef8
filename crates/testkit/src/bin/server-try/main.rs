//! `hangar` for the tests of faults: the same program, with a hook at every named step (`crates/session/src/steps.rs` and those of
//! sandboxes and images). What it does there is told by variables of its environment that `hangar` itself does not know:
//! `HANGAR_END_AFTER`, `HANGAR_END_AFTER_IN`, `HANGAR_STEPS_TO` (`crates/sandbox/src/steps/told.rs`).

use std::process::ExitCode;

fn main() -> ExitCode {
    hangar_sandbox::steps::as_told();
    hangar::command_line()
}
