//! What a sandbox costs, beside what a process costs. Reported, never judged: the machine is shared.

use std::time::{Duration, Instant};

use hangar_sandbox::{BackendKind, ExecSpec};

use super::{place::Place, say};

/// Sandboxes made and ended; fewer of those that take seconds.
const fn sandboxes(kind: BackendKind) -> usize {
    match kind {
        BackendKind::Namespace | BackendKind::Gvisor | BackendKind::Docker => 5,
        BackendKind::Vm => 2,
    }
}

/// Commands and processes started.
const COMMANDS: usize = 20;

pub(super) async fn creating_running_and_ending_are_reported(place: &Place) {
    let (mut creates, mut ends) = (Vec::new(), Vec::new());
    for number in 0..sandboxes(place.kind) {
        let spec = place.spec(&format!("figure-{number}"));
        let started = Instant::now();
        let sandbox = place.create(spec).await;
        creates.push(started.elapsed());
        let started = Instant::now();
        sandbox.destroy().await;
        ends.push(started.elapsed());
    }
    let (mut execs, mut spawns) = (Vec::new(), Vec::new());
    for _ in 0..COMMANDS {
        let started = Instant::now();
        let done = place.shared.exec(&ExecSpec::argv(["true"])).await.unwrap();
        assert!(done.ended.status.success());
        execs.push(started.elapsed());
        let started = Instant::now();
        assert!(std::process::Command::new("true").status().unwrap().success());
        spawns.push(started.elapsed());
    }
    let spawn = median(spawns);
    let times =
        |what: Duration| format!("{:.1} ms ({:.0} × spawn)", ms(what), what.as_secs_f64() / spawn.as_secs_f64());
    say(&format!(
        "conformance: {}: figures: create {}, exec {}, destroy {}, spawn {:.2} ms",
        place.kind.name(),
        times(median(creates)),
        times(median(execs)),
        times(median(ends)),
        ms(spawn)
    ));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
