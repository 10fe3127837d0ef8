//! What is taken of a data directory, and in which order.
//!
//! ```text
//!   sessions (log, then blobs) → how far the forge was told to them → forge's database → repositories → people → hangar.toml
//! ```
//!
//! The server may go on meanwhile. Each arrow points from what names to what is named: a log names pull requests, the forge's rows name commits,
//! all of them name people; and nothing that is named is ever removed. So what a copy names is in a later copy. What a later copy
//! knows beyond that is told again after the restore, as after a crash.

use std::path::{Path, PathBuf};

use hangar_forge::backup::{self as forge, Fate, Found};
use hangar_protocol::{Refusal, RefusalCode, SessionId};
use hangar_session::{SESSIONS_WORKING, SessionsBackup, SessionsBackupError, log_of};
use hangar_store::copy_database;
use serde::Serialize;

use super::{
    Course, cannot_copy, cannot_read,
    manifest::{FORMAT, Manifest},
    write::Writer,
};
use crate::{
    data_dir::{CONFIGURATION, DATABASE, FORGE, SESSIONS, not_a_data_directory},
    people::now_ms,
};

/// What to do about a damaged file in which the server remembers what it was doing.
const NO_WORKING: &str =
    "stop the server, move it away and start again: the forge's changes are then told to the sessions once more";
/// What to do about a damaged database that there is only one of.
const NO_OTHER: &str = "only an earlier backup has it whole";

/// What was backed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// Where the backup lies.
    pub file: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// How many files are in it.
    pub files: u64,
    /// How many sessions.
    pub sessions: u64,
    /// How many repositories.
    pub repositories: u64,
}

/// Writes everything of the data directory `data` that cannot be made again into the new file `place`, whether or not a server runs on it. When
/// this answers the file is whole and on disk; before, nothing has that name. The sessions in `without` are left out. Blocks.
///
/// # Errors
/// A refusal that names what cannot be read or written, also when `course` was stopped. No file is left.
pub fn take(data: &Path, place: &Path, without: &[SessionId], course: &Course) -> Result<Taken, Refusal> {
    if !data.join(DATABASE).is_file() {
        return Err(not_a_data_directory(data));
    }
    let begun_ms = now_ms();
    let mut writer = Writer::begin(place, course)?;
    let sessions = take_sessions(&mut writer, &data.join(SESSIONS), without)?;
    let repositories = take_forge(&mut writer, data)?;
    take_database(&mut writer, data, Path::new(DATABASE))?;
    writer.add(Path::new(CONFIGURATION), &data.join(CONFIGURATION))?;
    let mut count = 0;
    let bytes = writer.finish(|files| {
        count = files.len() as u64;
        let hangar = env!("CARGO_PKG_VERSION").to_owned();
        Manifest { format: FORMAT, hangar, begun_ms, sessions, repositories, files }
    })?;
    Ok(Taken { file: place.to_owned(), bytes, files: count, sessions, repositories })
}

fn take_sessions(writer: &mut Writer<'_>, folder: &Path, without: &[SessionId]) -> Result<u64, Refusal> {
    let place = writer.place().to_owned();
    let cannot = |path: &Path, error: SessionsBackupError, advice: &str| match error {
        SessionsBackupError::Folder(error) => cannot_read(path, &error),
        SessionsBackupError::Store(error) => cannot_copy(path, &place, &error, advice),
    };
    let working = folder.join(SESSIONS_WORKING);
    let no_working = |error| cannot(&working, error, NO_WORKING);
    let mut backup = SessionsBackup::begin(folder).map_err(no_working)?;
    backup.leave_out(without).map_err(|unknown| no_session(&unknown))?;
    let mut kept = 0;
    for session in backup.sessions() {
        let log = log_of(session);
        let failed = |error| cannot(&folder.join(&log), error, &format!("leave it out with --without {session}"));
        if !backup.copy_log(session, &writer.copy_place()).map_err(failed)? {
            continue;
        }
        writer.add_copy(&Path::new(SESSIONS).join(&log))?;
        for blob in backup.blobs(session).map_err(failed)? {
            writer.add(&name_of(SESSIONS, folder, &blob), &blob)?;
        }
        kept += 1;
    }
    backup.write_working(&writer.copy_place()).map_err(no_working)?;
    writer.add_copy(&Path::new(SESSIONS).join(SESSIONS_WORKING))?;
    Ok(kept)
}

fn no_session(unknown: &SessionId) -> Refusal {
    Refusal::new(
        RefusalCode::NotFound,
        format!("There is no session {unknown} to leave out."),
        "`hangar sessions` lists them; write the whole id.",
    )
}

fn take_forge(writer: &mut Writer<'_>, data: &Path) -> Result<u64, Refusal> {
    let folder = data.join(FORGE);
    take_database(writer, data, &Path::new(FORGE).join(forge::DATABASE))?;
    let repositories = forge::repositories(&folder).map_err(|error| cannot_read(&folder, &error))?;
    for repository in &repositories {
        let visited = forge::visit(repository, &mut |found| match found {
            Found::Directory(path) => {
                writer.add_directory(&name_of(FORGE, &folder, path))?;
                Ok(Fate::Copied)
            }
            Found::File(path) => Ok(writer.add(&name_of(FORGE, &folder, path), path)?),
        });
        visited.map_err(|stopped| match stopped {
            Stopped::Refused(refusal) => refusal,
            Stopped::Unreadable(error) => cannot_read(repository, &error),
        })?;
    }
    Ok(repositories.len() as u64)
}

fn take_database(writer: &mut Writer<'_>, data: &Path, name: &Path) -> Result<(), Refusal> {
    let from = data.join(name);
    let copied = copy_database(&from, &writer.copy_place());
    copied.map_err(|error| cannot_copy(&from, writer.place(), &error, NO_OTHER))?;
    writer.add_copy(name)
}

/// A path below `folder` as it stands in the archive, where the folder is called `top`.
fn name_of(top: &str, folder: &Path, path: &Path) -> PathBuf {
    Path::new(top).join(path.strip_prefix(folder).unwrap_or(path))
}

/// Why a repository was not visited to its end.
enum Stopped {
    Refused(Refusal),
    Unreadable(std::io::Error),
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self::Unreadable(error)
    }
}
