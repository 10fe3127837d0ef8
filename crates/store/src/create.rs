//! A new database whose first rows are in its file from the beginning.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use rusqlite::{Connection, MAIN_DB};

use crate::{Schema, StoreError};

/// Bytes 18 and 19 of a database file are the versions by which it is written and read; 2 means a write-ahead log
/// (sqlite.org/fileformat2.html, section 1.3.3).
const FORMAT_VERSIONS: std::ops::Range<usize> = 18..20;
const WRITE_AHEAD_LOG: u8 = 2;

impl Schema {
    /// Makes the database `path` with what `first` writes into it. When this answers `Ok` the file is whole and on disk, name and all; before,
    /// nothing has that name. Its folder's own name is on disk as well. Blocks.
    ///
    /// It costs one write of the whole file where opening a new one and a first commit cost four: so it is for databases that are made while
    /// somebody waits. What is made is opened with [`crate::Database::open`] like any other.
    ///
    /// # Errors
    /// What `first` or the disk says. What lies at `path` already is replaced.
    pub fn create(
        &self,
        path: &Path,
        first: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let mut connection = self.open_in_memory()?;
        let transaction = connection.transaction()?;
        first(&transaction)?;
        transaction.commit()?;
        let mut bytes = connection.serialize(MAIN_DB)?.to_vec();
        if let Some(versions) = bytes.get_mut(FORMAT_VERSIONS) {
            versions.fill(WRITE_AHEAD_LOG);
        }
        Ok(put(path, &bytes)?)
    }
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let unfinished = path.with_extension("part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_data()?;
    match folder.parent() {
        Some(above) => File::open(above)?.sync_data(),
        None => Ok(()),
    }
}
