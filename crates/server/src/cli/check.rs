//! `hangar check`: whether sessions are whole on disk.

use std::path::PathBuf;

use clap::Args;
use hangar::upkeep;
use hangar_protocol::SessionId;

use super::{
    backup::data_directory,
    ended::{Ended, Outcome},
    rebuild::blocking,
    terminal::{Look, Terminal},
    words,
};

/// Look whether sessions are whole on disk: their logs, and the output kept beside them
///
/// Reads every page of each log, every event and every blob that an event names. Changes nothing, and works while the server runs. The exit status is 1
/// where something is damaged.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar check
  hangar check k3x9m2p7qrst
  hangar check --json | jq -r '.[] | select(.problems != []) | .session'")]
pub(super) struct Check {
    /// Whole ids of sessions [default: all].
    #[arg(value_name = "SESSION")]
    sessions: Vec<SessionId>,

    /// The data directory [default: the one `hangar up` would use].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The configuration file that names it [default: the one `hangar up` would use].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Check {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let data = data_directory(self.data, self.config)?;
        let examined = blocking(move || upkeep::examine(&data, &self.sessions)).await?;
        let damaged = examined.iter().filter(|session| !session.problems.is_empty()).count() as u64;
        if terminal.is_json() {
            terminal.json(&examined)?;
        } else {
            for session in &examined {
                for problem in &session.problems {
                    terminal.line(&format!("{}: {problem}", session.session))?;
                }
            }
            tell(examined.len() as u64, damaged, terminal);
        }
        Ok(if damaged == 0 { Ended::Well } else { Ended::Missing })
    }
}

fn tell(all: u64, damaged: u64, terminal: &mut Terminal) {
    if damaged == 0 {
        terminal.remark(Look::Good, &format!("{}: whole.", words::plural(all, "session")));
        return;
    }
    let text = format!("{} of {} damaged.", words::count(damaged), words::plural(all, "session"));
    terminal.remark(Look::Bad, &text);
    terminal.remark(
        Look::Plain,
        "A backup has a session as it was: `hangar restore` into an empty directory. `hangar export SESSION` saves what can still be read.",
    );
}
