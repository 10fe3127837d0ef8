//! Whose commits these are: the author of a turn's prompt is their author, everybody who said something to the turn since is named in a
//! `Co-authored-by:` trailer.
//!
//! The author goes by git's own variables. Git has none for trailers, so a hook adds them: the command's environment sends git to a
//! directory of hooks outside the repository, each of which runs the repository's own hook of the same name afterwards. What the agent
//! does to that environment is its own affair: the log is the record of who said what, the trailers are its copy for readers of commits.

use std::borrow::Cow;

use hangar_protocol::Person;

/// A `Co-authored-by:` line for each person, as hosts of repositories read it. Empty for nobody.
#[must_use]
pub fn trailers(people: &[Person]) -> String {
    let lines = co_authors(people);
    lines.lines().map(|line| format!("Co-authored-by: {line}\n")).collect()
}

/// The variables that make commits this author's, and name the others.
pub(crate) fn environment(author: &Person, others: &[Person]) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut env = vec![
        pair("GIT_AUTHOR_NAME", &author.name),
        pair("GIT_AUTHOR_EMAIL", &author.email),
        pair("GIT_COMMITTER_NAME", &author.name),
        pair("GIT_COMMITTER_EMAIL", &author.email),
    ];
    if !others.is_empty() {
        env.push(pair(CO_AUTHORS, &co_authors(others)));
        env.push(pair(HOOK, include_str!("identity/hook.sh")));
        env.push(pair("GIT_CONFIG_COUNT", "1"));
        env.push(pair("GIT_CONFIG_KEY_0", "core.hooksPath"));
        env.push(pair("GIT_CONFIG_VALUE_0", HOOKS_DIR));
    }
    env
}

/// The command as it is run: where there are co-authors, the hooks are put into place first.
pub(crate) fn with_hooks<'a>(command: &'a str, env: &[(String, String)]) -> Cow<'a, str> {
    if env.iter().all(|(name, _)| name != HOOK) {
        return Cow::Borrowed(command);
    }
    // On the command's own first line, so that bash counts its lines as the model does.
    Cow::Owned(format!("{} ; {command}", include_str!("identity/install.sh").trim()))
}

/// One person a line. What would break a line or an address is left out.
fn co_authors(people: &[Person]) -> String {
    let clean = |text: &str| text.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).collect::<String>();
    let line = |person: &Person| format!("{} <{}>\n", clean(&person.name), clean(&person.email));
    people.iter().map(line).collect()
}

/// Co-authors, one a line.
const CO_AUTHORS: &str = "HANGAR_CO_AUTHORS";
/// The hook's text.
const HOOK: &str = "HANGAR_GIT_HOOK";
/// Where the hooks are put: outside the repository, and gone with the sandbox's memory.
const HOOKS_DIR: &str = "/tmp/.hangar-git-hooks";

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, email: &str) -> Person {
        Person { user: "x".parse().unwrap(), name: name.to_owned(), email: email.to_owned() }
    }

    #[test]
    fn the_scripts_and_the_variables_name_the_same_things() {
        let install = include_str!("identity/install.sh");
        assert_eq!(install.trim().lines().count(), 1);
        assert!(install.contains(HOOKS_DIR) && install.contains(HOOK));
        assert!(include_str!("identity/hook.sh").contains(CO_AUTHORS));
    }

    #[test]
    fn a_name_cannot_add_a_line_or_an_address() {
        let people =
            [person("Eve\nSigned-off-by: Root", "eve@example.org> <root@example.org"), person("Bob", "b@example.org")];
        assert_eq!(
            trailers(&people),
            "Co-authored-by: EveSigned-off-by: Root <eve@example.org root@example.org>\nCo-authored-by: Bob <b@example.org>\n"
        );
        assert_eq!(trailers(&[]), "");
    }
}
