//! `hangar eval`: small real tasks for an agent, each judged by a check that the agent has not seen.
//!
//! ```text
//! package ──fetched, hash──▶ repository eval/TASK ──session, wish──▶ diff
//! diff ──what counts──▶ branch of eval-checks/all ──session, hook──▶ verdict
//! ```

mod attempt;
mod changes;
mod check;
mod ground;
mod package;
mod recorded;
mod report;
mod task;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use futures::StreamExt as _;
use hangar_client::{Client, Settings};
use hangar_protocol::{Refusal, RefusalCode, limits::clip};
use serde_json::json;
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

use self::{
    attempt::{Contest, Worker},
    ground::Ground,
    report::{Report, Row, Verdict},
    task::Task,
};
use super::{
    ended::{Ended, Failure, Outcome},
    own_server::OwnServer,
    table::{Cell, columns},
    terminal::{Look, Terminal},
    words,
};

/// Of a wish, a list shows its beginning.
const WISH_CHARS_MAX: usize = 90;

/// Let an agent work on small real tasks and judge what it made of them.
///
/// Each task is a published package with something to do in it. A session works on it like on any repository; then its changes are
/// judged in a sandbox of their own, by a check that the agent has not seen. Needs what the tasks' packages are fetched with
/// (cargo, npm, pip) and the right to add repositories: each task is one, eval/TASK.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar eval --list
  hangar eval --model anthropic/claude-sonnet-4-5
  hangar eval strsim-fix ms-weeks --agent codex --jobs 2
  hangar eval --own --json > result.json          on a server that it starts, and ends afterwards
  hangar eval --recorded                          plays prepared solutions, without any model

Exit status: 0 when every task passed, 11 when one did not")]
pub(super) struct Eval {
    /// The tasks [default: all].
    #[arg(value_name = "TASK")]
    named: Vec<String>,

    /// The model, as provider/model [default: the server's].
    #[arg(long, value_name = "M")]
    model: Option<String>,

    /// An external agent of the server, by its id [default: hangar's own].
    #[arg(long, value_name = "A")]
    agent: Option<String>,

    /// How many tasks are worked on at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=32))]
    jobs: u32,

    /// How long an agent may take for a task, in minutes.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=240))]
    minutes: u32,

    /// Start a server in a temporary directory, and end it afterwards. It offers the models that `hangar up` would.
    #[arg(long)]
    own: bool,

    /// The configuration of that server.
    #[arg(long, value_name = "FILE", requires = "own")]
    config: Option<PathBuf>,

    /// Play recordings of the tasks by the scripted model, on a server of its own.
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "recording",
        conflicts_with_all = ["model", "agent", "own"])]
    recorded: Option<String>,

    /// Let nobody work on them: every check must fail. For whoever writes tasks; on a server of its own.
    #[arg(long, conflicts_with_all = ["model", "agent", "own", "recorded"])]
    untouched: bool,

    /// List the tasks and return.
    #[arg(long)]
    list: bool,

    /// A folder of tasks [default: those that come with hangar].
    #[arg(long, value_name = "DIR")]
    tasks: Option<PathBuf>,
}

