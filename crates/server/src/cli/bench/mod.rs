//! `hangar bench`: how fast this machine is at what people wait for, each figure beside its floor from the same run.
//!
//! A floor is the least that any program must do for the same promise (an fsync, a request over loopback). A ratio to it holds on a
//! noisy machine where an absolute time does not.

mod append;
mod bare_loop;
mod density;
mod first_read;
mod keystroke;
mod pace_model;
mod plugins;
mod process;
mod prompt;
mod row;
mod sandbox;
mod snapshot;
mod sockets;
mod stream;
mod stub_model;

use clap::{Args, ValueEnum};
use hangar_protocol::{Refusal, RefusalCode};
use serde::Serialize;

use self::row::Row;
use super::{
    ended::{Ended, Failure, Outcome},
    table::{Cell, columns},
    terminal::{Look, Terminal},
};

/// Tool calls with a plugin of each kind: each takes a session of its own.
const PLUGIN_ROUNDS_MAX: u32 = 50;

/// Measure this machine: each figure with its floor and the ratio, measured in the same run.
///
/// Starts a server of its own in a temporary directory and removes both afterwards. Use a release build.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar bench prompt
  hangar bench sandbox --rounds 100
  hangar bench snapshot --rounds 60
  hangar bench density
  hangar bench prompt --json | jq '.rows[] | {name, p50, ratio, ok}'")]
pub(super) struct Bench {
    /// What to measure.
    suite: Suite,

    /// How often each thing is measured.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    rounds: u32,

    /// Be the floor of fan-out: a loop that sends frames and does nothing else.
    #[arg(long, hide = true, value_name = "GROUPS,BYTES,PER_SECOND")]
    bare: Option<bare_loop::Pace>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Suite {
    /// From a prompt to the model's first request, and to the first tool's result, with plugins and without.
    Prompt,
    /// Sandboxes: claims, commands, pauses, slots, other programs with the same task, the way from a keystroke to the newest commits, and how soon a session reads.
    Sandbox,
    /// Snapshots, restores and forks, in workspaces of 10 MB and 1 GB.
    Snapshot,
    /// Streams: bytes for each byte of text, fan-out to many readers, durable events a second.
    Stream,
    /// Idle connections and sleeping sessions: their memory, and how fast one wakes.
    Density,
}

/// What a suite found. The shape is a contract: scripts read it.
#[derive(Debug, Serialize)]
struct Report {
    suite: Suite,
    machine: Machine,
    rows: Vec<Row>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
struct Machine {
    cpus: usize,
    kernel: String,
    build: &'static str,
}

impl Bench {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        if let Some(pace) = self.bare {
            bare_loop::run(pace, |address| terminal.line(address)).await?;
            return Ok(Ended::Well);
        }
        if cfg!(debug_assertions) {
            terminal.remark(Look::Faint, "This is a debug build: its figures say little. Build with --release.");
        }
        let rows = match self.suite {
            Suite::Prompt => {
                let mut rows = prompt::measure(self.rounds, terminal).await?;
                rows.extend(plugins::measure(self.rounds.min(PLUGIN_ROUNDS_MAX), terminal).await?);
                rows
            }
            Suite::Sandbox => sandbox::measure(self.rounds, terminal).await?,
            Suite::Snapshot => snapshot::measure(self.rounds, terminal).await?,
            Suite::Stream => stream::measure(self.rounds, terminal).await?,
            Suite::Density => density::measure(self.rounds, terminal).await?,
        };
        let report = Report { suite: self.suite, machine: Machine::this(), rows };
        if terminal.is_json() {
            terminal.json(&report)?;
        } else {
            show(terminal, &report)?;
        }
        Ok(Ended::Well)
    }
}

impl Machine {
    fn this() -> Self {
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
        }
    }
}

fn show(terminal: &mut Terminal, report: &Report) -> Result<(), Failure> {
    let head = ["", "p50", "p99", "floor p50", "ratio", ""].map(|text| (Look::Faint, text.to_owned()));
    let rows: Vec<[Cell; 6]> = std::iter::once(head).chain(report.rows.iter().map(cells)).collect();
    for line in columns(terminal.painter(), &rows) {
        terminal.line(&line)?;
    }
    for row in &report.rows {
        terminal.remark(
            Look::Faint,
            &format!("{}: {} measurements; floor: {}. Goal: {}", row.name, row.n, row.floor, row.goal),
        );
    }
    Ok(())
}

fn cells(row: &Row) -> [Cell; 6] {
    let number =
        |value: Option<f64>, unit: &str| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}{unit}"));
    let unit = format!(" {}", row.unit);
    [
        (Look::Strong, row.name.to_owned()),
        (Look::Plain, number(Some(row.p50), &unit)),
        (Look::Plain, number(Some(row.p99), &unit)),
        (Look::Faint, number(row.floor_p50, &unit)),
        (Look::Plain, number(row.ratio, " ×")),
        if row.ok { (Look::Good, "ok".to_owned()) } else { (Look::Bad, "missed".to_owned()) },
    ]
}

/// What keeps a benchmark from being run.
fn cannot(what: &str, error: impl std::fmt::Display) -> Failure {
    Refusal::new(
        RefusalCode::Unavailable,
        format!("The benchmark cannot {what}: {error}."),
        "`hangar doctor` says what is missing.",
    )
    .into()
}
