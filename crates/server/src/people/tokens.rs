//! Personal access tokens: for scripts, for git, for the command line.

use hangar_protocol::{Refusal, RefusalCode, api::TokenInfo};
use hangar_store::rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::{
    Account, People,
    database::Failed,
    minted::{hash, mint},
    now_ms, read_ms,
    recent::REMEMBERED_MS,
    stored_ms,
    users::{COLUMNS, account},
};
use crate::config::Secret;

/// What every token begins with, so that people and secret scanners recognise one.
pub(crate) const TOKEN_PREFIX: &str = "hgr_";
/// Tokens one user may have.
const TOKENS_PER_USER_MAX: u32 = 100;
/// Longest label, in characters.
const LABEL_CHARS_MAX: usize = 100;
/// A token, the one time it is shown.
#[derive(Clone, Debug)]
pub(crate) struct MintedToken {
    /// As it will be listed.
    pub(crate) info: TokenInfo,
    /// The token.
    pub(crate) secret: Secret<String>,
}

impl People {
    /// Whose token this is; `None` for nobody's.
    pub(crate) async fn of_token(&self, token: &str) -> Result<Option<Account>, Refusal> {
        if !token.starts_with(TOKEN_PREFIX) {
            return Ok(None);
        }
        let hashed = hash(token);
        let now = now_ms();
        let began = match self.recent.find(&hashed, now) {
            Ok(account) => return Ok(Some(account)),
            Err(began) => began,
        };
        let query = format!(
            "SELECT {COLUMNS}, used_ms, tokens.id FROM tokens JOIN users ON users.id = user_id WHERE hash = ?1"
        );
        let found = self
            .database
            .read(move |db| {
                let mut found = db.prepare_cached(&query)?;
                let row = found.query_row([hashed], |row| Ok((account(row), row.get(5)?, row.get(6)?))).optional()?;
                row.map(|(account, used, id): (_, Option<i64>, i64)| Ok((account?, used, id))).transpose()
            })
            .await?;
        let Some((account, used, id)) = found else { return Ok(None) };
        if used.is_none_or(|used| read_ms(used) + REMEMBERED_MS <= now) {
            self.database
                .write(move |db| {
                    db.execute("UPDATE tokens SET used_ms = ?1 WHERE id = ?2", (stored_ms(now), id))?;
                    Ok(())
                })
                .await?;
        }
        self.recent.remember(hashed, account.clone(), now, began);
        Ok(Some(account))
    }

    /// A user's tokens, oldest first.
    pub(crate) async fn tokens(&self, user: i64) -> Result<Vec<TokenInfo>, Refusal> {
        self.database
            .read(move |db| {
                let mut rows = db.prepare_cached(
                    "SELECT id, label, created_ms, used_ms FROM tokens WHERE user_id = ?1 ORDER BY id",
                )?;
                Ok(rows.query_map([user], info)?.collect::<Result<Vec<_>, _>>()?)
            })
            .await
    }

    /// Makes a token.
    pub(crate) async fn new_token(&self, user: i64, label: String) -> Result<MintedToken, Refusal> {
        let shown = label.trim().to_owned();
        if shown.is_empty() || shown.chars().count() > LABEL_CHARS_MAX || shown.chars().any(char::is_control) {
            return Err(Refusal::new(
                RefusalCode::BadRequest,
                "The label is empty, too long, or has line breaks.",
                "Say in 1 to 100 characters what the token is for.",
            ));
        }
        let secret = mint(TOKEN_PREFIX)?;
        let hashed = hash(&secret);
        let info = self.database.write(move |db| insert(db, user, &shown, hashed)).await?;
        Ok(MintedToken { info, secret: Secret::new(secret) })
    }

    /// Takes a token of this user out of use.
    pub(crate) async fn drop_token(&self, user: i64, token: u32) -> Result<(), Refusal> {
        self.database
            .write(move |db| match db.execute("DELETE FROM tokens WHERE id = ?1 AND user_id = ?2", (token, user))? {
                0 => Err(Refusal::new(
                    RefusalCode::NotFound,
                    format!("You have no token {token}."),
                    "`hangar token ls` lists yours.",
                )
                .into()),
                _ => Ok(()),
            })
            .await?;
        self.recent.forget_all();
        Ok(())
    }

    /// Makes a token in place of every other with this label.
    pub(crate) async fn replace_token(&self, user: i64, label: &str) -> Result<MintedToken, Refusal> {
        let secret = mint(TOKEN_PREFIX)?;
        let hashed = hash(&secret);
        let label = label.to_owned();
        let info = self
            .database
            .write(move |db| {
                db.execute("DELETE FROM tokens WHERE user_id = ?1 AND label = ?2", (user, &label))?;
                insert(db, user, &label, hashed)
            })
            .await?;
        self.recent.forget_all();
        Ok(MintedToken { info, secret: Secret::new(secret) })
    }
}

fn insert(db: &Connection, user: i64, label: &str, hashed: [u8; 32]) -> Result<TokenInfo, Failed> {
    let have: u32 = db.query_row("SELECT count(*) FROM tokens WHERE user_id = ?1", [user], |row| row.get(0))?;
    if have >= TOKENS_PER_USER_MAX {
        let message = format!("You have {TOKENS_PER_USER_MAX} tokens already.");
        return Err(Refusal::new(RefusalCode::TooMany, message, "Delete one that is not used any more.").into());
    }
    let created_ms = now_ms();
    db.execute(
        "INSERT INTO tokens (hash, user_id, label, created_ms) VALUES (:hash, :user, :label, :now)",
        named_params! {":hash": hashed, ":user": user, ":label": label, ":now": stored_ms(created_ms)},
    )?;
    // AUTOINCREMENT numbers stay below 2^32 for as long as anybody will make tokens.
    let id = u32::try_from(db.last_insert_rowid()).unwrap_or(u32::MAX);
    Ok(TokenInfo { id, label: label.to_owned(), created_ms, used_ms: None })
}

fn info(row: &Row<'_>) -> hangar_store::rusqlite::Result<TokenInfo> {
    Ok(TokenInfo {
        id: row.get(0)?,
        label: row.get(1)?,
        created_ms: read_ms(row.get(2)?),
        used_ms: row.get::<_, Option<i64>>(3)?.map(read_ms),
    })
}
