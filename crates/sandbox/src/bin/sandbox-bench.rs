//! Prints what sandboxes cost on this machine: `sandbox-bench FOLDER [ROUNDS [PART…]]`. The same figures as `hangar bench sandbox`, without the rest of hangar.

use std::{
    io::{Write, stderr, stdout},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use hangar_sandbox::bench::{Part, measure};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        let _ = writeln!(stderr(), "usage: sandbox-bench FOLDER [ROUNDS [PART…]]");
        return ExitCode::from(2);
    };
    let rounds = arguments.next().and_then(|rounds| rounds.parse().ok()).unwrap_or(100);
    let wanted: Vec<String> = arguments.collect();
    let parts: Vec<Part> = Part::ALL
        .into_iter()
        .filter(|part| wanted.is_empty() || wanted.iter().any(|name| name == part.name()))
        .collect();
    let tell = |what: &str| drop(writeln!(stderr(), "{what}"));
    let measured = tokio::spawn(async move { measure(Path::new(&folder), rounds, &parts, tell).await });
    match measured.await.unwrap_or_else(|error| Err(hangar_sandbox::Error::Setup(error.to_string()))) {
        Ok(found) => {
            for row in &found.times {
                let at = |percent| {
                    let (time, floor) = (quantile(&row.times, percent), quantile(&row.floor, percent));
                    let ratio = if floor > 0.0 { time / floor } else { 0.0 };
                    format!("p{percent} {time:8.3} ms / {floor:6.3} ={ratio:6.2}")
                };
                // On a machine with other work to do, the quicker ones tell more.
                let (p10, p50, p99) = (at(10), at(50), quantile(&row.times, 99));
                let _ = writeln!(stdout(), "{:24} {p10}   {p50}   p99 {p99:8.3} ms   n {}", row.name, row.times.len());
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
