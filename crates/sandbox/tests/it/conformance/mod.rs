//! One table of cases, run against every backend.
//!
//! A case says what it needs; a backend's capability flags decide whether it runs. A backend whose program is not installed is reported by name on
//! standard error; with `HANGAR_CONFORMANCE=all` (as `make test` and CI have it, which install the programs) that is a failure.

pub(crate) mod daemon;
mod ends;
mod figures;
mod files;
mod jail;
pub(crate) mod place;
mod programs;
mod reach;

use std::{io::Write, time::Instant};

use futures::future::BoxFuture;
use hangar_sandbox::{BackendKind, Capabilities};

use self::{daemon::Daemon, place::Place};
use crate::bench::SLOWNESS;

/// One thing that has to hold.
struct Case {
    name: &'static str,
    /// Whether a backend with these abilities has to pass it.
    applies: fn(&Capabilities) -> bool,
    run: for<'a> fn(&'a Place) -> BoxFuture<'a, ()>,
}

/// Builds a case of the table.
macro_rules! case {
    ($module:ident :: $name:ident) => {
        case!($module::$name, |_| true)
    };
    ($module:ident :: $name:ident, $applies:expr) => {
        Case { name: stringify!($name), applies: $applies, run: |place| Box::pin($module::$name(place)) }
    };
}

const CASES: &[Case] = &[
    case!(programs::output_codes_and_signals_come_back),
    case!(programs::input_goes_in_and_ends),
    case!(programs::much_output_arrives_whole),
    case!(programs::time_runs_out_for_the_whole_tree),
    case!(programs::a_dropped_command_takes_its_daemons_along),
    case!(programs::kill_all_spares_the_guest),
    case!(programs::a_terminal_has_a_size_and_an_end),
    case!(programs::commands_are_the_agent_and_nothing_more),
    case!(programs::git_commits),
    case!(files::files_are_written_read_and_found),
    case!(files::changes_are_watched),
    case!(files::layers_lie_over_each_other_and_stay_as_they_are),
    case!(files::nothing_of_the_host_is_inside),
    case!(files::hangars_own_source_is_there_and_cannot_be_changed),
    case!(files::a_session_is_found_again),
    case!(reach::every_address_is_the_borders, |can| can.border),
    case!(reach::nothing_is_reached_without_a_border, |can| !can.border),
    case!(reach::sandboxes_do_not_reach_each_other),
    case!(jail::what_runs_a_machine_has_no_rights, |can| can.kind == BackendKind::Vm),
    case!(ends::memory_has_an_end, |can| can.limits),
    case!(ends::processes_have_an_end, |can| can.limits),
    case!(ends::paused_is_paused, |can| can.pause),
    case!(ends::a_snapshot_is_a_layer, |can| can.snapshot),
    case!(ends::destroying_leaves_nothing_but_files),
    case!(ends::a_body_that_dies_is_noticed),
    case!(ends::a_killed_host_takes_all_along),
    case!(figures::creating_running_and_ending_are_reported),
];

/// How many times as long as others this backend may take: machines are emulated where the processor does not run them.
pub(crate) const fn slowness(kind: BackendKind) -> u32 {
    match kind {
        BackendKind::Namespace | BackendKind::Gvisor | BackendKind::Docker => 1,
        BackendKind::Vm => 4,
    }
}

/// Runs the table against one backend.
async fn conform(kind: BackendKind) {
    SLOWNESS.scope(slowness(kind), run_table(kind)).await;
}

async fn run_table(kind: BackendKind) {
    let daemon = match kind {
        BackendKind::Docker => Daemon::start(),
        BackendKind::Namespace | BackendKind::Gvisor | BackendKind::Vm => Daemon::none(),
    };
    let place = match Place::open(kind, &daemon).await {
        Ok(place) => place,
        Err(missing) => {
            let name = kind.name();
            say(&format!("conformance: backend `{name}` SKIPPED: {missing}"));
            assert_ne!(
                std::env::var("HANGAR_CONFORMANCE").as_deref(),
                Ok("all"),
                "backend `{name}` must be tested here, but {missing}"
            );
            return;
        }
    };
    let can = place.engine.capabilities();
    assert_eq!(can.kind, kind);
    for Case { name, applies, run } in CASES {
        if !applies(&can) {
            say(&format!("conformance: {}: {name}: does not apply", kind.name()));
            continue;
        }
        let started = Instant::now();
        // A panic names the case by its backtrace; this line names it also where there is none.
        say(&format!("conformance: {}: {name} …", kind.name()));
        run(&place).await;
        say(&format!("conformance: {}: {name}: ok, {} ms", kind.name(), started.elapsed().as_millis()));
    }
    place.close().await;
}

fn say(line: &str) {
    // A closed standard error changes nothing about the result.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn namespace_conforms() {
    conform(BackendKind::Namespace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gvisor_conforms() {
    conform(BackendKind::Gvisor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_conforms() {
    conform(BackendKind::Docker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_conforms() {
    conform(BackendKind::Vm).await;
}
