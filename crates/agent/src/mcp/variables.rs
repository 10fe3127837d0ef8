//! Variables in what a configuration says of a server, as Claude Code has them: `${NAME}`, and `${NAME:-words}` where it may be missing.

use std::collections::BTreeMap;

use super::{McpPlace, McpServer};
use crate::acp::Command;

/// Whether a server's place has variables.
pub(super) fn asks(server: &McpServer) -> bool {
    let asks = |text: &String| text.contains("${");
    match &server.place {
        McpPlace::Program(Command { argv, env }) => argv.iter().chain(env.values()).any(asks),
        McpPlace::Address { url, headers } => [url].into_iter().chain(headers.values()).any(asks),
    }
}

/// The server's place with the variables of commands filled in.
///
/// # Errors
/// The variable that is not there, in words.
pub(super) fn filled(server: &McpServer, variables: &BTreeMap<String, String>) -> Result<McpPlace, String> {
    let one = |text: &String| fill(text, variables);
    let all = |texts: &BTreeMap<String, String>| {
        texts.iter().map(|(name, text)| Ok((name.clone(), one(text)?))).collect::<Result<BTreeMap<_, _>, String>>()
    };
    Ok(match &server.place {
        McpPlace::Program(Command { argv, env }) => {
            McpPlace::Program(Command { argv: argv.iter().map(one).collect::<Result<_, _>>()?, env: all(env)? })
        }
        McpPlace::Address { url, headers } => McpPlace::Address { url: one(url)?, headers: all(headers)? },
    })
}

fn fill(text: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        filled.push_str(before);
        let Some((inside, behind)) = after.split_once('}') else {
            filled.push_str("${");
            rest = after;
            continue;
        };
        let (name, otherwise) = match inside.split_once(":-") {
            Some((name, otherwise)) => (name, Some(otherwise)),
            None => (inside, None),
        };
        match (variables.get(name).filter(|value| otherwise.is_none() || !value.is_empty()), otherwise) {
            (Some(value), _) => filled.push_str(value),
            (None, Some(otherwise)) => filled.push_str(otherwise),
            (None, None) => return Err(format!("the variable {name} is not set in the sandbox")),
        }
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_those_of_commands() {
        let known = BTreeMap::from([("A".to_owned(), "x".to_owned()), ("EMPTY".to_owned(), String::new())]);
        let check = |text: &str, expect: &str| assert_eq!(fill(text, &known).unwrap(), expect, "{text}");
        check("plain $A", "plain $A");
        check("Bearer ${A}!", "Bearer x!");
        check("${A}${A}", "xx");
        check("${MISSING:-y z}", "y z");
        check("${EMPTY:-y}", "y");
        check("[${EMPTY}]", "[]");
        check("${A", "${A");
        assert_eq!(fill("${MISSING}", &known).unwrap_err(), "the variable MISSING is not set in the sandbox");
    }
}
