//! `hangar restore`: a data directory from a file.

use std::path::PathBuf;

use clap::Args;
use hangar::backup::{self, Course, Restored};

use super::{
    backup::{data_directory, plural_repositories, watched},
    ended::{Ended, Outcome},
    terminal::{Look, Terminal},
    words,
};

/// Bring a backup into an empty data directory, on which no server runs
///
/// The whole file is checked before anything is put in its place; a damaged one is refused, and nothing is left of it. Afterwards `hangar up` goes on where
/// the backup was made: whoever was signed in is, turns that were running go on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar restore hangar.backup
  hangar restore --data /srv/hangar /mnt/backups/2026-05-01.backup")]
pub(super) struct Restore {
    /// The file that `hangar backup` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The data directory, empty or not there yet [default: the one `hangar up` would use].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The configuration file that names it [default: the one `hangar up` would use].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Restore {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let data = data_directory(self.data, self.config)?;
        let file = self.file;
        let work = move |course: &Course| backup::restore(&file, &data, course);
        match watched(terminal, "Restoring", work).await? {
            Some(restored) => tell(&restored, terminal),
            None => Ok(Ended::Interrupted),
        }
    }
}

fn tell(restored: &Restored, terminal: &mut Terminal) -> Outcome {
    if terminal.is_json() {
        terminal.json(restored)?;
        return Ok(Ended::Well);
    }
    let Restored { data, begun_ms, sessions, repositories, .. } = restored;
    let text = format!(
        "{} and {} are in {}, as they were {}.",
        words::plural(*sessions, "session"),
        plural_repositories(*repositories),
        data.display(),
        words::age(*begun_ms, words::now_ms())
    );
    terminal.remark(Look::Good, &text);
    terminal.remark(Look::Faint, &format!("Start it: hangar up --data {}", data.display()));
    Ok(Ended::Well)
}
