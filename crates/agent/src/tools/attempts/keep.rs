//! `keep_attempt`: chooses an attempt.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{CallContext, Effect, Tool, ToolError, ToolOutput, ToolSpec, arguments, sessions::session_id};

pub(in super::super) struct Keep(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    session: String,
}

impl Keep {
    pub(in super::super) fn new() -> Self {
        Self(ToolSpec {
            name: "keep_attempt",
            description: "Choose an attempt, once: it goes on as the session that it is, and the others of its round are stopped. Say afterwards why this one.",
            schema: json!({"type": "object", "required": ["session"], "properties": {"session": {"type": "string"}}}),
        })
    }
}

#[async_trait]
impl Tool for Keep {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, _input: &Value) -> Effect {
        Effect::Elsewhere
    }

    fn uses_workspace(&self) -> bool {
        false
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { session } = arguments(input)?;
        let session = session_id(&session)?;
        context.sink.keep_attempt(&session).await?;
        Ok(ToolOutput::done(format!("{session} is chosen.")))
    }
}
