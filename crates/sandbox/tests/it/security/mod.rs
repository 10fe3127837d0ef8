//! The security suite: what a hostile program tries, as the sandbox's user and as the sandbox's root, and what must come of it.
//!
//! The cases are tables, one for each group; docs/security.md shows them (`HANGAR_BLESS=1` writes it anew). A case is worth something only if it fails
//! when its guard is gone: `scripts/mutations.sh` takes the guards away one by one and lists in docs/mutations.md which cases noticed.

mod arena;
mod canaries;
mod case;
mod escape;
mod files;
mod fuzz;
mod kernel;
mod leaks;
mod life;
mod network;
mod resources;
mod table;

use arena::{Arena, record};
use case::Group;
use hangar_sandbox::Account;

async fn all_hold(group: Group, account: Account) {
    let mut arena = Arena::new(group, account).await;
    let mut outcomes = arena.run(group).await;
    let place = arena.path("");
    let canaries = arena.canaries.untouched(&place);
    arena.sandbox.destroy().await;
    outcomes.push(arena::Outcome { id: table::HOST_UNCHANGED, result: canaries });
    record(account, &outcomes);
    let failed: Vec<String> = outcomes
        .into_iter()
        .filter_map(|outcome| outcome.result.err().map(|seen| format!("{}: {seen}", outcome.id)))
        .collect();
    assert!(failed.is_empty(), "{group:?} as {account:?}:\n{}", failed.join("\n"));
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
