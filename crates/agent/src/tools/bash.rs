//! `bash`: a shell command, waited for or in the background.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use hangar_protocol::guest::ExitStatus;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{CallContext, Effect, Tool, ToolError, ToolOutput, ToolSpec, arguments};
use crate::{
    jobs::Decoder,
    limits,
    turn::identity::with_hooks,
    workspace::{Exec, Exited, SandboxPath},
};

pub(super) struct Bash(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    command: String,
    #[serde(default)]
    cwd: Option<String>,
    #[serde(default)]
    timeout_s: Option<u64>,
    #[serde(default)]
    background: bool,
}

impl Bash {
    pub(super) fn new() -> Self {
        Self(ToolSpec {
            name: "bash",
            description: "Run a shell command with bash in the repository's root. Output and errors come back together; a failing command ends with its exit code. Each call is a new shell: nothing but files stays. There is no terminal and no input. background: true returns a job number at once; use the job tool for its output.",
            schema: json!({"type": "object", "required": ["command"], "properties": {
                "command": {"type": "string"},
                "cwd": {"type": "string"},
                "timeout_s": {"type": "integer", "minimum": 1, "maximum": limits::COMMAND_TIMEOUT_MAX.as_secs(), "description": "Default 120"},
                "background": {"type": "boolean"},
            }}),
        })
    }
}

#[async_trait]
impl Tool for Bash {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, _input: &Value) -> Effect {
        Effect::ChangesAnything
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let wish: Arguments = arguments(input)?;
        let cwd = SandboxPath::parse(wish.cwd.as_deref().unwrap_or("."))?;
        let timeout = match wish.timeout_s {
            _ if wish.background => limits::JOB_DURATION_MAX,
            Some(seconds) => Duration::from_secs(seconds.max(1)).min(limits::COMMAND_TIMEOUT_MAX),
            None => limits::COMMAND_TIMEOUT_DEFAULT,
        };
        let command = with_hooks(&wish.command, context.env).into_owned();
        let exec = Exec { command, cwd, env: context.env.to_vec(), timeout };
        if wish.background {
            let number = context.jobs.start(context.workspace().await?, exec)?;
            return Ok(ToolOutput::done(format!("Job {number} runs in the background.")));
        }
        foreground(context, exec).await
    }
}

async fn foreground(context: &CallContext<'_>, exec: Exec) -> Result<ToolOutput, ToolError> {
    let workspace = context.workspace().await?;
    let began = Instant::now();
    // When the channel is full the command waits for us, never we for it.
    let (sender, receiver) = mpsc::channel(limits::OUTPUT_CHUNKS_AHEAD);
    let timeout = exec.timeout;
    let (exited, mut text) = tokio::join!(workspace.exec(exec, sender), collect(context, receiver));
    let exited = exited?;
    if text.is_empty() {
        text.push_str("(no output)");
    }
    let note = ending(exited, began.elapsed(), timeout);
    if let Some(note) = &note {
        text.push_str(&format!("\n[{note}]"));
    }
    Ok(ToolOutput { text, ok: note.is_none(), image: None })
}

/// How a command failed, in words; `None` when it did not.
pub(super) fn ending(exited: Exited, took: Duration, timeout: Duration) -> Option<String> {
    match (exited.timed_out, exited.status) {
        (true, _) => Some(format!(
            "ended after its time limit of {} s; run it in the background or give it more time",
            timeout.as_secs()
        )),
        (false, ExitStatus::Code(0)) => None,
        (false, ExitStatus::Code(code)) => Some(format!("exit code {code} after {:.1} s", took.as_secs_f32())),
        (false, ExitStatus::Signal(signal)) => {
            Some(format!("ended by signal {signal} after {:.1} s", took.as_secs_f32()))
        }
    }
}

/// Takes a command's output, shows it live, and keeps it up to a limit.
async fn collect(context: &CallContext<'_>, mut chunks: mpsc::Receiver<Bytes>) -> String {
    let mut decoder = Decoder::default();
    let mut kept = String::new();
    let mut lost = 0;
    let mut show = |text: &str, kept: &mut String| {
        if kept.len() < limits::LIVE_BYTES_MAX && !text.is_empty() {
            context.sink.tool_output(context.call, u32::try_from(kept.len()).unwrap_or(u32::MAX), text);
        }
        if kept.len() + text.len() <= limits::SPILL_BYTES_MAX {
            kept.push_str(text);
        } else {
            lost += text.len();
        }
    };
    while let Some(chunk) = chunks.recv().await {
        show(&decoder.take(&chunk), &mut kept);
    }
    show(&decoder.finish(), &mut kept);
    if lost > 0 {
        kept.push_str(&format!("\n[{lost} more bytes of output were not kept]"));
    }
    kept
}
