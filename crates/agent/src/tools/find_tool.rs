//! `find_tool`: which tools of MCP servers fit some words.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallContext, Effect, Tool, ToolError, ToolOutput, ToolSpec, arguments};
use crate::mcp::Servers;

pub(super) struct FindTool {
    spec: ToolSpec,
    servers: Arc<Servers>,
}

#[derive(Deserialize)]
struct Arguments {
    words: String,
}

impl FindTool {
    pub(super) fn new(servers: Arc<Servers>) -> Self {
        let spec = ToolSpec {
            name: "find_tool",
            description: "Find tools of MCP servers by words. Gives the best with their schemas, for use_tool. Where none fits: which servers and tools there are, and why one cannot be used.",
            schema: json!({"type": "object", "required": ["words"], "properties": {"words": {"type": "string"}}}),
        };
        Self { spec, servers }
    }
}

#[async_trait]
impl Tool for FindTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    /// It starts servers, which are programs like any command.
    fn effect(&self, _input: &Value) -> Effect {
        Effect::ChangesAnything
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { words } = arguments(input)?;
        Ok(ToolOutput::done(self.servers.find(&words, context.env).await))
    }
}
