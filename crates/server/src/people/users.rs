//! The users.

use hangar_protocol::{
    Person, Refusal, RefusalCode, UserId,
    api::{NewUser, Role},
};
use hangar_store::rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::{Account, People, database::Failed, now_ms, stored_ms};

/// People one server lets in.
const USERS_MAX: u32 = 10_000;
/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 100;
/// Longest address, in characters.
const EMAIL_CHARS_MAX: usize = 200;

/// The columns [`account`] reads.
pub(super) const COLUMNS: &str = "users.id, users.login, users.name, users.email, users.role";

impl People {
    /// Everybody, by login.
    pub(crate) async fn users(&self) -> Result<Vec<Account>, Refusal> {
        let query = format!("SELECT {COLUMNS} FROM users ORDER BY login COLLATE NOCASE");
        self.database
            .read(move |db| {
                let mut rows = db.prepare_cached(&query)?;
                let found = rows.query_map([], |row| Ok(account(row)))?.collect::<Result<Vec<_>, _>>()?;
                found.into_iter().collect()
            })
            .await
    }

    /// The user with this login, whatever the case of its letters.
    pub(crate) async fn user(&self, login: &UserId) -> Result<Account, Refusal> {
        let login = login.clone();
        self.database.read(move |db| Ok(named(db, &login)?.ok_or_else(|| no_user(&login))?)).await
    }

    /// Lets somebody in.
    pub(crate) async fn add_user(&self, new: NewUser) -> Result<Account, Refusal> {
        check(&new)?;
        self.database.write(move |db| insert(db, &new)).await
    }

    /// Makes `new` the first user if there is none. `None`: there are users already.
    pub(crate) async fn add_first(&self, new: NewUser) -> Result<Option<Account>, Refusal> {
        check(&new)?;
        self.database
            .write(move |db| match count(db)? {
                0 => insert(db, &new).map(Some),
                _ => Ok(None),
            })
            .await
    }

    /// The owner who has been here longest.
    pub(crate) async fn first_owner(&self) -> Result<Account, Refusal> {
        let query = format!("SELECT {COLUMNS} FROM users WHERE role = 'owner' ORDER BY id LIMIT 1");
        self.database.read(move |db| db.query_row(&query, [], |row| Ok(account(row)))?).await
    }
}

/// Reads the columns of [`COLUMNS`].
pub(super) fn account(row: &Row<'_>) -> Result<Account, Failed> {
    let login: String = row.get(1)?;
    let role: String = row.get(4)?;
    let role = if role == "owner" { Role::Owner } else { Role::Member };
    let person = Person { user: login.parse()?, name: row.get(2)?, email: row.get(3)? };
    Ok(Account { id: row.get(0)?, person, role })
}

pub(super) fn named(db: &Connection, login: &UserId) -> Result<Option<Account>, Failed> {
    let query = format!("SELECT {COLUMNS} FROM users WHERE login = ?1");
    db.prepare_cached(&query)?.query_row([login.as_str()], |row| Ok(account(row))).optional()?.transpose()
}

fn count(db: &Connection) -> Result<u32, Failed> {
    Ok(db.query_row("SELECT count(*) FROM users", [], |row| row.get(0))?)
}

fn insert(db: &Connection, new: &NewUser) -> Result<Account, Failed> {
    if named(db, &new.user)?.is_some() {
        let message = format!("There is a user {} already.", new.user);
        return Err(Refusal::new(
            RefusalCode::Conflict,
            message,
            "Choose another login, or make a sign-in link for this one.",
        )
        .into());
    }
    if count(db)? >= USERS_MAX {
        return Err(Refusal::new(RefusalCode::TooMany, format!("There are {USERS_MAX} users already."), "").into());
    }
    let role = match new.role {
        Role::Owner => "owner",
        Role::Member => "member",
    };
    db.execute(
        "INSERT INTO users (login, name, email, role, created_ms) VALUES (:login, :name, :email, :role, :now)",
        named_params! {":login": new.user.as_str(), ":name": new.name, ":email": new.email, ":role": role, ":now": stored_ms(now_ms())},
    )?;
    Ok(Account {
        id: db.last_insert_rowid(),
        person: Person { user: new.user.clone(), name: new.name.clone(), email: new.email.clone() },
        role: new.role,
    })
}

/// A login must be one at the forge too, and name and address must fit into the line of a commit.
fn check(new: &NewUser) -> Result<(), Refusal> {
    let wrong = |message: &str, hint: &str| Err(Refusal::new(RefusalCode::BadRequest, message, hint));
    if let Err(error) = new.user.as_str().parse::<hangar_forge::Owner>() {
        return Err(Refusal::new(
            RefusalCode::BadRequest,
            format!("{error}."),
            "Use letters, digits and single hyphens.",
        ));
    }
    let unfit = |text: &str| text.trim() != text || text.chars().any(|c| c.is_control() || matches!(c, '<' | '>'));
    if new.name.is_empty() || new.name.chars().count() > NAME_CHARS_MAX || unfit(&new.name) {
        return wrong("The name cannot stand in a commit.", "Use 1 to 100 characters, without < > and line breaks.");
    }
    let address = new.email.split_once('@').is_some_and(|(local, host)| !local.is_empty() && !host.is_empty());
    if !address || new.email.chars().count() > EMAIL_CHARS_MAX || unfit(&new.email) || new.email.contains(' ') {
        return wrong("The e-mail address cannot stand in a commit.", "Write it as name@host, at most 200 characters.");
    }
    Ok(())
}

pub(super) fn no_user(login: &UserId) -> Refusal {
    Refusal::new(RefusalCode::NotFound, format!("There is no user {login}."), "`hangar user ls` lists those there are.")
}
