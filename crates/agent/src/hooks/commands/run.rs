//! Runs one command of a repository inside the sandbox.

use bytes::Bytes;
use hangar_protocol::{
    CallId,
    guest::{ExitStatus, WORKSPACE},
};
use serde_json::Value;
use tokio::sync::mpsc;

use super::format::{Command, Ran};
use crate::{
    limits,
    workspace::{Exec, SandboxPath, Workspace},
};

/// Where a question lies that is too long for a command line.
const DIRECTORY: &str = "/tmp/hangar-hooks";
/// Between standard output and standard error.
const BETWEEN: char = '\0';

/// Runs a command with a question on its standard input.
///
/// # Errors
/// Why there is no answer.
pub(super) async fn ask(
    workspace: &dyn Workspace,
    command: &Command,
    call: &CallId,
    question: &Value,
) -> Result<Ran, String> {
    let exec = Exec {
        command: script(&command.command, &given(workspace, call, question.to_string()).await?),
        cwd: SandboxPath::workspace(),
        env: vec![("CLAUDE_PROJECT_DIR".to_owned(), WORKSPACE.to_owned())],
        timeout: command.timeout,
    };
    // When the channel is full the command waits for us, never we for it.
    let (sender, receiver) = mpsc::channel(limits::OUTPUT_CHUNKS_AHEAD);
    let (exited, said) = tokio::join!(workspace.exec(exec, sender), collect(receiver));
    let exited = exited.map_err(|error| error.to_string())?;
    if exited.timed_out {
        return Err(format!("it took longer than {} s", command.timeout.as_secs()));
    }
    let code = match exited.status {
        ExitStatus::Code(code) => code,
        ExitStatus::Signal(signal) => return Err(format!("signal {signal} ended it")),
    };
    let said = String::from_utf8_lossy(&said);
    let (out, err) = said.split_once(BETWEEN).unwrap_or((&said, ""));
    Ok(Ran { code, out: out.to_owned(), err: err.to_owned() })
}

/// What it wrote, up to a limit; the rest is thrown away.
async fn collect(mut chunks: mpsc::Receiver<Bytes>) -> Vec<u8> {
    let mut said = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        let room = limits::HOOK_OUTPUT_BYTES_MAX - said.len();
        said.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    said
}

/// A command of the shell that prints the question.
async fn given(workspace: &dyn Workspace, call: &CallId, question: String) -> Result<String, String> {
    let inline = quoted(&question);
    if inline.len() <= limits::HOOK_QUESTION_INLINE_BYTES_MAX {
        return Ok(format!("printf %s {inline}"));
    }
    let name: String = call.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let file = SandboxPath::parse(&format!("{DIRECTORY}/{name}.json")).map_err(|fault| fault.to_string())?;
    workspace.write(&file, Bytes::from(question)).await.map_err(|error| error.to_string())?;
    Ok(format!("cat {file}"))
}

/// The command with its two outputs kept apart, and its own exit status.
fn script(command: &str, given: &str) -> String {
    let command = quoted(command);
    format!(
        "exec 3>&1; err=$({given} | bash -c {command} 2>&1 >&3 3>&-); status=$?; printf '\\0%s' \"$err\"; exit $status"
    )
}

/// A text as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
