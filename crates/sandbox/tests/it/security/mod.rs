//! The security suite: what a hostile program tries, as the sandbox's user and as the sandbox's root, on every backend, and what must come of it.
//!
//! The cases are tables, one for each group; docs/security.md shows them (`HANGAR_BLESS=1` writes it anew). A case is worth something only if it fails
//! when its guard is gone: `scripts/mutations.sh` takes the guards away one by one and lists in docs/mutations.md which cases noticed.
//!
//! What is expected is what `namespace` does. Where another wall answers differently and is as safe, `elsewhere/` says what it answers and why that is harmless.

mod arena;
mod canaries;
mod case;
mod elsewhere;
mod escape;
mod files;
mod fuzz;
mod house;
mod kernel;
mod leaks;
mod life;
mod network;
mod planted;
mod resources;
mod table;

use std::{io::Write, time::Instant};

use arena::{Arena, record};
use case::Group;
use hangar_sandbox::{Account, BackendKind, Error};

use crate::{
    bench::SLOWNESS,
    conformance::{daemon::Daemon, slowness},
};

/// Backends on which the suite runs: the columns of the table.
const TESTED: &[BackendKind] = &[BackendKind::Namespace, BackendKind::Gvisor, BackendKind::Docker, BackendKind::Vm];

/// Runs one group and returns the cases that did not hold.
async fn failures(group: Group, mut arena: Arena) -> Vec<String> {
    let account = arena.account;
    let mut outcomes = arena.run(group).await;
    let place = arena.path("");
    let canaries = arena.canaries.untouched(&place);
    arena.close().await;
    outcomes.push(arena::Outcome { id: table::HOST_UNCHANGED, result: canaries });
    record(account, &outcomes[outcomes.len() - 1..]);
    let failed = outcomes.into_iter().filter_map(|outcome| {
        let seen = outcome.result.err()?;
        Some(format!("{group:?} as {account:?}: {}: {seen}", outcome.id))
    });
    failed.collect()
}

async fn all_hold(group: Group, account: Account) {
    let arena = Arena::new(group, account).await;
    let failed = failures(group, arena).await;
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Runs every group against one of the other backends, group after group: their runtimes start slowly, and share a machine with all other tests.
async fn all_hold_on(kind: BackendKind, account: Account) {
    SLOWNESS.scope(slowness(kind), every_group_on(kind, account)).await;
}

async fn every_group_on(kind: BackendKind, account: Account) {
    let daemon = match kind {
        BackendKind::Docker => Daemon::start(),
        BackendKind::Namespace | BackendKind::Gvisor | BackendKind::Vm => Daemon::none(),
    };
    let mut failed = Vec::new();
    for group in groups(kind) {
        let began = Instant::now();
        match Arena::on(kind, daemon.socket(), group, account).await {
            Ok(arena) => failed.extend(failures(group, arena).await),
            Err(missing @ Error::Unsupported { .. }) => return skip(kind, &missing),
            Err(broken) => panic!("{}: {broken}", kind.name()),
        }
        say(&format!("security: {} as {account:?}: {group:?}: {} ms", kind.name(), began.elapsed().as_millis()));
    }
    assert!(failed.is_empty(), "{}:\n{}", kind.name(), failed.join("\n"));
}

/// Which groups run on a backend. Emulated machines take some ten minutes for all of them: more than every change can wait for. `HANGAR_SECURITY_VM=all`
/// (`make security`) tries all, `HANGAR_SECURITY_VM=Network,Life` these.
fn groups(kind: BackendKind) -> Vec<Group> {
    let wanted = match kind {
        BackendKind::Namespace | BackendKind::Gvisor | BackendKind::Docker => "all".to_owned(),
        BackendKind::Vm => std::env::var("HANGAR_SECURITY_VM").unwrap_or_else(|_| format!("{:?}", Group::Escape)),
    };
    let fits = |group: &Group| wanted == "all" || wanted.split(',').any(|name| name == format!("{group:?}"));
    let groups: Vec<Group> = Group::ALL.into_iter().filter(fits).collect();
    assert!(!groups.is_empty(), "HANGAR_SECURITY_VM={wanted} names no group; there are {:?}", Group::ALL);
    if groups.len() < Group::ALL.len() {
        say(&format!("security: {}: only {groups:?}; all groups with HANGAR_SECURITY_VM=all", kind.name()));
    }
    groups
}

/// A backend whose program is not installed is named; where everything has to be tested it is a failure.
fn skip(kind: BackendKind, missing: &Error) {
    say(&format!("security: backend `{}` SKIPPED: {missing}", kind.name()));
    let all = std::env::var("HANGAR_CONFORMANCE").is_ok_and(|which| which == "all");
    assert!(!all, "backend `{}` must be tested here, but {missing}", kind.name());
}

fn say(line: &str) {
    // A closed standard error changes nothing about the result.
    let _ = writeln!(std::io::stderr(), "{line}");
}

macro_rules! groups {
    ($($name:ident: $group:expr,)*) => {
        mod as_agent {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    all_hold($group, Account::Agent).await;
                }
            )*
        }

        mod as_builder {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    all_hold($group, Account::Builder).await;
                }
            )*
        }
    };
}

groups! {
    escape: Group::Escape,
    kernel_surface: Group::Kernel,
    resources: Group::Resources,
    leaks: Group::Leaks,
    files_in_and_out: Group::Files,
    network: Group::Network,
    lifecycle: Group::Life,
}

macro_rules! backends {
    ($($name:ident: $kind:expr, $account:expr;)*) => {
        mod on {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    all_hold_on($kind, $account).await;
                }
            )*
        }
    };
}

// Docker has no sandbox root: without a user namespace it would be the host's.
backends! {
    gvisor_as_agent: BackendKind::Gvisor, Account::Agent;
    gvisor_as_builder: BackendKind::Gvisor, Account::Builder;
    docker_as_agent: BackendKind::Docker, Account::Agent;
    vm_as_agent: BackendKind::Vm, Account::Agent;
    vm_as_builder: BackendKind::Vm, Account::Builder;
}
