//! `write`: a whole file.

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallContext, Effect, Tool, ToolError, ToolOutput, ToolSpec, arguments, file_effect};
use crate::workspace::SandboxPath;

pub(super) struct Write(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    path: String,
    content: String,
}

impl Write {
    pub(super) fn new() -> Self {
        Self(ToolSpec {
            name: "write",
            description: "Create a file or replace all of it. Missing directories are made. Use edit to change a part of a file.",
            schema: json!({"type": "object", "required": ["path", "content"], "properties": {
                "path": {"type": "string"},
                "content": {"type": "string"},
            }}),
        })
    }
}

#[async_trait]
impl Tool for Write {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, input: &Value) -> Effect {
        file_effect(input)
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { path, content } = arguments(input)?;
        let path = SandboxPath::parse(&path)?;
        let lines = content.lines().count();
        let written = context.workspace().await?.write(&path, Bytes::from(content)).await?;
        let verb = if written.created { "Created" } else { "Replaced" };
        Ok(ToolOutput::done(format!("{verb} {} ({lines} lines).", path.shown())))
    }
}
