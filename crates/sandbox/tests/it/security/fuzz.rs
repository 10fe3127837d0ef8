//! Random system calls under the profile: whatever they are, the host stays as it was and the sandbox answers or ends.
//!
//! Short here; `make fuzz` runs it for as long as asked (`HANGAR_FUZZ_SECONDS`), and prints the seed it began with (`HANGAR_FUZZ_SEED` repeats it).

use std::{
    io::Write,
    time::{Duration, Instant},
};

use hangar_sandbox::Account;

use super::{arena::Arena, case::Group};

/// Calls in one round.
const CALLS: u32 = 4_000;
/// How long CI fuzzes.
const SECONDS_DEFAULT: u64 = 4;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

async fn fuzz(account: Account) {
    let seconds = setting("HANGAR_FUZZ_SECONDS", SECONDS_DEFAULT);
    let first = setting("HANGAR_FUZZ_SEED", u64::from(std::process::id()));
    let mut arena = Arena::new(Group::Kernel, account).await;
    let place = arena.path("");
    let (begun, mut seed, mut ended) = (Instant::now(), first, 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let sandbox = arena.another("fuzz", |limits| limits.processes = 200).await;
        let said = super::arena::said(&sandbox, &format!("/tmp/attempt fuzz {seed} {CALLS}")).await;
        let lives = sandbox.ping().await.is_ok();
        ended += u32::from(!lives);
        assert!(said.contains("answered") || said.is_empty(), "seed {seed}: {said:?}");
        sandbox.destroy().await;
        if let Err(changed) = arena.canaries.untouched(&place) {
            panic!("seed {seed}: {changed}");
        }
        seed += 1;
    }
    let last = seed - 1;
    let _ = writeln!(
        std::io::stderr(),
        "{account:?}: seeds {first} to {last}, {CALLS} calls each; {ended} sandboxes ended"
    );
    assert!(seed > first, "nothing was tried");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_calls_of_an_agent_change_nothing() {
    fuzz(Account::Agent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_calls_of_a_builder_change_nothing() {
    fuzz(Account::Builder).await;
}
