//! Which tools a hook is about.

use regex::{Regex, RegexBuilder};

use crate::limits;

/// A matcher. Names are case-sensitive.
#[derive(Clone, Debug)]
pub(super) enum Matcher {
    /// `*`, empty or left out.
    All,
    /// A plain name, or several with `|` or `,` between them.
    Names(Vec<String>),
    /// Anything else: found anywhere in a name.
    Expression(Regex),
}

impl Matcher {
    /// Reads a matcher.
    ///
    /// # Errors
    /// Why it is no expression.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '|' | ',' | ' ');
        if matches!(text.trim(), "" | "*") {
            return Ok(Self::All);
        }
        if text.chars().all(plain) {
            let names = text.split(['|', ',']).map(str::trim).filter(|name| !name.is_empty());
            return Ok(Self::Names(names.map(str::to_owned).collect()));
        }
        let expression = RegexBuilder::new(text).size_limit(limits::HOOK_MATCHER_BYTES_MAX).build();
        expression.map(Self::Expression).map_err(|error| format!("its matcher cannot be used: {error}"))
    }

    /// Whether it fits one of the names that something has.
    pub(super) fn fits(&self, names: &[&str]) -> bool {
        match self {
            Self::All => true,
            Self::Names(wanted) => names.iter().any(|name| wanted.iter().any(|wanted| wanted == name)),
            Self::Expression(expression) => names.iter().any(|name| expression.is_match(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::commands::tools::names;

    #[test]
    fn plain_names_fit_exactly_and_expressions_anywhere() {
        let check = |matcher: &str, tool: &str, fits: bool| {
            assert_eq!(Matcher::parse(matcher).unwrap().fits(&names(tool)), fits, "{matcher:?} {tool}");
        };
        check("Bash", "bash", true);
        check("bash", "bash", true);
        // The name of the tool for background commands begins with it.
        check("Bash", "job", false);
        check("BashOutput", "job", true);
        check("Bas", "bash", false);
        check("Edit|Write", "write", true);
        check("Edit|Write", "edit", true);
        check("Edit|Write", "read", false);
        check("Edit, Write", "write", true);
        // A patch writes and edits.
        check("Edit|Write", "apply_patch", true);
        check("Write", "apply_patch", true);
        check("apply_patch", "apply_patch", true);
        check("Read|Glob|Grep|LS", "list", true);
        check("TodoWrite", "todo", true);
        check("Write", "todo", false);
        check("mcp__memory", "mcp__memory__read", false);
        check("mcp__memory__.*", "mcp__memory__read", true);
        check("^Bash", "job", true);
        check("^Bash$", "job", false);
        check(".*", "open_pull_request", true);
        check("open_pull_request", "open_pull_request", true);
        for all in ["*", "", "  "] {
            check(all, "glob", true);
        }
        assert!(Matcher::parse("(").unwrap_err().starts_with("its matcher cannot be used: regex parse error"));
        assert!(Matcher::parse("(?:x{1000}){1000}").unwrap_err().contains("size limit"));
    }
}
