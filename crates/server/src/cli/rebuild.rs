//! `hangar rebuild`: the list of sessions, made anew.

use std::path::PathBuf;

use clap::Args;
use hangar::upkeep;

use super::{
    backup::data_directory,
    ended::{Ended, Failure, Outcome},
    terminal::{Look, Terminal},
    words,
};

/// Make the list of sessions anew from their logs, also while the server runs
///
/// Lists, search and statistics come from sessions/index.db, which is made from the logs alone and kept up to date. With --check it is compared with what the
/// logs say and nothing is changed; the exit status is 1 where they differ.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar rebuild
  hangar rebuild --check
  hangar rebuild --check --json | jq -r '.differences[]'")]
pub(super) struct Rebuild {
    /// Only compare the list with the logs, and name what differs.
    #[arg(long)]
    check: bool,

    /// The data directory [default: the one `hangar up` would use].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The configuration file that names it [default: the one `hangar up` would use].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Rebuild {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let data = data_directory(self.data, self.config)?;
        if self.check { compare(data, terminal).await } else { rebuild(data, terminal).await }
    }
}

async fn rebuild(data: PathBuf, terminal: &mut Terminal) -> Outcome {
    let rebuilt = upkeep::rebuild(&data).await?;
    if terminal.is_json() {
        terminal.json(&rebuilt)?;
    } else {
        let count = words::plural(rebuilt.sessions, "session");
        terminal.remark(Look::Good, &format!("{count} listed anew."));
        for damaged in &rebuilt.damaged {
            terminal.remark(
                Look::Bad,
                &format!("{} is damaged, and listed as far as it can be read: {}.", damaged.session, damaged.reason),
            );
        }
    }
    Ok(if rebuilt.damaged.is_empty() { Ended::Well } else { Ended::Missing })
}

async fn compare(data: PathBuf, terminal: &mut Terminal) -> Outcome {
    let compared = blocking(move || upkeep::compare(&data)).await?;
    let equal = compared.damaged.is_empty() && compared.differences.is_empty();
    if terminal.is_json() {
        terminal.json(&compared)?;
    } else {
        for difference in &compared.differences {
            terminal.line(difference)?;
        }
        for damaged in &compared.damaged {
            terminal.line(&format!("{}: {}", damaged.session, damaged.reason))?;
        }
        let count = words::plural(compared.sessions, "session");
        if equal {
            terminal.remark(Look::Good, &format!("The list is what the logs of {count} say."));
        } else {
            terminal.remark(Look::Bad, "The list is not what the logs say. `hangar rebuild` makes it anew.");
        }
    }
    Ok(if equal { Ended::Well } else { Ended::Missing })
}

/// Does what blocks beside the terminal.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, hangar_protocol::Refusal> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Failure::Output(std::io::Error::other(error)))??)
}
