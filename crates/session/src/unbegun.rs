//! What is left of a session whose beginning was interrupted: nobody was ever answered, so nothing of it is kept.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::log;

/// Removes a session's folder if it holds nothing but a log without an event, or nothing at all. Whatever else is in it stays, and so does the folder. Blocks.
///
/// `true`: there is no such session.
pub(crate) fn clear(folder: &Path) -> io::Result<bool> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    let of_log = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(log::FILE));
    if !entries.iter().all(of_log) {
        return Ok(false);
    }
    // Where not a byte was written the log's making was interrupted. A log that cannot be read is not ours to judge.
    let written = |path: &PathBuf| fs::metadata(path).map_or(true, |found| found.len() > 0);
    if entries.iter().any(written) && log::has_events(&folder.join(log::FILE)).unwrap_or(true) {
        return Ok(false);
    }
    for path in entries {
        fs::remove_file(path)?;
    }
    fs::remove_dir(folder)?;
    Ok(true)
}
