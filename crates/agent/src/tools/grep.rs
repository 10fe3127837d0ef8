//! `grep`: lines by an expression.

use async_trait::async_trait;
use hangar_protocol::guest::{GrepMatch, GrepRequest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallContext, Effect, Tool, ToolError, ToolOutput, ToolSpec, arguments};
use crate::workspace::SandboxPath;

/// Lines shown of one search.
const MATCHES_MAX: u32 = 300;
/// Neighbours shown of a matching line.
const CONTEXT_LINES_MAX: u32 = 20;

pub(super) struct Grep(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    pattern: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    glob: Option<String>,
    #[serde(default)]
    ignore_case: bool,
    #[serde(default)]
    context: u32,
}

impl Grep {
    pub(super) fn new() -> Self {
        Self(ToolSpec {
            name: "grep",
            description: "Find lines by regular expression (Rust regex syntax). What .gitignore names is left out.",
            schema: json!({"type": "object", "required": ["pattern"], "properties": {
                "pattern": {"type": "string"},
                "path": {"type": "string", "description": "File or directory; default: the repository's root"},
                "glob": {"type": "string", "description": "Only files whose path matches, e.g. *.rs"},
                "ignore_case": {"type": "boolean"},
                "context": {"type": "integer", "minimum": 0, "maximum": CONTEXT_LINES_MAX, "description": "Lines around each match"},
            }}),
        })
    }
}

#[async_trait]
impl Tool for Grep {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, _input: &Value) -> Effect {
        Effect::Reads
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let wish: Arguments = arguments(input)?;
        let path = SandboxPath::parse(wish.path.as_deref().unwrap_or("."))?;
        let search = GrepRequest {
            pattern: wish.pattern,
            path: path.as_str().to_owned(),
            glob: wish.glob,
            ignore_case: wish.ignore_case,
            context: wish.context.min(CONTEXT_LINES_MAX),
            limit: MATCHES_MAX,
        };
        let found = context.workspace().await?.grep(search).await?;
        let mut text = shown(&path, &found.matches);
        if found.matches.is_empty() {
            text.push_str("No line matches.");
        }
        if found.truncated {
            text.push_str(&format!("[only the first {MATCHES_MAX} are shown; search more narrowly]"));
        }
        Ok(ToolOutput::done(text))
    }
}

/// Matches under the name of their file: a name is said once, whatever the number of its matches.
fn shown(path: &SandboxPath, matches: &[GrepMatch]) -> String {
    let mut text = String::new();
    let mut file: Option<&str> = None;
    for found in matches {
        if file != Some(&found.path) {
            if file.is_some() {
                text.push('\n');
            }
            text.push_str(&format!("{}\n", path.shown_below(&found.path)));
            file = Some(&found.path);
        }
        let mark = if found.context { '-' } else { ':' };
        text.push_str(&format!("{}{mark}{}\n", found.line, found.text));
    }
    text
}
