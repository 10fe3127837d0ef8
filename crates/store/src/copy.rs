//! A consistent copy of a database, also while others write it.

use std::path::Path;

use crate::{StoreError, open_for_reading};

/// Writes the database at `from`, as it is at one moment, into the new file `to`. Whoever has the database open goes on meanwhile, also
/// with writes: a copy reads one state of it, as every transaction does. The copy has no write-ahead log beside it and is not
/// fsynced. Blocks.
///
/// `to` is without a write-ahead log until it is opened with a [`crate::Schema`], and has the schema version of `from`.
///
/// # Errors
/// What SQLite says: also when `from` is missing or damaged, or `to` is there already.
pub fn copy_database(from: &Path, to: &Path) -> Result<(), StoreError> {
    let connection = open_for_reading(from)?;
    let to = to.to_str().ok_or_else(|| StoreError::Sqlite(format!("{} is not UTF-8", to.display())))?;
    // VACUUM INTO rather than a copy of pages: it reads every row, so a damaged page is found now and not at the restore, and what was deleted
    // stays behind.
    connection.execute("VACUUM INTO ?1", [to])?;
    Ok(())
}
