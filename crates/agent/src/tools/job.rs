//! `job`: what background commands say, and their end.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallContext, Effect, Tool, ToolError, ToolOutput, ToolSpec, arguments};

/// How long a call may wait for a job.
const WAIT_MAX: Duration = Duration::from_secs(120);

pub(super) struct JobTool(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    action: Action,
    #[serde(default)]
    job: Option<u32>,
    #[serde(default)]
    wait_s: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    List,
    Output,
    Kill,
}

impl JobTool {
    pub(super) fn new() -> Self {
        Self(ToolSpec {
            name: "job",
            description: "Background commands: list them, take the output that is new since the last look (wait_s waits until the job says something or ends), or kill one.",
            schema: json!({"type": "object", "required": ["action"], "properties": {
                "action": {"enum": ["list", "output", "kill"]},
                "job": {"type": "integer"},
                "wait_s": {"type": "integer", "minimum": 0, "maximum": WAIT_MAX.as_secs()},
            }}),
        })
    }
}

#[async_trait]
impl Tool for JobTool {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, input: &Value) -> Effect {
        match input["action"].as_str() {
            Some("list" | "output") => Effect::Reads,
            _ => Effect::ChangesAnything,
        }
    }

    fn uses_workspace(&self) -> bool {
        false
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { action, job, wait_s } = arguments(input)?;
        let number = || job.ok_or_else(|| super::Tell("Name the job by its number.".to_owned()));
        let text = match action {
            Action::List => context.jobs.list(),
            Action::Output => context.jobs.output(number()?, Duration::from_secs(wait_s).min(WAIT_MAX)).await?,
            Action::Kill => context.jobs.kill(number()?).await?,
        };
        Ok(ToolOutput::done(text))
    }
}
