//! Brings a backup into an empty data directory.
//!
//! ```text
//!   seal checked → directory locked, empty → unpacked into restoring/ → manifest compared → synced → everything moved up, people last
//! ```
//!
//! While it lasts, no server starts on the directory: the lock is held, and once it is lost with the process, `restoring/` stands in the way.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use hangar_protocol::Refusal;
use serde::Serialize;

use super::{Course, cannot_write, unpack};
use crate::data_dir::{DATABASE, EmptyDir, RESTORING};

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The data directory.
    pub data: PathBuf,
    /// When the backup was begun, milliseconds since 1970.
    pub begun_ms: u64,
    /// The version of the hangar that wrote it.
    pub hangar: String,
    /// How many files were in it.
    pub files: u64,
    /// How many sessions.
    pub sessions: u64,
    /// How many repositories.
    pub repositories: u64,
}

/// Brings the backup `file` into `data`, which must be empty or not exist. When this answers everything is on disk. Blocks.
///
/// # Errors
/// A refusal: the file is damaged, the directory holds something or a server runs on it, the disk is full, `course` was stopped. The
/// directory is as it was before then.
pub fn restore(file: &Path, data: &Path, course: &Course) -> Result<Restored, Refusal> {
    let sealed = unpack::open(file, course)?;
    let mut empty = EmptyDir::claim(data)?;
    let staging = data.join(RESTORING);
    empty.will_hold(RESTORING);
    fs::create_dir(&staging).map_err(|error| cannot_write(&staging, &error))?;
    let manifest = sealed.unpack(&staging, course)?;
    sync(&staging)?;
    let mut tops = entries(&staging).map_err(|error| cannot_write(&staging, &error))?;
    // A directory without its people is none yet.
    tops.sort_by_key(|top| top == DATABASE);
    for top in tops {
        empty.will_hold(&top);
        fs::rename(staging.join(&top), data.join(&top)).map_err(|error| cannot_write(data, &error))?;
    }
    sync(data)?;
    fs::remove_dir(&staging).map_err(|error| cannot_write(&staging, &error))?;
    empty.keep();
    Ok(Restored {
        data: data.to_owned(),
        begun_ms: manifest.begun_ms,
        hangar: manifest.hangar,
        files: manifest.files.len() as u64,
        sessions: manifest.sessions,
        repositories: manifest.repositories,
    })
}

/// Puts everything of the directory's file system on disk: one call instead of two for each of many small files.
fn sync(directory: &Path) -> Result<(), Refusal> {
    let synced = File::open(directory).and_then(|open| Ok(rustix::fs::syncfs(open)?));
    synced.map_err(|error| cannot_write(directory, &error))
}

fn entries(directory: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
