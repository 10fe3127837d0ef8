//! A repository's own hooks: commands in the JSON format of Claude Code and Codex, which run inside the sandbox and nowhere else.
//!
//! ```text
//!   files of the session's base commit ──parse──▶ RepositoryHooks ──installed──▶ Bus ──ask──▶ command in the sandbox
//! ```
//!
//! Each hook of a file is one on the bus, with a name, a time and a meaning of its failure of its own, so that every decision and every fault is an
//! event. The files are read from the commit that a session began with (`session/src/brought.rs`): what is written into them during a session
//! has no effect in it. The commands run with the agent's own rights, so they are the repository's wishes and no lock: what must hold against an agent
//! that means harm is an administrator's plugin, the sandbox or the broker.
//!
//! The format is documented at <https://code.claude.com/docs/en/hooks> (matchers, standard input, exit codes, answers, `onFailure`), and Codex's own
//! schemas of it are in `codex-rs/hooks/schema/generated` of <https://github.com/openai/codex>. `docs/plugins.md` says what is heeded.

mod answer;
mod file;
mod matcher;
mod question;
mod tools;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use hangar_protocol::{
    HookPoint, OnFailure,
    event::ToolStatus,
    guest::{ExitStatus, WORKSPACE},
    limits::clip_bytes,
};
use serde_json::Value;
use tokio::time::timeout;

use super::{Hook, Installed, Occasion, Scene, ToolCall, Verdict};
use crate::{
    limits,
    workspace::{Begin, Exec, Exited, Piped, SandboxPath, Sandboxes, Workspace},
};
use answer::Ran;
use file::{Blocks, Command, Unusable};
use matcher::Matcher;

/// How much of a command is shown where it has failed.
const COMMAND_SHOWN_BYTES: usize = 100;

/// A time in the format at which a command may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    SessionStart,
    UserPromptSubmit,
    PreToolUse,
    PostToolUse,
    PostToolUseFailure,
    Stop,
}

impl Moment {
    const ALL: [Self; 6] = [
        Self::SessionStart,
        Self::UserPromptSubmit,
        Self::PreToolUse,
        Self::PostToolUse,
        Self::PostToolUseFailure,
        Self::Stop,
    ];

    /// Its name in files, questions and answers.
    fn name(self) -> &'static str {
        match self {
            Self::SessionStart => "SessionStart",
            Self::UserPromptSubmit => "UserPromptSubmit",
            Self::PreToolUse => "PreToolUse",
            Self::PostToolUse => "PostToolUse",
            Self::PostToolUseFailure => "PostToolUseFailure",
            Self::Stop => "Stop",
        }
    }

    fn point(self) -> HookPoint {
        match self {
            Self::SessionStart => HookPoint::SessionStart,
            Self::UserPromptSubmit => HookPoint::PromptSubmit,
            Self::PreToolUse => HookPoint::ToolExecuteBefore,
            Self::PostToolUse | Self::PostToolUseFailure => HookPoint::ToolExecuteAfter,
            Self::Stop => HookPoint::TurnEnd,
        }
    }

    /// Whether this is the moment, and about something that the matcher fits.
    fn is(self, occasion: Occasion<'_>, matcher: &Matcher) -> bool {
        match occasion {
            Occasion::SessionStart => matcher.fits(&[question::SOURCE]),
            Occasion::ToolExecuteBefore(call) | Occasion::PermissionAsk(call) => {
                matcher.fits(&tools::names(&call.name))
            }
            Occasion::ToolExecuteAfter(call, result) => {
                let moment = match result.status {
                    ToolStatus::Ok => Self::PostToolUse,
                    ToolStatus::Error | ToolStatus::Interrupted => Self::PostToolUseFailure,
                };
                self == moment && matcher.fits(&tools::names(&call.name))
            }
            // These have no matcher.
            Occasion::PromptSubmit { .. } | Occasion::ContextInject | Occasion::TurnEnd { .. } => true,
        }
    }
}

/// The hooks that a commit of a repository has.
#[derive(Debug, Default)]
pub struct RepositoryHooks {
    commands: Vec<Arc<Command>>,
    unusable: Vec<Unusable>,
}

impl RepositoryHooks {
    /// What their names begin with in events; those of plugins cannot. The file, the moment and the hook's place in it follow.
    pub const PREFIX: &str = "repository:";

