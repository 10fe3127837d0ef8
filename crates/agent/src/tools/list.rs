//! `list`: a directory.

use async_trait::async_trait;
use hangar_protocol::guest::FileKind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallContext, Effect, Tool, ToolError, ToolOutput, ToolSpec, arguments};
use crate::workspace::SandboxPath;

/// Entries shown of one directory.
const ENTRIES_MAX: u32 = 500;

pub(super) struct List(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    #[serde(default)]
    path: Option<String>,
}

impl List {
    pub(super) fn new() -> Self {
        Self(ToolSpec {
            name: "list",
            description: "List a directory: names, directories with a slash, files with their size in bytes.",
            schema: json!({"type": "object", "properties": {"path": {"type": "string", "description": "Default: the repository's root"}}}),
        })
    }
}

#[async_trait]
impl Tool for List {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, _input: &Value) -> Effect {
        Effect::Reads
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { path } = arguments(input)?;
        let path = SandboxPath::parse(path.as_deref().unwrap_or("."))?;
        let listing = context.workspace().await?.list(&path, ENTRIES_MAX).await?;
        let mut lines: Vec<String> = listing
            .entries
            .iter()
            .map(|entry| match entry.kind {
                FileKind::Directory => format!("{}/", entry.name),
                FileKind::File => format!("{}  {}", entry.name, entry.size),
                FileKind::Symlink => format!("{}  (link)", entry.name),
                FileKind::Other => format!("{}  (special)", entry.name),
            })
            .collect();
        if lines.is_empty() {
            lines.push("(the directory is empty)".to_owned());
        }
        if listing.truncated {
            lines.push(format!("[only the first {ENTRIES_MAX} are shown; use glob]"));
        }
        Ok(ToolOutput::done(lines.join("\n")))
    }
}
