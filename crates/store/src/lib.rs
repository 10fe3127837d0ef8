//! Opens SQLite well.
//!
//! A [`Database`] is one SQLite file in WAL mode with `synchronous = FULL`: when [`Database::write`] answers, what was written
//! has been fsynced. Writes of all databases go through the few threads of [`Writers`]; a thread that is free takes
//! everything that waits in its mailbox and commits it in one transaction a database (group commit by draining, no timer).
//! Reads run beside the writes on a connection of their own.
//!
//! This crate knows no domain word: what is stored is its callers' affair.

mod copy;
mod create;
mod database;
mod error;
mod reading;
mod schema;
mod writers;

pub use copy::copy_database;
pub use database::Database;
pub use error::StoreError;
pub use reading::open_for_reading;
pub use rusqlite;
pub use schema::Schema;
pub use writers::Writers;
