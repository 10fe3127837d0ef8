//! `glob`: files by their path.

use async_trait::async_trait;
use hangar_protocol::guest::GlobRequest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallContext, Effect, Tool, ToolError, ToolOutput, ToolSpec, arguments};
use crate::workspace::SandboxPath;

/// Paths shown of one search.
const PATHS_MAX: u32 = 300;

pub(super) struct Glob(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    pattern: String,
    #[serde(default)]
    path: Option<String>,
}

impl Glob {
    pub(super) fn new() -> Self {
        Self(ToolSpec {
            name: "glob",
            description: "Find files by pattern (src/**/*.rs; without a slash a name anywhere: *.rs), the last changed first. What .gitignore names is left out.",
            schema: json!({"type": "object", "required": ["pattern"], "properties": {
                "pattern": {"type": "string"},
                "path": {"type": "string", "description": "Directory to search; default: the repository's root"},
            }}),
        })
    }
}

#[async_trait]
impl Tool for Glob {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, _input: &Value) -> Effect {
        Effect::Reads
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { pattern, path } = arguments(input)?;
        let path = SandboxPath::parse(path.as_deref().unwrap_or("."))?;
        let search = GlobRequest { pattern, path: path.as_str().to_owned(), limit: PATHS_MAX };
        let found = context.workspace().await?.glob(search).await?;
        let mut lines: Vec<String> = found.paths.iter().map(|found| path.shown_below(found)).collect();
        if lines.is_empty() {
            lines.push("No file matches.".to_owned());
        }
        if found.truncated {
            lines.push(format!("[only the first {PATHS_MAX} are shown; use a narrower pattern]"));
        }
        Ok(ToolOutput::done(lines.join("\n")))
    }
}
