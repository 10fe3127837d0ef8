//! The program `hangar`: the server and its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    hangar::command_line()
}
