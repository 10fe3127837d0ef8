//! `hangar source`: the source of the program that runs, unpacked for people.

use std::{fs, io, path::PathBuf};

use clap::Args;
use hangar_protocol::{Refusal, RefusalCode};
use serde_json::json;

use super::{
    bad_request,
    ended::{Ended, Failure, Outcome},
    rebuild::blocking,
    terminal::{Look, Terminal},
};
use crate::source;

/// Unpack the exact source that this hangar was built from
///
/// The same files are in every sandbox, read only, at /opt/hangar/src, so that an agent can read the hangar it works in.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar source
  hangar source /tmp/hangar && ls /tmp/hangar/docs")]
pub(super) struct Source {
    /// Where to: a directory that is empty, or is made.
    #[arg(value_name = "DIR", default_value = "hangar-source")]
    directory: PathBuf,
}

impl Source {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let directory = self.directory.clone();
        match fs::read_dir(&directory).map(|mut entries| entries.next().is_some()) {
            Ok(false) => {}
            Ok(true) => {
                return Err(bad_request(format!("{} is not empty.", directory.display()), "Name another directory."));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unwritable(&directory, &error)),
        }
        blocking(move || source::unpack(&directory).map_err(|error| refusal(&directory, &error))).await?;
        let (version, commit) = (env!("CARGO_PKG_VERSION"), source::COMMIT);
        if terminal.is_json() {
            terminal.json(&json!({"directory": self.directory, "version": version, "commit": commit}))?;
        } else {
            let text = format!("The source of hangar {version} ({commit}) is in {}.", self.directory.display());
            terminal.remark(Look::Good, &text);
            terminal.remark(Look::Plain, "ARCHITECTURE.md explains how it works, docs/ has a page a feature.");
        }
        Ok(Ended::Well)
    }
}

fn refusal(directory: &std::path::Path, error: &io::Error) -> Refusal {
    Refusal::new(
        RefusalCode::Unavailable,
        format!("{} cannot be written: {error}.", directory.display()),
        "Name a directory that this user may write, on a disk with room.",
    )
}

fn unwritable(directory: &std::path::Path, error: &io::Error) -> Failure {
    refusal(directory, error).into()
}
