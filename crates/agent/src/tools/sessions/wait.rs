//! `wait_sessions`: what came of the sessions that this one began.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{CallContext, Effect, Tool, ToolError, ToolOutput, ToolSpec, arguments},
    session_id, told,
};
use crate::others::{Until, WaitOver, WaitWish, Waited};

/// How long one call waits unless the model says otherwise, in seconds.
const WAIT_S: u64 = 600;
/// How long one call waits at most, in seconds.
const WAIT_S_MAX: u64 = 3_600;

pub(in super::super) struct Wait(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    #[serde(default)]
    sessions: Vec<String>,
    #[serde(default)]
    until: Until,
    timeout_s: Option<u64>,
}

impl Wait {
    pub(in super::super) fn new() -> Self {
        Self(ToolSpec {
            name: "wait_sessions",
            description: "Wait until sessions that you began have ended, and read what came of them. Without ids: those of this turn and all at work.",
            schema: json!({"type": "object", "properties": {
                "sessions": {"type": "array", "items": {"type": "string"}},
                "until": {"enum": ["all", "any"]},
                "timeout_s": {"type": "integer", "description": format!("Default {WAIT_S}, at most {WAIT_S_MAX}")},
            }}),
        })
    }
}

#[async_trait]
impl Tool for Wait {
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
        let Arguments { sessions, until, timeout_s } = arguments(input)?;
        let sessions = sessions.iter().map(|id| session_id(id)).collect::<Result<_, _>>()?;
        let patience = Duration::from_secs(timeout_s.unwrap_or(WAIT_S).min(WAIT_S_MAX));
        let Waited { over, sessions } = context.sink.wait_sessions(WaitWish { sessions, until, patience }).await?;
        let mut text = match over {
            WaitOver::Ended => String::new(),
            WaitOver::Patience => format!("Not all have ended after {} s; they go on.\n\n", patience.as_secs()),
            WaitOver::Called => "Somebody has something to say to you, which follows; they go on.\n\n".to_owned(),
        };
        text.push_str(&sessions.iter().map(told).collect::<Vec<_>>().join("\n"));
        Ok(ToolOutput::done(text))
    }
}