    /// Files in which hooks stand, in the order in which they are asked.
    pub const FILES: [&str; 3] = [".claude/settings.json", ".codex/hooks.json", ".hangar/hooks.json"];

    /// The hooks of these files, each with its content, or why there is none to read. What cannot be used is told when the session begins; where it says that
    /// its failure blocks, it refuses what it was to be asked about.
    #[must_use]
    pub fn parse(files: &[(&str, Result<Vec<u8>, String>)]) -> Self {
        let mut hooks = Self::default();
        for (file, content) in files {
            let read = content.clone().and_then(|text| file::read(file, &text));
            match read {
                Ok(found) => {
                    hooks.commands.extend(found.commands.into_iter().map(Arc::new));
                    hooks.unusable.extend(found.unusable);
                }
                Err(fault) => hooks.unusable.push(Unusable::file(file, &fault)),
            }
        }
        for command in hooks.commands.split_off(limits::HOOKS_MAX.min(hooks.commands.len())) {
            let fault = format!("only {} hooks are heeded", limits::HOOKS_MAX);
            hooks.unusable.push(Unusable { name: command.name.clone(), fault, blocks: command.blocks() });
        }
        hooks
    }

    /// Whether nothing is to be asked or told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.unusable.is_empty()
    }

    /// The hooks, in their order, for a bus. Their commands run in the workspace of `sandboxes`, which is asked for only when a hook fits.
    #[must_use]
    pub fn installed(&self, sandboxes: &Arc<dyn Sandboxes>) -> Vec<Installed> {
        let unusable = self.unusable.iter().map(Unusable::installed);
        let commands = self.commands.iter().map(|command| Installed {
            plugin: command.name.clone(),
            hook: Arc::new(CommandHook { command: Arc::clone(command), sandboxes: Arc::clone(sandboxes) }),
            on_failure: command.on_failure,
            // The command's own time is kept by the sandbox, and counts from when it begins.
            deadline: limits::HOOK_SANDBOX_WAIT_MAX + command.timeout,
        });
        unusable.chain(commands).collect()
    }
}

impl Unusable {
    fn installed(&self) -> Installed {
        let Self { name, fault, blocks } = self;
        let on_failure = if blocks.is_some() { OnFailure::Closed } else { OnFailure::Open };
        Installed {
            plugin: name.clone(),
            hook: Arc::new(Faulty { blocks: blocks.clone(), fault: fault.clone() }),
            on_failure,
            deadline: limits::OWN_HOOK_DEADLINE,
        }
    }
}

impl Installed {
    /// Tells when a session begins why a file of the repository cannot be used. Nothing is refused for it.
    pub(crate) fn fault_of(file: &str, fault: &str) -> Self {
        Unusable::file(file, fault).installed()
    }
}

/// What stands in a file and cannot be asked: it fails where it blocks, and else where the session begins.
struct Faulty {
    blocks: Option<Blocks>,
    fault: String,
}

#[async_trait]
impl Hook for Faulty {
    fn listens(&self, point: HookPoint) -> bool {
        point == self.blocks.as_ref().map_or(HookPoint::SessionStart, |blocks| blocks.moment.point())
    }

    async fn ask(&self, _scene: &Scene, occasion: Occasion<'_>) -> Result<Verdict, String> {
        let passes = |blocks: &Blocks| !blocks.moment.is(occasion, &blocks.matcher);
        if self.blocks.as_ref().is_some_and(passes) { Ok(Verdict::Allow) } else { Err(self.fault.clone()) }
    }
}

/// One command of a repository, for one turn.
struct CommandHook {
    command: Arc<Command>,
    sandboxes: Arc<dyn Sandboxes>,
}

#[async_trait]
impl Hook for CommandHook {
    fn listens(&self, point: HookPoint) -> bool {
        self.command.moment.point() == point
    }

