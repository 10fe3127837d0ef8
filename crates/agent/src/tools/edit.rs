//! `edit`: replace an exact piece of a file.

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CallContext, Effect, Tell, Tool, ToolError, ToolOutput, ToolSpec, arguments, file_effect, read::whole_text,
};
use crate::workspace::SandboxPath;

/// How many places are named when a piece is not unique.
const PLACES_SHOWN_MAX: usize = 10;

pub(super) struct Edit(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    path: String,
    old_string: String,
    new_string: String,
    #[serde(default)]
    replace_all: bool,
}

impl Edit {
    pub(super) fn new() -> Self {
        Self(ToolSpec {
            name: "edit",
            description: "Replace old_string in a file by new_string. old_string must match exactly, indentation included, without the line numbers that read shows, and must occur once unless replace_all is set: take in enough neighbouring lines to make it unique.",
            schema: json!({"type": "object", "required": ["path", "old_string", "new_string"], "properties": {
                "path": {"type": "string"},
                "old_string": {"type": "string"},
                "new_string": {"type": "string"},
                "replace_all": {"type": "boolean"},
            }}),
        })
    }
}

#[async_trait]
impl Tool for Edit {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, input: &Value) -> Effect {
        file_effect(input)
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let wish: Arguments = arguments(input)?;
        let path = SandboxPath::parse(&wish.path)?;
        let text = whole_text(context, &path).await?;
        let Edited { text, lines } =
            replace(&text, &wish).map_err(|Tell(why)| Tell(format!("{}: {why}", path.shown())))?;
        context.workspace().await?.write(&path, Bytes::from(text)).await?;
        Ok(ToolOutput::done(match lines.as_slice() {
            [line] => format!("Edited {} at line {line}.", path.shown()),
            lines => format!("Edited {} in {} places, at lines {}.", path.shown(), lines.len(), shown(lines)),
        }))
    }
}

#[derive(Debug, PartialEq)]
struct Edited {
    text: String,
    lines: Vec<usize>,
}

fn replace(text: &str, wish: &Arguments) -> Result<Edited, Tell> {
    if wish.old_string.is_empty() {
        return Err(Tell("old_string is empty. Name the text to replace, or use write for a new file.".into()));
    }
    if wish.old_string == wish.new_string {
        return Err(Tell("old_string and new_string are the same: nothing to change.".into()));
    }
    // Models write "\n" whatever the file's line ends are.
    let native = |piece: &str| {
        if text.contains("\r\n") && !piece.contains('\r') { piece.replace('\n', "\r\n") } else { piece.to_owned() }
    };
    let (old, new) = (native(&wish.old_string), native(&wish.new_string));
    let lines: Vec<usize> = text.match_indices(&old).map(|(start, _)| line_at(text, start)).collect();
    match lines.len() {
        0 => Err(Tell(not_found(text, &old))),
        1 => Ok(Edited { text: text.replacen(&old, &new, 1), lines }),
        _ if wish.replace_all => Ok(Edited { text: text.replace(&old, &new), lines }),
        count => Err(Tell(format!(
            "old_string occurs {count} times, at lines {}. Take in neighbouring lines to make it unique, or set replace_all.",
            shown(&lines)
        ))),
    }
}

fn line_at(text: &str, start: usize) -> usize {
    text[..start].matches('\n').count() + 1
}

fn shown(lines: &[usize]) -> String {
    let named: Vec<String> = lines.iter().take(PLACES_SHOWN_MAX).map(ToString::to_string).collect();
    let more = if lines.len() > PLACES_SHOWN_MAX { ", …" } else { "" };
    named.join(", ") + more
}

/// Why a piece is not there; names the place that differs only in white space, which is what mostly went wrong.
fn not_found(text: &str, old: &str) -> String {
    let wanted: Vec<&str> = old.trim().lines().map(str::trim).collect();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    match lines.windows(wanted.len().max(1)).position(|window| window == wanted) {
        Some(place) => format!(
            "old_string does not occur. The text at line {} differs from it in white space only: read it and copy it exactly.",
            place + 1
        ),
        None => {
            "old_string does not occur. Read the file again: it may have changed, or the text is elsewhere.".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(old: &str, new: &str, replace_all: bool) -> Arguments {
        Arguments { path: "f".into(), old_string: old.into(), new_string: new.into(), replace_all }
    }

    #[test]
    fn a_piece_is_replaced_where_it_is_unique() {
        let check = |text: &str, old: &str, new: &str, expect: &str, lines: &[usize]| {
            let edited = replace(text, &wish(old, new, true)).unwrap();
            assert_eq!(edited, Edited { text: expect.into(), lines: lines.to_vec() });
        };
        check("a\nb\nc\n", "b", "B\nB", "a\nB\nB\nc\n", &[2]);
        check("x x\nx", "x", "y", "y y\ny", &[1, 1, 2]);
        check("a\r\nb\r\n", "a\nb", "a\nc", "a\r\nc\r\n", &[1]);
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let check = |text: &str, old: &str, new: &str, expect: &str| {
            let Tell(words) = replace(text, &wish(old, new, false)).unwrap_err();
            assert!(words.contains(expect), "{words}");
        };
        check("a a", "a", "b", "occurs 2 times, at lines 1, 1");
        check("a", "", "b", "empty");
        check("a", "a", "a", "the same");
        check(
            "fn f() {\n    one();\n    two();\n}",
            "one();\n  two();",
            "x",
            "line 2 differs from it in white space only",
        );
        check("abc", "abd", "x", "does not occur. Read the file again");
    }
}
