//! `spawn_session`: another agent in a session of its own.

use async_trait::async_trait;
use hangar_protocol::limits::{CHILDREN_AT_ONCE_MAX, TITLE_CHARS_MAX};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{CallContext, Effect, Tell, Tool, ToolError, ToolOutput, ToolSpec, arguments},
    repo_path,
};
use crate::others::{SpawnWish, StartFrom};

/// What a child may use of what is left, unless the model says otherwise.
const BUDGET_PERCENT: u32 = 25;

pub(in super::super) struct Spawn(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    prompt: String,
    repo: Option<String>,
    branch: Option<String>,
    title: Option<String>,
    model: Option<String>,
    budget_percent: Option<u32>,
    #[serde(default)]
    copy: bool,
}

impl Spawn {
    pub(in super::super) fn new() -> Self {
        Self(ToolSpec {
            name: "spawn_session",
            description: "Begin another agent in a session and sandbox of its own. It sees nothing of this conversation or workspace: the \
                          prompt says all it needs. Returns at once; its result comes with wait_sessions.",
            schema: json!({"type": "object", "required": ["prompt"], "properties": {
                "prompt": {"type": "string"},
                "repo": {"type": "string", "description": "owner/name; default: this one"},
                "branch": {"type": "string", "description": "To start from; default: the repository's"},
                "copy": {"type": "boolean", "description": "Start from your files as they are, uncommitted too"},
                "title": {"type": "string", "maxLength": TITLE_CHARS_MAX},
                "model": {"type": "string"},
                "budget_percent": {"type": "integer", "description": "Of what is left here; default 25"},
            }}),
        })
    }
}

#[async_trait]
impl Tool for Spawn {
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
        let Arguments { prompt, repo, branch, title, model, budget_percent, copy } = arguments(input)?;
        let budget_percent = budget_percent.unwrap_or(BUDGET_PERCENT);
        if !(1..=100).contains(&budget_percent) {
            return Err(Tell("budget_percent is 1 to 100.".to_owned()).into());
        }
        let repo = repo.as_deref().map(repo_path).transpose()?;
        let start = match (copy, &repo, branch) {
            (false, _, branch) => StartFrom::Branch(branch),
            (true, None, None) => StartFrom::Workspace,
            (true, _, _) => {
                return Err(
                    Tell("A copy is of this repository as it is here: leave out repo and branch.".to_owned()).into()
                );
            }
        };
        let wish = SpawnWish { repo, start, prompt, title, model, budget_percent };
        let child = context.sink.spawn_session(context.call, wish).await?;
        Ok(ToolOutput::done(format!(
            "Session {} works on {}: {}\nUp to {CHILDREN_AT_ONCE_MAX} may work at once. Go on with your own work, then wait_sessions.",
            child.session, child.repo, child.title
        )))
    }
}
