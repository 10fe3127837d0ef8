//! `message_session`: words for a session that this one began.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{CallContext, Effect, Tell, Tool, ToolError, ToolOutput, ToolSpec, arguments},
    session_id,
};

pub(in super::super) struct Message(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    session: String,
    text: String,
}

impl Message {
    pub(in super::super) fn new() -> Self {
        Self(ToolSpec {
            name: "message_session",
            description: "Say something to a session that you began: it hears it while it works, or begins anew with it.",
            schema: json!({"type": "object", "required": ["session", "text"], "properties": {
                "session": {"type": "string"}, "text": {"type": "string"},
            }}),
        })
    }
}

#[async_trait]
impl Tool for Message {
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
        let Arguments { session, text } = arguments(input)?;
        if text.trim().is_empty() {
            return Err(Tell("The text is empty.".to_owned()).into());
        }
        let session = session_id(&session)?;
        context.sink.message_session(context.call, &session, text).await?;
        Ok(ToolOutput::done(format!("Said to {session}.")))
    }
}
