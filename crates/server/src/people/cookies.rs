//! Browsers that are signed in.

use hangar_protocol::Refusal;
use hangar_store::rusqlite::{OptionalExtension as _, named_params};

use super::{
    Account, People, codes,
    minted::{hash, mint},
    now_ms, stored_ms,
    users::{COLUMNS, account},
};
use crate::config::Secret;

/// Browsers one user may be signed in with; a further one signs the oldest out.
const COOKIES_PER_USER_MAX: u32 = 50;

/// A browser that has just signed in.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    /// The cookie's value.
    pub(crate) cookie: Secret<String>,
    /// How long it works, in seconds.
    pub(crate) age_s: u64,
    /// Who.
    pub(crate) account: Account,
}

impl People {
    /// Trades a sign-in code for a cookie that is good for `days`.
    pub(crate) async fn sign_in(&self, code: String, days: u32) -> Result<SignedIn, Refusal> {
        let cookie = mint("")?;
        let hashed = hash(&cookie);
        let now = now_ms();
        let age_s = u64::from(days) * 24 * 3600;
        let account = self
            .database
            .write(move |db| {
                let account = codes::redeem(db, &code, now)?;
                db.execute("DELETE FROM cookies WHERE expires_ms <= ?1", [stored_ms(now)])?;
                db.execute(
                    "DELETE FROM cookies WHERE user_id = ?1 AND hash NOT IN
                       (SELECT hash FROM cookies WHERE user_id = ?1 ORDER BY created_ms DESC LIMIT ?2)",
                    (account.id, COOKIES_PER_USER_MAX - 1),
                )?;
                db.execute(
                    "INSERT INTO cookies (hash, user_id, created_ms, expires_ms) VALUES (:hash, :user, :now, :expires)",
                    named_params! {":hash": hashed, ":user": account.id, ":now": stored_ms(now), ":expires": stored_ms(now + age_s * 1000)},
                )?;
                Ok(account)
            })
            .await?;
        Ok(SignedIn { cookie: Secret::new(cookie), age_s, account })
    }

    /// Whose cookie this is; `None` for nobody's.
    pub(crate) async fn of_cookie(&self, cookie: &str) -> Result<Option<Account>, Refusal> {
        let hashed = hash(cookie);
        let query = format!(
            "SELECT {COLUMNS} FROM cookies JOIN users ON users.id = user_id WHERE hash = ?1 AND expires_ms > ?2"
        );
        self.database
            .read(move |db| {
                let mut found = db.prepare_cached(&query)?;
                found.query_row((hashed, stored_ms(now_ms())), |row| Ok(account(row))).optional()?.transpose()
            })
            .await
    }

    /// Makes a cookie worthless.
    pub(crate) async fn sign_out(&self, cookie: &str) -> Result<(), Refusal> {
        let hashed = hash(cookie);
        self.database
            .write(move |db| {
                db.execute("DELETE FROM cookies WHERE hash = ?1", [hashed])?;
                Ok(())
            })
            .await
    }
}
