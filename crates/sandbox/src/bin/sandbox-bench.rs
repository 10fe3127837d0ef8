//! Prints what sandboxes cost on this machine: `sandbox-bench FOLDER [ROUNDS]`. The same figures as `hangar bench sandbox`, without the rest of hangar.

use std::{
    io::{Write, stderr, stdout},
    path::Path,
    process::ExitCode,
    time::Duration,
};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        let _ = writeln!(stderr(), "usage: sandbox-bench FOLDER [ROUNDS]");
        return ExitCode::from(2);
    };
    let rounds = arguments.next().and_then(|rounds| rounds.parse().ok()).unwrap_or(100);
    let tell = |what: &str| drop(writeln!(stderr(), "{what}"));
    match hangar_sandbox::bench::measure(Path::new(&folder), rounds, tell).await {
        Ok(found) => {
            for row in &found.times {
                let (p50, p99) = (quantile(&row.times, 50), quantile(&row.times, 99));
                let floor = quantile(&row.floor, 50);
                let ratio = if floor > 0.0 { p50 / floor } else { 0.0 };
                let _ = writeln!(
                    stdout(),
                    "{:26} p50 {p50:8.3} ms  p99 {p99:8.3} ms  floor {floor:6.3} ms  ratio {ratio:6.2}  n {}",
                    row.name,
                    row.times.len()
                );
            }
            for figure in &found.figures {
                let _ = writeln!(stdout(), "{:26} {:.0} {} n {}", figure.name, figure.value, figure.unit, figure.n);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// In milliseconds; 0 of none.
fn quantile(times: &[Duration], percent: usize) -> f64 {
    let mut sorted: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
