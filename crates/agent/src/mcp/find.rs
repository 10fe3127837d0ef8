//! Which tools fit some words, and how the model is told.

use std::fmt::Write as _;

use super::{
    Servers,
    catalog::{Catalog, Offered},
};

/// Tools that are shown with their descriptions and schemas.
const FOUND_MAX: usize = 5;
/// Further ones, of which the names are shown.
const ALSO_MAX: usize = 20;
/// Names of one server's tools that are listed where nothing fits.
const LISTED_MAX: usize = 40;

impl Servers {
    /// The tools that fit the words, in the form the model reads; where none does, which servers and tools there are. Servers that cannot be used are named.
    pub(crate) async fn find(&self, words: &str, env: &[(String, String)]) -> String {
        let all = self.all(env).await;
        let wanted = words_of(words);
        let mut found: Vec<(u32, &Offered)> = Vec::new();
        for catalog in all.iter().filter_map(|(_, connection)| Some(&connection.as_ref().ok()?.catalog)) {
            let scored = catalog.tools.iter().map(|tool| (score(tool, words.trim(), &wanted), tool));
            found.extend(scored.filter(|(score, _)| *score > 0));
        }
        // The best first; of two that fit alike, the one whose server and name come first.
        found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        let mut text = String::new();
        for (_, tool) in found.iter().take(FOUND_MAX) {
            told(&mut text, tool);
        }
        let also: Vec<&str> = found.iter().skip(FOUND_MAX).map(|(_, tool)| tool.name.as_str()).collect();
        if !also.is_empty() {
            let more = also.len().saturating_sub(ALSO_MAX);
            let _ = write!(text, "Also: {}", also[..also.len().min(ALSO_MAX)].join(", "));
            text.push_str(&if more > 0 {
                format!(" and {more} more. Use more exact words.\n\n")
            } else {
                ".\n\n".to_owned()
            });
        }
        if found.is_empty() {
            text.push_str("No tool fits these words. The servers:\n\n");
        }
        for (server, connection) in &all {
            match connection {
                Err(fault) => {
                    let _ = writeln!(text, "The server {} cannot be used: {fault}.", server.name);
                }
                Ok(connection) if found.is_empty() => listed(&mut text, server.name.as_str(), &connection.catalog),
                Ok(connection) if connection.catalog.left_out => {
                    left_out(&mut text, server.name.as_str(), &connection.catalog)
                }
                Ok(_) => {}
            }
        }
        for fault in self.faults() {
            let _ = writeln!(text, "Not used: {fault}.");
        }
        text.trim_end().to_owned()
    }
}

/// Names near one that is not there.
pub(super) fn near(catalog: &Catalog, name: &str, most: usize) -> String {
    let wanted = words_of(name);
    let mut near: Vec<(u32, &str)> =
        catalog.tools.iter().map(|tool| (score(tool, name, &wanted), tool.name.as_str())).collect();
    near.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let names: Vec<&str> = near.into_iter().take(most).map(|(_, name)| name).collect();
    if names.is_empty() { "It has none.".to_owned() } else { format!("Near it: {}.", names.join(", ")) }
}

fn told(text: &mut String, Offered { name, description, schema, .. }: &Offered) {
    let _ = write!(text, "{name}\n{description}\narguments: {schema}\n\n");
}

fn listed(text: &mut String, server: &str, catalog: &Catalog) {
    let names: Vec<&str> = catalog.tools.iter().take(LISTED_MAX).map(|tool| tool.name.as_str()).collect();
    let more = if catalog.tools.len() > LISTED_MAX { ", …" } else { "" };
    let _ = writeln!(text, "{server} ({} tools): {}{more}", catalog.tools.len(), names.join(", "));
    if catalog.left_out {
        left_out(text, server, catalog);
    }
}

fn left_out(text: &mut String, server: &str, catalog: &Catalog) {
    let _ = writeln!(text, "The server {server} has more tools than are kept; the first {} are.", catalog.tools.len());
}

/// How well a tool fits: what is in its name counts most.
fn score(tool: &Offered, whole: &str, wanted: &[String]) -> u32 {
    const WHOLE_NAME: u32 = 1_000;
    const NAME_WORD: u32 = 12;
    const NAME_PART: u32 = 6;
    const WORD: u32 = 3;
    const PART: u32 = 1;
    if whole == tool.name || whole == tool.own {
        return WHOLE_NAME;
    }
    let (name, described) = (words_of(&tool.name), words_of(&tool.description));
    let properties = words_of(&tool.schema);
    let of = |word: &String| {
        if name.contains(word) {
            NAME_WORD
        } else if name.iter().any(|part| part.contains(word.as_str())) {
            NAME_PART
        } else if described.contains(word) {
            WORD
        } else if described.iter().any(|part| part.starts_with(word.as_str())) || properties.contains(word) {
            PART
        } else {
            0
        }
    };
    wanted.iter().map(of).sum()
}

/// The words of a text, small, without those that every name has. `searchCode` has two.
fn words_of(text: &str) -> Vec<String> {
    let mut apart = String::with_capacity(text.len() + 8);
    let mut small = false;
    for c in text.chars() {
        if c.is_uppercase() && small {
            apart.push(' ');
        }
        small = c.is_lowercase();
        apart.push(c);
    }
    let says_something = |word: &&str| word.chars().count() > 1 || word.bytes().any(|byte| byte.is_ascii_digit());
    let words = apart.split(|c: char| !c.is_alphanumeric()).filter(says_something);
    words.map(str::to_lowercase).filter(|word| word != "mcp").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, description: &str) -> Offered {
        let own = name.rsplit("__").next().unwrap().to_owned();
        Offered { name: name.to_owned(), own, description: description.to_owned(), schema: "{}".to_owned() }
    }

    #[test]
    fn the_name_counts_most_and_nothing_fits_where_no_word_does() {
        let tools = [
            tool("mcp__github__searchCode", "Find lines in all repositories."),
            tool("mcp__github__create_issue", "Open an issue. Search before you do."),
            tool("mcp__db__query", "Run SQL."),
        ];
        let best = |words: &str| {
            let wanted = words_of(words);
            let scored = tools.iter().map(|tool| (score(tool, words, &wanted), tool.own.as_str()));
            scored.filter(|(score, _)| *score > 0).max_by_key(|(score, _)| *score).map(|(_, name)| name)
        };
        assert_eq!(best("search code"), Some("searchCode"));
        assert_eq!(best("issue"), Some("create_issue"));
        assert_eq!(best("mcp__db__query"), Some("query"));
        assert_eq!(best("sql"), Some("query"));
        assert_eq!(best("weather"), None);
        assert_eq!(best("mcp"), None);
    }
}
