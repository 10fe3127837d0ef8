//! `session_status`: how far a session is.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{CallContext, Effect, Tool, ToolError, ToolOutput, ToolSpec, arguments},
    session_id, told,
};

pub(in super::super) struct Status(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    session: Option<String>,
}

impl Status {
    pub(in super::super) fn new() -> Self {
        Self(ToolSpec {
            name: "session_status",
            description: "Any session the person may see: what it does, last words, changes, pull request. Without an id: those you began.",
            schema: json!({"type": "object", "properties": {"session": {"type": "string"}}}),
        })
    }
}

#[async_trait]
impl Tool for Status {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, _input: &Value) -> Effect {
        Effect::Reads
    }

    fn uses_workspace(&self) -> bool {
        false
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { session } = arguments(input)?;
        if let Some(session) = session {
            let report = context.sink.session_status(&session_id(&session)?).await?;
            return Ok(ToolOutput::done(told(&report)));
        }
        let children = context.sink.children().await?;
        if children.is_empty() {
            return Ok(ToolOutput::done("This session has begun none."));
        }
        let lines = children.iter().map(|child| {
            let pull =
                child.pull_request.as_ref().map(|pull| format!(" · pull request {}", pull.url)).unwrap_or_default();
            format!("{} {} · {} · {}{pull}\n", child.session, child.phase.word(), child.repo, child.title)
        });
        Ok(ToolOutput::done(lines.collect::<String>()))
    }
}
