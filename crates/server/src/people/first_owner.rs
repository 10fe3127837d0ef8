//! Who owns a new server: named by the configuration, else by the machine's own settings.

use std::process::Command;

use hangar_protocol::{
    Refusal, UserId,
    api::{NewUser, Role},
};

use crate::config::PeopleConfig;

/// The login of an owner whose machine does not know one.
const NAMELESS: &str = "owner";

/// The owner that the first start makes. `login` is what the machine calls the person who starts it (`$USER`).
///
/// # Errors
/// Only if the configured words cannot be a user's.
pub(crate) fn first_owner(config: &PeopleConfig, login: Option<&str>) -> Result<NewUser, Refusal> {
    let user = match (&config.owner, login.and_then(as_login)) {
        (Some(user), _) => user.clone(),
        (None, Some(user)) => user,
        (None, None) => NAMELESS.parse()?,
    };
    let name = config.owner_name.clone().or_else(|| git_says("user.name")).unwrap_or_else(|| user.to_string());
    let email = config.owner_email.clone().or_else(|| git_says("user.email"));
    Ok(NewUser { email: email.unwrap_or_else(|| format!("{user}@localhost")), name, role: Role::Owner, user })
}

/// A Unix login as one here: other characters become hyphens.
fn as_login(unix: &str) -> Option<UserId> {
    let spelled: String = unix.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(39).collect();
    let login = spelled.trim_matches('-');
    login.parse::<hangar_forge::Owner>().ok()?;
    login.parse().ok()
}

/// What `git config` knows of the person who starts the server.
fn git_says(key: &str) -> Option<String> {
    let asked = Command::new("git").args(["config", "--global", "--get", key]).output().ok()?;
    let said = String::from_utf8(asked.stdout).ok()?.trim().to_owned();
    (asked.status.success() && !said.is_empty()).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_login_becomes_one_of_ours() {
        let check = |unix: &str, login: Option<&str>| {
            assert_eq!(as_login(unix).map(String::from).as_deref(), login, "{unix}");
        };
        check("root", Some("root"));
        check("jane.doe_x", Some("jane-doe-x"));
        check("_daemon", Some("daemon"));
        check("api", None);
        check("...", None);
    }
}