    async fn ask(&self, scene: &Scene, occasion: Occasion<'_>) -> Result<Verdict, String> {
        let moment = self.command.moment;
        if !moment.is(occasion, &self.command.matcher) {
            return Ok(Verdict::Allow);
        }
        let shown = clip_bytes(&self.command.command, COMMAND_SHOWN_BYTES);
        let answered = match occasion {
            Occasion::ToolExecuteBefore(call) | Occasion::PermissionAsk(call) | Occasion::ToolExecuteAfter(call, _) => {
                self.ask_about_call(scene, call, occasion).await
            }
            Occasion::SessionStart
            | Occasion::PromptSubmit { .. }
            | Occasion::ContextInject
            | Occasion::TurnEnd { .. } => {
                let question = question::about(moment, scene, occasion, &Value::Null);
                let mut left = self.command.timeout;
                match self.run(&question, Begin::Writable, &mut left).await {
                    Ok(ran) => answer::verdict(moment, &ran, &mut |_| Err(answer::NO_INPUT.to_owned())),
                    Err(fault) => Err(fault),
                }
            }
        };
        answered.map_err(|fault| format!("{shown}: {fault}"))
    }
}

impl CommandHook {
    /// Asks about a call. A patch is asked about file by file: hooks that guard paths look at one `file_path`.
    async fn ask_about_call(&self, scene: &Scene, call: &ToolCall, occasion: Occasion<'_>) -> Result<Verdict, String> {
        let moment = self.command.moment;
        let inputs = tools::shown_inputs(&call.name, &call.input);
        if inputs.len() > limits::HOOK_PATCH_FILES_MAX {
            return Err(format!("it is asked about patches of at most {} files", limits::HOOK_PATCH_FILES_MAX));
        }
        // What only reads is asked about while a sync is under way, in a workspace that is read only then.
        let begin = if call.mutates { Begin::Writable } else { Begin::AtOnce };
        let mut left = self.command.timeout;
        let mut verdicts = Vec::new();
        for input in &inputs {
            let question = question::about(moment, scene, occasion, input);
            let ran = self.run(&question, begin, &mut left).await?;
            let mut own = |updated| match inputs.len() {
                1 => Ok(tools::own_input(&call.name, &call.input, updated)),
                _ => Err("updatedInput cannot be used for a patch of several files".to_owned()),
            };
            let verdict = answer::verdict(moment, &ran, &mut own)?;
            let refuses = answer::refuses(&verdict);
            verdicts.push(verdict);
            if refuses {
                break;
            }
        }
        Ok(answer::joined(verdicts))
    }

    /// Runs the command in the sandbox, within what is left of its time.
    async fn run(&self, question: &Value, begin: Begin, left: &mut Duration) -> Result<Ran, String> {
        let workspace = self.workspace().await?;
        let exec = Exec {
            command: self.command.command.clone(),
            cwd: SandboxPath::workspace(),
            env: vec![("CLAUDE_PROJECT_DIR".to_owned(), WORKSPACE.to_owned())],
            timeout: *left,
        };
        let input = Bytes::from(question.to_string());
        let piped = Piped { exec, input, begin, output_bytes_max: limits::HOOK_OUTPUT_BYTES_MAX };
        let said = workspace.pipe(piped).await.map_err(|error| error.to_string())?;
        let Some(Exited { status, timed_out }) = said.exited else {
            return Err(format!("it wrote more than {} KiB", limits::HOOK_OUTPUT_BYTES_MAX / 1024));
        };
        *left = left.saturating_sub(said.took);
        if timed_out || left.is_zero() {
            return Err(format!("it took longer than {} s", self.command.timeout.as_secs()));
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match status {
            ExitStatus::Code(code) => Ok(Ran { code, out: text(&said.stdout), err: text(&said.stderr) }),
            ExitStatus::Signal(signal) => Err(format!("signal {signal} ended it")),
        }
    }

    async fn workspace(&self) -> Result<Arc<dyn Workspace>, String> {
        match timeout(limits::HOOK_SANDBOX_WAIT_MAX, self.sandboxes.workspace()).await {
            Ok(workspace) => workspace.map_err(|error| error.to_string()),
            Err(_) => Err(format!("there was no sandbox within {} s", limits::HOOK_SANDBOX_WAIT_MAX.as_secs())),
        }
    }
}

impl Command {
    /// What its failure blocks.
    fn blocks(&self) -> Option<Blocks> {
        let Self { moment, matcher, .. } = self;
        (self.on_failure == OnFailure::Closed).then(|| Blocks { moment: *moment, matcher: matcher.clone() })
    }
}
