//! Names as they come from outside, parsed once at the border: whoever holds one of these types may put it into a path, a
//! git command line or a URL without another check.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest owner name in bytes (GitHub's own limit for logins).
pub const OWNER_BYTES_MAX: usize = 39;
/// Longest repository name in bytes (GitHub's own limit).
pub const REPO_NAME_BYTES_MAX: usize = 100;
/// Longest branch name in bytes, without `refs/heads/`. A ref is a file path, so it must stay below the 255 bytes of one path
/// component on common file systems.
pub const BRANCH_BYTES_MAX: usize = 200;
/// Owners that would hide a route of the server which mounts the forge.
pub const OWNERS_RESERVED: [&str; 6] = ["api", "assets", "login", "sessions", "settings", "static"];

/// Why a name was refused. The text is meant for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{given}` is not allowed: {why}")]
pub struct NameError {
    what: &'static str,
    given: String,
    why: &'static str,
}

impl NameError {
    fn new(what: &'static str, given: &str, why: &'static str) -> Self {
        let given = given.chars().take(80).flat_map(char::escape_debug).collect();
        Self { what, given, why }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(why) => Err(NameError::new($what, text, why)),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Who a repository belongs to: a person or a team. Letters, digits and single hyphens, as GitHub has it.
    Owner, "owner", check_owner
);
name!(
    /// A repository's name within its owner.
    RepoName, "repository name", check_repo_name
);
name!(
    /// A branch without `refs/heads/`, valid by git's rules (`git check-ref-format`).
    BranchName, "branch name", check_branch
);
name!(
    /// A full commit (or tree, or blob) id: 40 lowercase hexadecimal digits.
    CommitId, "commit id", check_commit_id
);

impl BranchName {
    /// The full ref, `refs/heads/<name>`.
    pub fn full_ref(&self) -> String {
        format!("refs/heads/{}", self.0)
    }

    /// Parses a full ref; anything outside `refs/heads/` is refused.
    pub fn from_full_ref(full: &str) -> Result<Self, NameError> {
        match full.strip_prefix("refs/heads/") {
            Some(short) => short.parse(),
            None => Err(NameError::new("ref", full, "only branches (`refs/heads/…`) are meant here")),
        }
    }
}

impl CommitId {
    /// The id git uses for "no commit": a ref that does not exist yet, or that is to be deleted.
    pub fn zero() -> Self {
        Self("0".repeat(40))
    }

    /// True for [`CommitId::zero`].
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'0')
    }
}

/// `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoPath {
    /// Who it belongs to.
    pub owner: Owner,
    /// Its name there.
    pub name: RepoName,
}

impl RepoPath {
    /// Puts the two together.
    pub fn new(owner: Owner, name: RepoName) -> Self {
        Self { owner, name }
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for RepoPath {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('/') {
            Some((owner, name)) => Ok(Self { owner: owner.parse()?, name: name.parse()? }),
            None => Err(NameError::new("repository", text, "write it as owner/name")),
        }
    }
}

impl TryFrom<String> for RepoPath {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<RepoPath> for String {
    fn from(path: RepoPath) -> String {
        path.to_string()
    }
}

fn check_owner(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > OWNER_BYTES_MAX {
        return Err("it must have 1 to 39 characters");
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err("only letters, digits and hyphens");
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err("it must not begin or end with a hyphen");
    }
    if OWNERS_RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(text)) {
        return Err("this word is reserved for the server's own pages");
    }
    Ok(())
}

fn check_repo_name(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > REPO_NAME_BYTES_MAX {
        return Err("it must have 1 to 100 characters");
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Err("only letters, digits, hyphens, underscores and dots");
    }
    if text.starts_with(['.', '-']) {
        return Err("it must not begin with a dot or a hyphen");
    }
    if ends_with_ignore_case(text, ".git") || ends_with_ignore_case(text, ".lock") {
        return Err("it must not end with .git or .lock");
    }
    Ok(())
}

fn ends_with_ignore_case(text: &str, end: &str) -> bool {
    text.len() >= end.len() && text.as_bytes()[text.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
}

/// The rules of `git check-ref-format`, plus: not `HEAD`, no leading hyphen, a length.
fn check_branch(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > BRANCH_BYTES_MAX {
        return Err("it must have 1 to 200 bytes");
    }
    if text == "HEAD" || text == "@" {
        return Err("git keeps this word for itself");
    }
    if text.starts_with('-') {
        return Err("it must not begin with a hyphen");
    }
    if text.chars().any(|c| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\')) {
        return Err("no spaces, control characters or any of ~^:?*[\\");
    }
    if text.contains("..") || text.contains("@{") {
        return Err("it must not contain `..` or `@{`");
    }
    if text.ends_with('.') {
        return Err("it must not end with a dot");
    }
    let bad = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    if text.split('/').any(bad) {
        return Err("no part between slashes may be empty, begin with a dot or end with .lock");
    }
    Ok(())
}

fn check_commit_id(text: &str) -> Result<(), &'static str> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() == 40 && text.bytes().all(hex) { Ok(()) } else { Err("it must be 40 lowercase hexadecimal digits") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_at_the_border() {
        let owner = |text: &str| text.parse::<Owner>().is_ok();
        assert!(owner("acme") && owner("a-b") && owner("A1"));
        for bad in ["", "-a", "a-", "a/b", "..", "a b", "api", "API", "ä", &"x".repeat(40)] {
            assert!(!owner(bad), "{bad:?}");
        }
        let repo = |text: &str| text.parse::<RepoName>().is_ok();
        assert!(repo("web") && repo("web.js") && repo("_x") && repo("a-b_c.d"));
        for bad in ["", ".", "..", ".git", "x.git", "x.GIT", "-x", "a/b", "a\0", "a b", &"x".repeat(101)] {
            assert!(!repo(bad), "{bad:?}");
        }
        let branch = |text: &str| text.parse::<BranchName>().is_ok();
        assert!(branch("main") && branch("hangar/s-1") && branch("fix/ü") && branch("a@b"));
        for bad in [
            "", "HEAD", "@", "-x", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "/a", "a/", "a//b",
            "a.lock", "a.lock/b", ".a", "a/.b", "a.", "a@{1}", "a\n",
        ] {
            assert!(!branch(bad), "{bad:?}");
        }
        assert!("acme/web".parse::<RepoPath>().is_ok());
        assert!("acme".parse::<RepoPath>().is_err());
        assert!("acme/web/x".parse::<RepoPath>().is_err());
        assert!(CommitId::zero().is_zero());
        assert!("ABCDEF0123456789012345678901234567890123".parse::<CommitId>().is_err());
    }
}
