//! People as they stand in commits and rows.

use serde::{Deserialize, Serialize};

use crate::door::ForgeUser;
use crate::error::Result;
use crate::git::Call;

/// Name and address for a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
}

impl Signature {
    /// Gives a git command this author and that committer, at the present time.
    pub(crate) fn sign<'a>(&self, call: Call<'a>, committer: &Signature) -> Call<'a> {
        call.env("GIT_AUTHOR_NAME", clean(&self.name))
            .env("GIT_AUTHOR_EMAIL", clean(&self.email))
            .env("GIT_COMMITTER_NAME", clean(&committer.name))
            .env("GIT_COMMITTER_EMAIL", clean(&committer.email))
    }
}

/// Git strips these itself but refuses a name that is nothing else.
fn clean(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).collect();
    let kept = kept.trim();
    if kept.is_empty() { "nobody".into() } else { kept.into() }
}

impl ForgeUser {
    /// How this person signs commits.
    pub fn signature(&self) -> Signature {
        Signature { name: self.name.clone(), email: self.email.clone() }
    }
}

/// A person in a row: author of a pull request, reviewer, merger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The server's number for them.
    pub id: i64,
    /// Short unique name.
    pub login: String,
    /// Name for commits, as last seen.
    pub name: String,
    /// Address for commits, as last seen.
    pub email: String,
}

/// Remembers a person as they are now, so that rows can point at them.
pub(crate) fn remember(db: &rusqlite::Connection, user: &ForgeUser) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO people (id, login, name, email) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET login = excluded.login, name = excluded.name, email = excluded.email",
    )?;
    insert.execute((user.id, user.login.as_str(), &user.name, &user.email))?;
    Ok(())
}

/// Reads a person by their number.
pub(crate) fn person(db: &rusqlite::Connection, id: i64) -> Result<Person> {
    let mut query = db.prepare_cached("SELECT id, login, name, email FROM people WHERE id = ?1")?;
    Ok(query.query_row([id], |row| {
        Ok(Person { id: row.get(0)?, login: row.get(1)?, name: row.get(2)?, email: row.get(3)? })
    })?)
}

impl crate::local::LocalForge {
    /// Known people by their e-mail address, in lower case: who wrote which commit.
    pub(crate) async fn people_by_email(&self) -> Result<std::collections::HashMap<String, Person>> {
        self.inner
            .database
            .read(|db| {
                let mut query = db.prepare_cached("SELECT id, login, name, email FROM people")?;
                let rows = query.query_and_then([], |row| {
                    let person = Person { id: row.get(0)?, login: row.get(1)?, name: row.get(2)?, email: row.get(3)? };
                    Ok((person.email.to_lowercase(), person))
                })?;
                rows.collect()
            })
            .await
    }
}
