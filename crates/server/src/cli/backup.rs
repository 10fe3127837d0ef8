//! `hangar backup`: a data directory in a file.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use hangar::{
    ConfigSources,
    backup::{self, Course, Taken},
};
use hangar_protocol::{Refusal, SessionId};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    bad_request,
    ended::{Ended, Failure, Outcome},
    progress::Progress,
    terminal::{Look, Terminal},
    words,
};

/// Between two looks how far it is.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Write everything that cannot be made again to a file, also while the server runs
///
/// People, sessions and their output, the forge's repositories and pull requests, and the data directory's hangar.toml. Not in it: the files in sandboxes that were not
/// pushed, images, and files that hangar.toml names elsewhere. `hangar restore` reads the file, and so does `tar --zstd`. Whoever has it can read everything
/// that was said, and the keys in hangar.toml: its mode is 0600.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar backup hangar.backup
  hangar backup --data /srv/hangar /mnt/backups/$(date +%F).backup
  hangar backup --json /mnt/backups/today.backup | jq .bytes")]
pub(super) struct Backup {
    /// The file to write, which must not exist. It has its name once it is whole and on disk.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The data directory [default: the one `hangar up` would use].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The configuration file that names it [default: the one `hangar up` would use].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Leave a session out whose log is damaged. May be given several times.
    #[arg(long, value_name = "SESSION")]
    without: Vec<SessionId>,
}

impl Backup {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let data = data_directory(self.data, self.config)?;
        let file = std::path::absolute(self.file)?;
        let without = self.without;
        let work = move |course: &Course| backup::take(&data, &file, &without, course);
        match watched(terminal, "Backing up", work).await? {
            Some(taken) => tell(&taken, terminal),
            None => Ok(Ended::Interrupted),
        }
    }
}

fn tell(taken: &Taken, terminal: &mut Terminal) -> Outcome {
    if terminal.is_json() {
        terminal.json(taken)?;
        return Ok(Ended::Well);
    }
    let Taken { file, bytes, sessions, repositories, .. } = taken;
    let text = format!(
        "{} and {} are in {} ({}).",
        words::plural(*sessions, "session"),
        plural_repositories(*repositories),
        file.display(),
        words::bytes(*bytes)
    );
    terminal.remark(Look::Good, &text);
    Ok(Ended::Well)
}

/// `1 repository`, `3 repositories`.
pub(super) fn plural_repositories(number: u64) -> String {
    if number == 1 { "1 repository".to_owned() } else { format!("{} repositories", words::count(number)) }
}

/// The data directory that is meant.
pub(super) fn data_directory(data: Option<PathBuf>, config: Option<PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(data) = data {
        if data.as_os_str().is_empty() {
            return Err(bad_request("--data names nothing.", "Name a directory."));
        }
        return Ok(std::path::absolute(data)?);
    }
    let mut sources = ConfigSources::of_process();
    sources.file = config.or(sources.file);
    Ok(sources.load()?.data)
}

/// Does what blocks beside the terminal and shows how far it is. `None`: the person pressed Ctrl-C, and nothing of it is left.
pub(super) async fn watched<T: Send + 'static>(
    terminal: &mut Terminal,
    what: &str,
    work: impl FnOnce(&Course) -> Result<T, Refusal> + Send + 'static,
) -> Result<Option<T>, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let course = Course::default();
    let seen = course.clone();
    let mut working = tokio::task::spawn_blocking(move || work(&seen));
    let mut progress = Progress::new(terminal);
    let mut look = tokio::time::interval(LOOK_AGAIN);
    let done = loop {
        tokio::select! {
            done = &mut working => break done,
            _ = look.tick() => {
                let (files, bytes) = (words::count(course.files()), words::bytes(course.bytes()));
                progress.far(terminal, format!("{what}: {files} files, {bytes}"));
            }
            _ = interrupt.recv() => course.stop(),
            _ = terminate.recv() => course.stop(),
        }
    };
    progress.end();
    match done.map_err(|error| Failure::Output(std::io::Error::other(error)))? {
        Err(_) if course.is_stopped() => {
            terminal.remark(Look::Notice, "Interrupted; nothing of it is left.");
            Ok(None)
        }
        done => Ok(Some(done?)),
    }
}
