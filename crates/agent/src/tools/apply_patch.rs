//! `apply_patch`: several changes to several files in one call, in the format that models of OpenAI's are trained on.

use async_trait::async_trait;
use bytes::Bytes;
use hangar_protocol::guest::ExitStatus;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{CallContext, Effect, Tell, Tool, ToolError, ToolOutput, ToolSpec, arguments, read::whole_text};
use crate::{
    limits,
    workspace::{Exec, SandboxPath, WorkspaceError},
};

mod hunk;
mod parse;

use parse::{Change, Patch};

pub(super) struct ApplyPatch(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    patch: String,
}

impl ApplyPatch {
    pub(super) fn new() -> Self {
        Self(ToolSpec {
            name: "apply_patch",
            description: "Change several files, or several places of one, at once. Between `*** Begin Patch` and `*** End Patch`: `*** Add File: PATH` with every line behind +; `*** Delete File: PATH`; `*** Update File: PATH`, perhaps `*** Move to: PATH`, then hunks: `@@` (perhaps with a line above the place, such as a function's head), then lines behind a space (context, about 3 before and after), - (goes) or + (comes). No line numbers. Nothing is changed unless all of it fits.",
            schema: json!({"type": "object", "required": ["patch"], "properties": {"patch": {"type": "string"}}}),
        })
    }
}

/// Every path that a patch names, as far as it can be read: what it would change.
pub(crate) fn paths(input: &Value) -> Vec<SandboxPath> {
    let text = input.get("patch").and_then(Value::as_str).unwrap_or_default();
    parse::named_paths(text).filter_map(|path| SandboxPath::parse(path).ok()).collect()
}

/// What is to be done to the workspace once the whole patch is known to fit.
enum Step {
    Write { path: SandboxPath, content: String, told: String },
    Remove { path: SandboxPath, told: Option<String> },
}

#[async_trait]
impl Tool for ApplyPatch {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, input: &Value) -> Effect {
        match paths(input).as_slice() {
            [path] => Effect::Changes(path.clone()),
            _ => Effect::ChangesAnything,
        }
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { patch } = arguments(input)?;
        let patch = Patch::parse(&patch).map_err(|why| Tell(format!("The patch cannot be read: {why}")))?;
        let mut steps = Vec::new();
        for change in &patch.changes {
            plan(context, change, &mut steps).await?;
        }
        let mut done = String::from("Done:");
        for step in steps {
            let told = carry_out(context, step).await.map_err(|error| after(error, &done))?;
            done.extend(told.map(|told| format!("\n{told}")));
        }
        Ok(ToolOutput::done(done))
    }
}

/// Looks whether a change fits, and says what it comes to.
async fn plan(context: &CallContext<'_>, change: &Change<'_>, steps: &mut Vec<Step>) -> Result<(), ToolError> {
    match change {
        Change::Add { path, content } => {
            let path = SandboxPath::parse(path)?;
            if context.workspace().await?.stat(&path).await.is_ok() {
                let shown = path.shown();
                return Err(
                    Tell(format!("{shown} is there already: use *** Update File, or write to replace it.")).into()
                );
            }
            let told = format!("A {}", path.shown());
            steps.push(Step::Write { path, content: content.clone(), told });
        }
        Change::Delete { path } => {
            let path = SandboxPath::parse(path)?;
            // A file that is not there is told of before anything is changed.
            context.workspace().await?.stat(&path).await?;
            let told = Some(format!("D {}", path.shown()));
            steps.push(Step::Remove { path, told });
        }
        Change::Update { path, moved_to, hunks } => {
            let path = SandboxPath::parse(path)?;
            if steps.iter().any(|step| matches!(step, Step::Write { path: known, .. } if *known == path)) {
                return Err(Tell(format!("{} is named twice: put its hunks under one head.", path.shown())).into());
            }
            let text = whole_text(context, &path).await?;
            let content = hunk::apply(&text, hunks).map_err(|why| Tell(format!("{}: {why}", path.shown())))?;
            match moved_to {
                None => steps.push(Step::Write { content, told: format!("M {}", path.shown()), path }),
                Some(to) => {
                    let to = SandboxPath::parse(to)?;
                    let told = format!("M {} (was {})", to.shown(), path.shown());
                    steps.push(Step::Write { path: to, content, told });
                    steps.push(Step::Remove { path, told: None });
                }
            }
        }
    }
    Ok(())
}

async fn carry_out(context: &CallContext<'_>, step: Step) -> Result<Option<String>, ToolError> {
    let workspace = context.workspace().await?;
    match step {
        Step::Write { path, content, told } => {
            workspace.write(&path, Bytes::from(content)).await?;
            Ok(Some(told))
        }
        Step::Remove { path, told } => {
            let quoted = path.shown().replace('\'', r"'\''");
            let exec = Exec {
                command: format!("rm -- '{quoted}'"),
                cwd: SandboxPath::workspace(),
                env: Vec::new(),
                timeout: limits::COMMAND_TIMEOUT_DEFAULT,
            };
            let (sender, mut receiver) = mpsc::channel::<Bytes>(limits::OUTPUT_CHUNKS_AHEAD);
            let said = async {
                let mut said = Vec::new();
                while let Some(chunk) = receiver.recv().await {
                    said.extend_from_slice(&chunk);
                }
                String::from_utf8_lossy(&said).trim().to_owned()
            };
            let (exited, said): (Result<_, WorkspaceError>, String) = tokio::join!(workspace.exec(exec, sender), said);
            match exited?.status {
                ExitStatus::Code(0) => Ok(told),
                ExitStatus::Code(_) | ExitStatus::Signal(_) => Err(Tell(said).into()),
            }
        }
    }
}

/// An error in the middle of a patch says what was changed before.
fn after(error: ToolError, done: &str) -> ToolError {
    match error {
        ToolError::Tell(Tell(why)) if done.contains('\n') => {
            ToolError::Tell(Tell(format!("{why}\nThe patch was applied in part. {done}")))
        }
        error @ (ToolError::Tell(_) | ToolError::Fatal(_) | ToolError::Over(_)) => error,
    }
}
