//! One-time sign-in codes: what stands behind the `#` of a sign-in link.

use hangar_protocol::{Refusal, RefusalCode, UserId};
use hangar_store::rusqlite::{Connection, OptionalExtension as _, named_params};

use super::{
    Account, People,
    database::Failed,
    minted::{hash, mint},
    now_ms, stored_ms,
    users::{COLUMNS, account, named, no_user},
};
use crate::config::Secret;

/// Codes of one user that may be open at the same time; a further one puts the oldest out of use.
const OPEN_CODES_MAX: u32 = 20;

/// A code as it is shown once.
#[derive(Clone, Debug)]
pub(crate) struct SignInCode {
    /// The code.
    pub(crate) code: Secret<String>,
    /// When it stops working.
    pub(crate) expires_ms: u64,
}

impl People {
    /// Makes a code for a user, good for `minutes`.
    pub(crate) async fn new_sign_in_code(&self, login: &UserId, minutes: u32) -> Result<SignInCode, Refusal> {
        let code = mint("")?;
        let hashed = hash(&code);
        let login = login.clone();
        let now = now_ms();
        let expires_ms = now + u64::from(minutes) * 60_000;
        self.database
            .write(move |db| {
                let user = named(db, &login)?.ok_or_else(|| no_user(&login))?;
                db.execute("DELETE FROM sign_in_codes WHERE expires_ms <= ?1", [stored_ms(now)])?;
                db.execute(
                    "DELETE FROM sign_in_codes WHERE user_id = ?1 AND hash NOT IN
                       (SELECT hash FROM sign_in_codes WHERE user_id = ?1 ORDER BY expires_ms DESC LIMIT ?2)",
                    (user.id, OPEN_CODES_MAX - 1),
                )?;
                db.execute(
                    "INSERT INTO sign_in_codes (hash, user_id, expires_ms) VALUES (:hash, :user, :expires)",
                    named_params! {":hash": hashed, ":user": user.id, ":expires": stored_ms(expires_ms)},
                )?;
                Ok(())
            })
            .await?;
        Ok(SignInCode { code: Secret::new(code), expires_ms })
    }
}

/// Takes the code out of the table, so that it works once.
pub(super) fn redeem(db: &Connection, code: &str, now: u64) -> Result<Account, Failed> {
    let hashed = hash(code);
    let query = format!(
        "SELECT {COLUMNS} FROM sign_in_codes JOIN users ON users.id = user_id WHERE hash = ?1 AND expires_ms > ?2"
    );
    let found = db.query_row(&query, (hashed, stored_ms(now)), |row| Ok(account(row))).optional()?.transpose()?;
    let Some(found) = found else {
        return Err(Refusal::new(
            RefusalCode::Unauthenticated,
            "This sign-in link is not valid: it was used, is too old, or was never made.",
            "Ask for a new one; on the server's machine `hangar up --link` prints one.",
        )
        .into());
    };
    db.execute("DELETE FROM sign_in_codes WHERE hash = ?1", [hashed])?;
    Ok(found)
}
