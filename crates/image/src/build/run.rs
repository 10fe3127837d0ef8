//! Runs a step in a sandbox.

use std::{collections::BTreeMap, time::Duration};

use hangar_sandbox::{Ended, Error, ExecSpec, ExitStatus, LimitHit, Sandbox};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::failure::{BuildFailure, Exit, FailedLine, Passing};
use crate::{
    log::BuildLog,
    recipe::{Shell, Step},
};

/// Where a strict script writes the command that failed. In memory, so that it is in no layer.
const FAILED_AT: &str = "/tmp/.hangar-failed-at";
/// Longest command that is told.
const COMMAND_BYTES_MAX: u64 = 300;

/// What goes before a strict script, on its first line so that its line numbers stay its own.
fn strict(script: &str) -> String {
    format!(
        "if [ -n \"${{BASH_VERSION:-}}\" ]; then set -E -o pipefail; \
         trap 'printf \"%s %s\" \"$LINENO\" \"$BASH_COMMAND\" >{FAILED_AT}' ERR; fi; set -e; {script}"
    )
}

/// A sandbox with the environment that its commands get and the log that hears them.
pub(crate) struct Room<'a> {
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) log: &'a BuildLog,
    /// When the whole build must be over.
    pub(crate) deadline: Instant,
    pub(crate) cancel: &'a CancellationToken,
}

impl Room<'_> {
    /// Runs a step to its end. What it leaves running goes on, until everything is ended before the layer is frozen.
    pub(crate) async fn run(&self, step: &Step) -> Result<(), BuildFailure> {
        self.log.say(&format!("── {}", step.name));
        self.log.begin_step();
        let left = self.deadline.saturating_duration_since(Instant::now());
        let allowed = Duration::from_secs(u64::from(step.seconds_max)).min(left);
        if allowed.is_zero() {
            return Err(self.out_of_time(step));
        }
        // What an earlier step left there would be told in the wrong place.
        drop(self.sandbox.write(FAILED_AT, b"").await);
        let ran = tokio::select! {
            ran = self.execute(step, allowed) => ran,
            () = self.cancel.cancelled() => return Err(BuildFailure::passing(&step.name, "it was cancelled")),
        };
        let ended = ran.map_err(|error| BuildFailure::passing(&step.name, error))?;
        if ended.status.success() {
            return Ok(());
        }
        let mut failure = self.explained(step, &ended, left).await;
        failure.last_lines = self.log.last_lines();
        Err(failure)
    }

    async fn execute(&self, step: &Step, allowed: Duration) -> Result<Ended, Error> {
        let mut exec = self.sandbox.exec_stream(&self.spec(step, allowed)).await?;
        while let Some(chunk) = exec.next().await? {
            self.log.add(&chunk.bytes);
        }
        exec.ended().ok_or(Error::Gone)
    }

    fn spec(&self, step: &Step, allowed: Duration) -> ExecSpec {
        let script = match step.shell {
            Shell::Strict => strict(&step.script),
            Shell::Plain => step.script.clone(),
        };
        let spec = ExecSpec::shell(script).cwd(directory(step));
        let spec = spec.timeout_ms(u64::try_from(allowed.as_millis()).unwrap_or(u64::MAX));
        self.env.iter().chain(&step.env).fold(spec, |spec, (name, value)| spec.env(name, value))
    }

    async fn explained(&self, step: &Step, ended: &Ended, left: Duration) -> BuildFailure {
        if ended.timed_out && left <= Duration::from_secs(u64::from(step.seconds_max)) {
            return self.out_of_time(step);
        }
        let at = match step.shell {
            Shell::Strict => self.failed_at().await,
            Shell::Plain => None,
        };
        let seconds = step.seconds_max;
        let (exit, what, passing) = match (ended.timed_out, ended.limit, ended.status) {
            (true, _, _) => {
                let what = format!(
                    "it did not end within {seconds} s; give the step a longer `timeout`, or find what it waits for"
                );
                (Exit::TimedOut, what, Passing::Lasting)
            }
            (_, Some(LimitHit::Memory), status) => {
                (exit(status), "it needed more memory than a build has".into(), Passing::Lasting)
            }
            (_, Some(LimitHit::Processes), status) => {
                (exit(status), "it made more processes than a build may have".into(), Passing::Lasting)
            }
            (_, Some(LimitHit::HostDisk), status) => {
                let what = "the disk is full; free some space, the build is tried again";
                (exit(status), what.into(), Passing::Passing)
            }
            (_, Some(LimitHit::Disk), status) => {
                (exit(status), "it wrote more than a build may keep on disk".into(), Passing::Lasting)
            }
            (_, None, ExitStatus::Code(127)) => {
                let what =
                    "a program is missing in the base (exit code 127); install it in `setup`, or choose another `base`";
                (Exit::Code(127), what.into(), Passing::Lasting)
            }
            (_, None, ExitStatus::Code(code)) => (Exit::Code(code), format!("exit code {code}"), Passing::Lasting),
            (_, None, ExitStatus::Signal(signal)) => {
                (Exit::Signal(signal), format!("ended by signal {signal}"), Passing::Lasting)
            }
        };
        BuildFailure { step: step.name.clone(), what, exit: Some(exit), at, last_lines: Vec::new(), passing }
    }

    async fn failed_at(&self) -> Option<FailedLine> {
        let content = self.sandbox.read(FAILED_AT, 0, COMMAND_BYTES_MAX).await.ok()?;
        let text = String::from_utf8_lossy(&content.bytes).into_owned();
        let (line, command) = text.split_once(' ')?;
        Some(FailedLine { line: line.parse().ok()?, command: command.trim().to_owned() })
    }

    fn out_of_time(&self, step: &Step) -> BuildFailure {
        let mut failure = BuildFailure::lasting(&step.name, "the whole build took longer than it may");
        failure.exit = Some(Exit::TimedOut);
        failure.last_lines = self.log.last_lines();
        failure
    }
}

fn exit(status: ExitStatus) -> Exit {
    match status {
        ExitStatus::Code(code) => Exit::Code(code),
        ExitStatus::Signal(signal) => Exit::Signal(signal),
    }
}

/// Where a step runs.
pub(crate) fn directory(step: &Step) -> &str {
    if step.directory.is_empty() { hangar_protocol::guest::WORKSPACE } else { &step.directory }
}
