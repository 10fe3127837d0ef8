//! What came of it: a row for each task, and their sum.

use std::time::Duration;

use hangar_protocol::{SessionId, SessionState};
use serde::Serialize;

use super::task::Task;
use crate::cli::{
    ended::Failure,
    table::{Cell, columns},
    terminal::{Look, Terminal},
    words,
};

/// What came of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Its check is content.
    Passed,
    /// Its check is not, or the session came to nothing.
    Failed,
    /// It could not begin: its package could not be had, or the server refused it. Says nothing about the agent.
    NotPrepared,
    /// Its check could not be made. Says nothing about the agent either.
    NotChecked,
}

/// One task.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    task: String,
    kind: String,
    package: String,
    verdict: Verdict,
    /// Why; empty where it passed.
    why: String,
    /// The agent's work; null where no session came to be.
    #[serde(flatten)]
    work: Option<Work>,
    /// How long the check took, its sandbox included.
    check_ms: Option<u64>,
}

/// What an agent did for it.
#[derive(Debug, Serialize)]
pub(super) struct Work {
    session: SessionId,
    model: String,
    agent: Option<String>,
    /// Requests to the model.
    steps: u32,
    tool_calls: u64,
    tokens: u64,
    cost_micro_usd: u64,
    /// From the request for the session to its turn's end.
    duration_ms: u64,
}

/// All of it. The shape is a contract: scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    passed: usize,
    failed: usize,
    /// Tasks that say nothing about the agent: not prepared, or not checked.
    without_verdict: usize,
    duration_ms: u64,
    tasks: Vec<Row>,
}

impl Row {
    pub(super) fn new(task: &Task, verdict: Verdict, why: String) -> Self {
        let package = &task.about.package;
        Self {
            task: task.name.clone(),
            kind: task.about.kind.clone(),
            package: format!("{} {}", package.name, package.version),
            verdict,
            why,
            work: None,
            check_ms: None,
        }
    }

    /// It, with what an agent did.
    pub(super) fn after(self, work: Work) -> Self {
        Self { work: Some(work), ..self }
    }

    /// It, with how long its check took.
    pub(super) fn checked_in(self, took: Duration) -> Self {
        Self { check_ms: Some(ms(took)), ..self }
    }

    /// It in a line, as it comes.
    pub(super) fn tell(&self, terminal: &mut Terminal) {
        let (look, word) = self.verdict.words();
        terminal.remark(look, &format!("{}: {word}{}", self.task, self.because()));
    }

    fn because(&self) -> String {
        if self.why.is_empty() { String::new() } else { format!(": {}", words::one_line(&self.why)) }
    }
}

impl Work {
    pub(super) fn of(state: &SessionState, took: Duration) -> Self {
        Self {
            session: state.id.clone(),
            model: state.model.clone(),
            agent: state.agent.clone(),
            steps: state.turns.iter().map(|turn| turn.steps + turn.gateway_requests).sum(),
            tool_calls: state.spent.tool_calls,
            tokens: state.spent.tokens,
            cost_micro_usd: state.cost_micro_usd,
            duration_ms: ms(took),
        }
    }
}

impl Verdict {
    fn words(self) -> (Look, &'static str) {
        match self {
            Self::Passed => (Look::Good, "passed"),
            Self::Failed => (Look::Bad, "failed"),
            Self::NotPrepared => (Look::Notice, "not prepared"),
            Self::NotChecked => (Look::Notice, "not checked"),
        }
    }
}

impl Report {
    pub(super) fn new(mut tasks: Vec<Row>, took: Duration) -> Self {
        tasks.sort_by(|one, other| one.task.cmp(&other.task));
        let count = |verdict| tasks.iter().filter(|row| row.verdict == verdict).count();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            passed: count(Verdict::Passed),
            failed: count(Verdict::Failed),
            without_verdict: count(Verdict::NotPrepared) + count(Verdict::NotChecked),
            duration_ms: ms(took),
            tasks,
        }
    }

    /// Whether every task ended so.
    pub(super) fn all(&self, verdict: Verdict) -> bool {
        self.tasks.iter().all(|row| row.verdict == verdict)
    }

    /// Prints it.
    pub(super) fn show(&self, terminal: &mut Terminal) -> Result<(), Failure> {
        if terminal.is_json() {
            return terminal.json(self);
        }
        let head = ["", "", "kind", "steps", "calls", "tokens", "cost", "time", ""];
        let head = head.map(|text| (Look::Faint, text.to_owned()));
        let rows: Vec<[Cell; 9]> = std::iter::once(head).chain(self.tasks.iter().map(cells)).collect();
        for line in columns(terminal.painter(), &rows) {
            terminal.line(&line)?;
        }
        let without = match self.without_verdict {
            0 => String::new(),
            some => format!(", {some} without a verdict"),
        };
        let took = words::duration(self.duration_ms);
        terminal.line(&format!("{} passed, {} failed{without} · {took}", self.passed, self.failed))
    }
}

fn ms(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

fn cells(row: &Row) -> [Cell; 9] {
    let (look, verdict) = row.verdict.words();
    let of = |part: &dyn Fn(&Work) -> String| (Look::Plain, row.work.as_ref().map(part).unwrap_or_default());
    [
        (Look::Strong, row.task.clone()),
        (look, verdict.to_owned()),
        (Look::Faint, row.kind.clone()),
        of(&|work| words::count(work.steps.into())),
        of(&|work| words::count(work.tool_calls)),
        of(&|work| words::count(work.tokens)),
        of(&|work| words::money(work.cost_micro_usd)),
        of(&|work| words::duration(work.duration_ms)),
        (Look::Plain, words::one_line(&row.why)),
    ]
}
