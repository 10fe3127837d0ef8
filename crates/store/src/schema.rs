//! Pragmas and forward-only migrations.

use std::path::Path;

use rusqlite::Connection;

use crate::StoreError;

/// How long a connection waits for another one's lock.
pub(crate) const BUSY_TIMEOUT_MS: u32 = 5_000;
/// After this many pages the WAL is folded into the database (SQLite's own default).
const WAL_AUTOCHECKPOINT_PAGES: u32 = 1_000;

/// The versions of a database's schema, oldest first. Version *n* is reached by running the first *n* scripts.
///
/// A script that was released is never edited: a change is a new script at the end.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// SQL scripts, each run once inside a transaction.
    pub migrations: &'static [&'static str],
}

impl Schema {
    /// Opens `path` (made when missing) with hangar's pragmas and brings it to the newest version.
    ///
    /// # Errors
    /// [`StoreError::Newer`] for a file of a newer hangar, otherwise what SQLite says.
    pub fn open(&self, path: &Path) -> Result<Connection, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.execute_batch(&format!(
            "PRAGMA busy_timeout = {BUSY_TIMEOUT_MS};
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = {WAL_AUTOCHECKPOINT_PAGES};
             PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF;
             PRAGMA temp_store = MEMORY;"
        ))?;
        self.migrate(&mut connection, path)?;
        Ok(connection)
    }

    /// A database of the newest version that is in memory alone.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open_in_memory(&self) -> Result<Connection, StoreError> {
        let mut connection = Connection::open_in_memory()?;
        self.migrate(&mut connection, Path::new(":memory:"))?;
        Ok(connection)
    }

    /// Refuses a database that is not of the newest version, for whoever only wants to read it.
    ///
    /// # Errors
    /// [`StoreError::Newer`] or [`StoreError::Older`].
    pub fn must_be_current(&self, connection: &Connection, path: &Path) -> Result<(), StoreError> {
        let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let known = u32::try_from(self.migrations.len()).unwrap_or(u32::MAX);
        match found.cmp(&known) {
            std::cmp::Ordering::Less => Err(StoreError::Older { path: path.to_owned(), found, known }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(StoreError::Newer { path: path.to_owned(), found, known }),
        }
    }

    pub(crate) fn migrate(&self, connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
        let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let known = u32::try_from(self.migrations.len()).unwrap_or(u32::MAX);
        if found > known {
            return Err(StoreError::Newer { path: path.to_owned(), found, known });
        }
        for (version, script) in (1..).zip(self.migrations).skip(found as usize) {
            let transaction = connection.transaction()?;
            transaction.execute_batch(script)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()?;
        }
        Ok(())
    }
}
