//! `cancel_session`: stops a session that this one began.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{CallContext, Effect, Tool, ToolError, ToolOutput, ToolSpec, arguments},
    session_id,
};

pub(in super::super) struct Cancel(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    session: String,
}

impl Cancel {
    pub(in super::super) fn new() -> Self {
        Self(ToolSpec {
            name: "cancel_session",
            description: "Stop a session that you began, and those it began. Its files stay.",
            schema: json!({"type": "object", "required": ["session"], "properties": {"session": {"type": "string"}}}),
        })
    }
}

#[async_trait]
impl Tool for Cancel {
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
        context.sink.cancel_session(&session).await?;
        Ok(ToolOutput::done(format!("{session} is being stopped.")))
    }
}
