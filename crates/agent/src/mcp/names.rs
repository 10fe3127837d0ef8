//! What servers and their tools are called: as Claude Code calls them, so that hooks written for it fit.
//!
//! ```text
//!   mcp__github__search_code       mcp__ + the server's name + __ + the tool's name
//! ```
//!
//! Architecture invariant: a tool has one name. However a model spells it, plugins see what is called by that name.

use std::fmt;

/// What the name of every tool of a server begins with.
const PREFIX: &str = "mcp__";
/// What stands between the server's name and the tool's.
const BETWEEN: &str = "__";
/// Longest name of a server.
const SERVER_CHARS_MAX: usize = 64;
/// Longest name of a tool.
const TOOL_CHARS_MAX: usize = 128;

/// The name of a server: letters, digits, `-` and single `_`, which is neither first nor last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(String);

/// A text is no name of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of an MCP server: write up to {SERVER_CHARS_MAX} letters, digits, - and single _, which is neither first nor last"
)]
pub struct NameFault(String);

impl ServerName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`NameFault`] where it is none.
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        let fits = !text.is_empty()
            && text.len() <= SERVER_CHARS_MAX
            && text.chars().all(is_plain)
            && !text.starts_with('_')
            && !text.ends_with('_')
            && !text.contains(BETWEEN);
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameFault(hangar_protocol::limits::clip(text, SERVER_CHARS_MAX)))
        }
    }

    /// Reads a name as other programs take it: what is no letter, digit or `-` becomes `_`.
    ///
    /// # Errors
    /// [`NameFault`] where nothing is left of it, or too much.
    pub fn near(text: &str) -> Result<Self, NameFault> {
        let words = text.split(|c: char| !is_plain(c) || c == '_').filter(|word| !word.is_empty());
        Self::parse(&words.collect::<Vec<_>>().join("_"))
            .map_err(|_| NameFault(hangar_protocol::limits::clip(text, SERVER_CHARS_MAX)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of one of its tools; `None` where the tool's own is empty or too long.
    pub(crate) fn tool(&self, name: &str) -> Option<String> {
        let fits = !name.is_empty() && name.chars().count() <= TOOL_CHARS_MAX;
        fits.then(|| format!("{PREFIX}{}{BETWEEN}{}", self.0, plain(name)))
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The one name of what a model calls so; `None` where it names no tool of a server.
pub(crate) fn canonical(name: &str) -> Option<String> {
    let name = name.trim();
    let (server, tool) = name.strip_prefix(PREFIX)?.split_once(BETWEEN)?;
    ServerName::parse(server).ok()?.tool(tool)
}

/// The server whose tool is called so.
pub(crate) fn server_of(canonical: &str) -> Option<&str> {
    Some(canonical.strip_prefix(PREFIX)?.split_once(BETWEEN)?.0)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn plain(name: &str) -> String {
    name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_servers_leave_no_doubt_where_they_end() {
        for good in ["github", "my-db", "a_b", "X1"] {
            assert_eq!(ServerName::parse(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(SERVER_CHARS_MAX + 1);
        for bad in ["", "_a", "a_", "a__b", "a b", "a.b", "ä", long.as_str()] {
            assert!(ServerName::parse(bad).is_err(), "{bad}");
        }
        let near = |text: &str| ServerName::near(text).map(|name| name.as_str().to_owned());
        assert_eq!(near("My Server (local)").unwrap(), "My_Server_local");
        assert_eq!(near("a__b").unwrap(), "a_b");
        assert!(near("…").unwrap_err().to_string().contains("no name of an MCP server"));
    }

    #[test]
    fn a_tool_has_one_name_however_it_is_spelled() {
        let check = |spelled: &str, name: Option<&str>| assert_eq!(canonical(spelled).as_deref(), name, "{spelled}");
        check("mcp__github__search_code", Some("mcp__github__search_code"));
        check(" mcp__github__issues/list ", Some("mcp__github__issues_list"));
        check("mcp__github__issues_list", Some("mcp__github__issues_list"));
        check("mcp__a__b__c", Some("mcp__a__b__c"));
        check("mcp__a___b", Some("mcp__a___b"));
        check("mcp__a__", None);
        check("mcp__a", None);
        check("MCP__a__b", None);
        check("bash", None);
        assert_eq!(server_of("mcp__a__b__c"), Some("a"));
    }
}
