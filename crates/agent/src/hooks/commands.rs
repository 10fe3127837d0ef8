//! `repository.hooks`: commands that a repository wants to be asked about calls, in the format of Claude Code and Codex.
//!
//! They come with the repository, so they run inside the sandbox alone, with the agent's own rights, and their failure passes: they are the
//! repository's courtesy to itself and no guard. Guards are plugins of the server.

mod format;
mod run;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use hangar_protocol::{HookPoint, event::ToolStatus};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{Hook, Occasion, Scene, ToolCall, ToolResult, Verdict};
use crate::{
    limits,
    workspace::{SandboxPath, Sandboxes, Workspace, WorkspaceError},
};
use format::{Command, Moment};

/// Where commands are looked for, in the order in which they are asked.
const FILES: [&str; 3] = [".claude/settings.json", ".codex/hooks.json", ".hangar/hooks.json"];
/// A tool that only keeps notes, and needs no sandbox.
const NOTES: &str = "todo";

/// The commands of the repository in one session's sandbox, as they stand when the turn's first call is asked about.
pub struct CommandHooks {
    sandboxes: Arc<dyn Sandboxes>,
    found: OnceCell<Found>,
}

/// What the files say.
struct Found {
    commands: Vec<Command>,
    /// What is wrong with them; told once.
    fault: Option<String>,
    told: AtomicBool,
}

impl CommandHooks {
    /// The plugin's name in events.
    pub const PLUGIN: &str = "repository.hooks";

    /// Commands of whatever repository is in this sandbox.
    #[must_use]
    pub fn new(sandboxes: Arc<dyn Sandboxes>) -> Self {
        Self { sandboxes, found: OnceCell::new() }
    }

    /// The sandbox, and what its files say; `None` where it is not there, which the call itself will meet and tell.
    async fn ready(&self) -> Option<(Arc<dyn Workspace>, &Found)> {
        let workspace = self.sandboxes.workspace().await.ok()?;
        let found = self.found.get_or_try_init(|| find(&*workspace)).await.ok()?;
        Some((workspace, found))
    }

    async fn before(&self, scene: &Scene, call: &ToolCall) -> Result<Verdict, String> {
        let Some((workspace, found)) = self.ready().await else { return Ok(Verdict::Allow) };
        let mut input = call.input.clone();
        let mut fault = found.news();
        for command in found.commands.iter().filter(|command| command.wants(Moment::Before, &call.name)) {
            let question = format::before(scene, call, &input);
            match run::ask(&*workspace, command, &call.call, &question).await.and_then(|ran| format::answer(&ran)) {
                Ok(answer) => {
                    if let Some(words) = answer.refused {
                        return Ok(Verdict::Deny(words));
                    }
                    if let Some(updated) = answer.input {
                        input = format::own_arguments(&call.input, updated);
                    }
                }
                Err(reason) => fault = fault.or(Some(format!("{}: {reason}", command.shown()))),
            }
        }
        match fault {
            _ if input != call.input => Ok(Verdict::Arguments(input)),
            Some(fault) => Err(fault),
            None => Ok(Verdict::Allow),
        }
    }

    async fn after(&self, scene: &Scene, call: &ToolCall, result: &ToolResult) -> Result<Verdict, String> {
        let Some((workspace, found)) = self.ready().await else { return Ok(Verdict::Allow) };
        let mut said = Vec::new();
        let mut fault = found.news();
        for command in found.commands.iter().filter(|command| command.wants(Moment::After, &call.name)) {
            let question = format::after(scene, call, &result.output, result.status == ToolStatus::Ok);
            match run::ask(&*workspace, command, &call.call, &question).await.and_then(|ran| format::answer(&ran)) {
                Ok(answer) => said.extend(answer.refused.into_iter().chain(answer.context)),
                Err(reason) => fault = fault.or(Some(format!("{}: {reason}", command.shown()))),
            }
        }
        match fault {
            _ if !said.is_empty() => {
                let notes: String =
                    said.iter().map(|words| format!("\n\n[a hook of the repository says:]\n{words}")).collect();
                Ok(Verdict::Output(format!("{}{notes}", result.output)))
            }
            Some(fault) => Err(fault),
            None => Ok(Verdict::Allow),
        }
    }
}

#[async_trait]
impl Hook for CommandHooks {
    fn listens(&self, point: HookPoint) -> bool {
        match point {
            HookPoint::ToolExecuteBefore | HookPoint::ToolExecuteAfter => true,
            HookPoint::SessionStart | HookPoint::PromptSubmit | HookPoint::ContextInject | HookPoint::TurnEnd => false,
        }
    }

    async fn ask(&self, scene: &Scene, occasion: Occasion<'_>) -> Result<Verdict, String> {
        match occasion {
            Occasion::ToolExecuteBefore(call) if call.name != NOTES => self.before(scene, call).await,
            Occasion::ToolExecuteAfter(call, result) if call.name != NOTES => self.after(scene, call, result).await,
            Occasion::ToolExecuteBefore(_)
            | Occasion::ToolExecuteAfter(..)
            | Occasion::SessionStart
            | Occasion::PromptSubmit { .. }
            | Occasion::ContextInject
            | Occasion::TurnEnd => Ok(Verdict::Allow),
        }
    }
}

impl Found {
    /// What is wrong, the first time.
    fn news(&self) -> Option<String> {
        self.fault.clone().filter(|_| !self.told.swap(true, Ordering::Relaxed))
    }
}

/// Reads the files; one that is not there has no commands.
///
/// # Errors
/// When the sandbox went away.
async fn find(workspace: &dyn Workspace) -> Result<Found, WorkspaceError> {
    let read = FILES.map(|file| async move {
        let Ok(path) = SandboxPath::parse(file) else { return Ok(None) };
        match workspace.read(&path, 0, limits::HOOK_FILE_BYTES_MAX).await {
            Ok(content) => Ok(Some((file, content))),
            Err(WorkspaceError::Failed(_)) => Ok(None),
            Err(lost @ WorkspaceError::Lost(_)) => Err(lost),
        }
    });
    let mut found = Found { commands: Vec::new(), fault: None, told: AtomicBool::new(false) };
    for content in futures::future::try_join_all(read).await? {
        let Some((file, content)) = content else { continue };
        let commands = match content.size > limits::HOOK_FILE_BYTES_MAX {
            true => Err(format!("it is larger than {} bytes", limits::HOOK_FILE_BYTES_MAX)),
            false => serde_json::from_slice::<Value>(&content.bytes)
                .map_err(|error| error.to_string())
                .and_then(|settings| format::commands(file, &settings)),
        };
        match commands {
            Ok(commands) => found.commands.extend(commands),
            Err(fault) => found.fault = found.fault.or(Some(format!("{file} cannot be used: {fault}"))),
        }
    }
    found.commands.truncate(limits::HOOK_COMMANDS_MAX);
    Ok(found)
}
