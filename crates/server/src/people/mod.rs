//! Who may come in: users, one-time sign-in links, browser cookies and personal access tokens.
//!
//! Everything here stands in `hangar.db`. A code, cookie or token is 32 random bytes; the database holds its SHA-256 alone,
//! and looking one up is a lookup by that hash, so nothing about the secret shows in how long the answer takes.

mod codes;
mod cookies;
mod database;
mod first_owner;
mod minted;
mod recent;
mod sign_in_rate;
mod tokens;
mod users;

use std::{path::Path, sync::Arc};

use hangar_protocol::{
    Person, Refusal, RefusalCode,
    api::{Me, Role},
};

pub(crate) use first_owner::first_owner;
pub(crate) use minted::{hash_hex, mint};
pub(crate) use sign_in_rate::SignInRate;

use database::Database;
use hangar_store::Writers;
use recent::Recent;

/// A user of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The row's number; stable for ever.
    pub(crate) id: i64,
    /// Login, name and address.
    pub(crate) person: Person,
    /// What they may do.
    pub(crate) role: Role,
}

impl Account {
    /// As `GET /me` shows it.
    pub(crate) fn me(&self) -> Me {
        Me { person: self.person.clone(), role: self.role }
    }

    /// Refuses everybody but owners; `what` names what was tried.
    pub(crate) fn must_be_owner(&self, what: &str) -> Result<(), Refusal> {
        match self.role {
            Role::Owner => Ok(()),
            Role::Member => Err(Refusal::new(
                RefusalCode::Forbidden,
                format!("Only owners may {what}."),
                "Ask an owner of this server.",
            )),
        }
    }
}

/// Handle to `hangar.db`. Cloning it is cheap.
#[derive(Clone, Debug)]
pub(crate) struct People {
    database: Database,
    recent: Arc<Recent>,
}

impl People {
    /// Opens or creates the database.
    ///
    /// # Errors
    /// When the file cannot be opened, written or understood.
    pub(crate) async fn open(writers: &Writers, file: &Path) -> Result<Self, Refusal> {
        Ok(Self { database: Database::open(writers, file).await?, recent: Arc::default() })
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// A time as SQLite keeps it.
fn stored_ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// A time as SQLite kept it.
fn read_ms(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or_default()
}