impl Eval {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let tasks = task::chosen(task::tasks(self.tasks.as_deref())?, &self.named)?;
        if self.list {
            return list(&tasks, terminal);
        }
        let expected = if self.untouched { Verdict::Failed } else { Verdict::Passed };
        let Some(report) = self.hold(&tasks, terminal).await? else {
            terminal.remark(Look::Faint, "You left; sessions that have begun go on, where their server does.");
            return Ok(Ended::Interrupted);
        };
        report.show(terminal)?;
        Ok(if report.all(expected) { Ended::Well } else { Ended::TurnFailed })
    }

    /// Lets them be worked on, on a server of its own or the one this terminal is signed in to. `None` where the person left.
    async fn hold(&self, tasks: &[Task], terminal: &mut Terminal) -> Result<Option<Report>, Failure> {
        if !(self.own || self.untouched || self.recorded.is_some()) {
            let server = Settings::discover()?;
            let client = Client::new(&server.url, server.token.clone())?;
            return unless_left(self.hold_at(&client, server.token.reveal(), tasks, terminal)).await;
        }
        let folder = tempfile::Builder::new().prefix("hangar-eval-").tempdir()?;
        terminal.remark(Look::Faint, "Starting a server …");
        let server = self.start(folder.path(), tasks).await?;
        let report = unless_left(self.hold_at(&server.client, &server.token, tasks, terminal)).await;
        server.end().await;
        report
    }

    async fn start(&self, folder: &Path, tasks: &[Task]) -> Result<OwnServer, Failure> {
        let played = self.recorded.as_deref().map(|recording| recorded::transcript(tasks, recording)).transpose()?;
        let scripted = folder.join("hangar.toml");
        if played.is_some() || self.untouched {
            let transcript = folder.join("recordings.json");
            let played = played.unwrap_or_else(|| json!({"name": "nobody", "scripts": []}));
            fs::write(&transcript, played.to_string())?;
            fs::write(&scripted, format!("scripted_transcript = {:?}\n", transcript.display().to_string()))?;
        }
        let surround = |command: &mut Command| {
            if scripted.is_file() {
                // Nothing but what is played.
                command.arg("--config").arg(&scripted);
                let set = std::env::vars_os().map(|(name, _)| name);
                for name in set.filter(|name| name.to_str().is_some_and(chooses)) {
                    command.env_remove(name);
                }
            } else if let Some(config) = &self.config {
                command.arg("--config").arg(config);
            }
        };
        OwnServer::start(folder, surround, |what, error| cannot(what, &error)).await
    }

    async fn hold_at(
        &self,
        client: &Client,
        token: &str,
        tasks: &[Task],
        terminal: &mut Terminal,
    ) -> Result<Report, Failure> {
        let ground = Ground::prepare(client, token).await?;
        let model = match self.recorded {
            Some(_) => Some(recorded::MODEL.to_owned()),
            None => self.model.clone(),
        };
        let limit = Duration::from_secs(u64::from(self.minutes) * 60);
        let worker =
            if self.untouched { Worker::Nobody } else { Worker::Agent { model, agent: self.agent.clone(), limit } };
        let contest = Contest { client, ground: &ground, worker };
        let began = Instant::now();
        let mut ended =
            futures::stream::iter(tasks).map(|task| contest.carry_out(task)).buffer_unordered(self.jobs as usize);
        let mut rows: Vec<Row> = Vec::new();
        while let Some(row) = ended.next().await {
            row.tell(terminal);
            rows.push(row);
        }
        Ok(Report::new(rows, began.elapsed()))
    }
}

/// What comes of it; `None` where the person leaves before.
async fn unless_left(held: impl Future<Output = Result<Report, Failure>>) -> Result<Option<Report>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        report = held => report.map(Some),
        left = tokio::signal::ctrl_c() => Ok(left.map(|()| None)?),
        _ = terminate.recv() => Ok(None),
    }
}

/// Whether a variable could choose another model, or anything else of the server.
fn chooses(name: &str) -> bool {
    name.starts_with("HANGAR_") || name.ends_with("_API_KEY")
}

fn list(tasks: &[Task], terminal: &mut Terminal) -> Outcome {
    if terminal.is_json() {
        let listed: Vec<_> = tasks
            .iter()
            .map(|Task { name, about, .. }| {
                let package = &about.package;
                json!({
                    "task": name, "kind": about.kind, "wish": about.wish.trim(), "registry": package.registry,
                    "package": package.name, "version": package.version, "license": package.license,
                })
            })
            .collect();
        terminal.json(&listed)?;
        return Ok(Ended::Well);
    }
    let rows: Vec<[Cell; 4]> = tasks.iter().map(listed).collect();
    for line in columns(terminal.painter(), &rows) {
        terminal.line(&line)?;
    }
    Ok(Ended::Well)
}

fn listed(task: &Task) -> [Cell; 4] {
    let package = &task.about.package;
    [
        (Look::Strong, task.name.clone()),
        (Look::Plain, task.about.kind.clone()),
        (Look::Place, format!("{} {}", package.name, package.version)),
        (Look::Faint, clip(&words::one_line(&task.about.wish), WISH_CHARS_MAX)),
    ]
}

fn cannot(what: &str, error: &str) -> Failure {
    let message = format!("hangar eval cannot {what}: {error}.");
    Refusal::new(RefusalCode::Unavailable, message, "`hangar doctor` says what is missing.").into()
}
