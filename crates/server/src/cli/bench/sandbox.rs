//! Sandboxes: claims, commands, pauses, slots, and other programs with the same task.

use hangar_sandbox::bench::{Figure, Part, Times};
use tokio::sync::mpsc;

use super::{
    cannot, keystroke,
    row::{Goal, Row},
};
use crate::cli::{
    ended::Failure,
    terminal::{Look, Terminal},
};

/// Fewest rounds: a p99 of fewer says nothing.
const ROUNDS_MIN: u32 = 60;
/// Largest memory of a slot.
const SLOT_BYTES_MAX: f64 = 512.0 * 1024.0;
/// Fewest slots a second on one core.
const SLOTS_PER_S_MIN: f64 = 500.0;

/// Measures. Everything it starts has ended when it answers.
pub(super) async fn measure(rounds: u32, terminal: &mut Terminal) -> Result<Vec<Row>, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("hangar-bench-")
        .tempdir()
        .map_err(|error| cannot("make a directory", error))?;
    let (told, mut tells) = mpsc::channel(Part::ALL.len());
    let place = folder.path().to_owned();
    // A task of its own: the way back to whoever blocks on it is no part of what is measured.
    let measuring = tokio::spawn(async move {
        // There is room for what is said about each part.
        let tell = |what: &str| drop(told.try_send(what.to_owned()));
        hangar_sandbox::bench::measure(&place, rounds.max(ROUNDS_MIN), &Part::ALL, tell).await
    });
    while let Some(what) = tells.recv().await {
        terminal.remark(Look::Faint, &what);
    }
    let found = measuring.await.map_err(|error| cannot("measure", error))?;
    let found = found.map_err(|error| cannot("make sandboxes", error))?;
    let mut rows: Vec<Row> = found.times.iter().map(time_row).chain(found.figures.iter().map(figure_row)).collect();
    rows.extend(keystroke::measure(rounds, folder.path(), terminal).await?);
    Ok(rows)
}

/// What each time should be; the others are reported.
fn time_row(times: &Times) -> Row {
    let (goal, ratio_max) = match times.name {
        "exec_claimed" => ("at most 1.2 times the floor", Some(1.2)),
        "claim" => ("at most 0.8 times the floor, p99 at most 3 times", Some(0.8)),
        "claim_first_exec" => ("at most 1.5 times the floor", Some(1.5)),
        "cold_first_instruction" => ("at most 3 times the floor", Some(3.0)),
        "cold_cycle" => ("at most 10 times the floor", Some(10.0)),
        "pause" => ("at most 15 times the floor", Some(15.0)),
        "resume" => ("at most the floor", Some(1.0)),
        "network_setup" => ("at most 1.5 times the floor", Some(1.5)),
        _ => ("reported", None),
    };
    let floor = if times.floor.is_empty() { "none" } else { "posix_spawn of /bin/true" };
    let mut row = Row::of_times(Goal { name: times.name, floor, goal, ratio_max }, &times.times, &times.floor);
    if times.name == "claim" {
        row.ok &= row.floor_p50.is_some_and(|floor| row.p99 <= 3.0 * floor);
    }
    row
}

fn figure_row(figure: &Figure) -> Row {
    let (goal, ok) = match figure.name {
        "slot_bytes" => ("at most 512 KiB", figure.value <= SLOT_BYTES_MAX),
        "slots_per_s" => ("at least 500", figure.value >= SLOTS_PER_S_MIN),
        _ => ("reported", true),
    };
    Row::of_figure(figure.name, figure.unit, figure.n, figure.value, goal, ok)
}
