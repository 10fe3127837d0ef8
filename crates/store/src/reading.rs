//! A connection that only reads.

use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _, path::Path, time::Duration};

use rusqlite::{Connection, MAIN_DB, OpenFlags};

use crate::{StoreError, schema::BUSY_TIMEOUT_MS};

/// Opens the database at `path` for whoever only reads it, also while others write it. Never makes one. Blocks.
///
/// On a disk that can only be read, SQLite cannot make the index that it needs beside a database in WAL mode. Where there is no write-ahead log
/// either, the file is whole by itself, and is read as one that nobody changes.
///
/// # Errors
/// What SQLite says; a damaged file may be noticed at the first query only.
pub fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    // Read-write without create: a reader of a WAL file may have to build its index.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let connection = match connection.is_readonly(MAIN_DB)? && !has_log(path) {
        true => Connection::open_with_flags(unchanging(path), flags_of_unchanging())?,
        false => connection,
    };
    connection.busy_timeout(Duration::from_millis(u64::from(BUSY_TIMEOUT_MS)))?;
    Ok(connection)
}

fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

fn flags_of_unchanging() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI
}

/// The file as a URI that says that it does not change (<https://www.sqlite.org/uri.html>).
fn unchanging(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(byte)),
            _ => write!(uri, "%{byte:02X}").unwrap_or_else(|_| unreachable!("a string takes everything")),
        }
    }
    uri + "?immutable=1"
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_unchanging_file_is_read_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["plain.db", "100% a?b#c&d.db"] {
            let path = folder.path().join(name);
            let made = Connection::open(&path).unwrap();
            made.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (7);").unwrap();
            drop(made);
            assert!(!has_log(&path));
            let connection = Connection::open_with_flags(unchanging(&path), flags_of_unchanging()).unwrap();
            assert_eq!(connection.query_row("SELECT a FROM t", [], |row| row.get(0)), Ok(7));
            drop(connection);
            let names: Vec<_> =
                std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
            assert!(names.iter().all(|name| name.to_string_lossy().ends_with(".db")), "{names:?}");
        }
    }

    #[test]
    fn reading_makes_no_database() {
        let folder = tempfile::tempdir().unwrap();
        open_for_reading(&folder.path().join("none.db")).unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
