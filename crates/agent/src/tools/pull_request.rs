//! `open_pull_request`: done by hangar, in the name of the person who asked.

use async_trait::async_trait;
use hangar_protocol::{
    api::OpenPullRequest,
    limits::{PULL_REQUEST_BODY_BYTES_MAX, TITLE_CHARS_MAX},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallContext, Effect, Tell, Tool, ToolError, ToolOutput, ToolSpec, arguments};

pub(super) struct PullRequest(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    title: String,
    #[serde(default)]
    body: String,
}

impl PullRequest {
    pub(super) fn new() -> Self {
        Self(ToolSpec {
            name: "open_pull_request",
            description: "Open a pull request from the session's branch, in the name of the person who asked. Push first. The body says what changed, why, and how it was tested.",
            schema: json!({"type": "object", "required": ["title", "body"], "properties": {
                "title": {"type": "string", "maxLength": TITLE_CHARS_MAX},
                "body": {"type": "string", "description": "Markdown"},
            }}),
        })
    }
}

#[async_trait]
impl Tool for PullRequest {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, _input: &Value) -> Effect {
        Effect::ChangesAnything
    }

    fn uses_workspace(&self) -> bool {
        false
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { title, body } = arguments(input)?;
        let title = title.trim().to_owned();
        if title.is_empty() || title.chars().count() > TITLE_CHARS_MAX {
            return Err(Tell(format!("A title has 1 to {TITLE_CHARS_MAX} characters.")).into());
        }
        if body.len() > PULL_REQUEST_BODY_BYTES_MAX {
            return Err(Tell(format!("A body has at most {PULL_REQUEST_BODY_BYTES_MAX} bytes.")).into());
        }
        let opened = context.sink.open_pull_request(OpenPullRequest { title: Some(title), body: Some(body) }).await?;
        Ok(ToolOutput::done(format!("Opened pull request #{}: {}", opened.number, opened.url)))
    }
}
