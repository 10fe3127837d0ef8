//! Group 7: beginnings and ends.

use std::fs;

use futures::future::BoxFuture;
use hangar_sandbox::ExecSpec;

use super::{
    arena::{Arena, check, said},
    case::Case,
};
use crate::bench::until;

pub(crate) const CASES: &[Case] = &[
    Case::scene("ranges-apart", "reuse of ids", "have the same ids as another sandbox", ranges_apart),
    Case::scene(
        "machine-ids-apart",
        "forks of one image",
        "have the same machine id or random numbers as another",
        machine_ids_apart,
    ),
    Case::scene("daemon-destroyed", "daemon(3)", "outlive the sandbox as a daemon", daemon_destroyed),
    Case::scene(
        "stopped-destroyed",
        "SIGSTOP, ignored signals",
        "outlive the sandbox stopped and deaf",
        stopped_destroyed,
    ),
    Case::scene("killed-all", "double fork", "outlive the end of all commands", killed_all),
    Case::scene("guest-killed", "pid_namespaces(7)", "outlive the guest", guest_killed),
    Case::scene(
        "supervisor-killed",
        "PR_SET_CHILD_SUBREAPER",
        "be set free by killing the supervisor",
        supervisor_killed,
    ),
    Case::scene(
        "creation-cancelled",
        "cancelled requests",
        "be left over from a creation that was given up",
        creation_cancelled,
    ),
    Case::scene("names", "names as paths", "have a name that is a path or an option", names),
    Case::scene("same-slot", "two claimers", "be in the same slot as another sandbox", same_slot),
];

/// Processes in the same process namespace as the sandbox's, by the host's numbers.
fn processes_in(namespace: &str) -> Vec<String> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            fs::read_link(entry.path().join("ns/pid")).is_ok_and(|link| link.to_string_lossy() == namespace)
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

async fn namespace(sandbox: &hangar_sandbox::Sandbox) -> String {
    said(sandbox, "readlink /proc/self/ns/pid").await
}

/// The first id of a sandbox on the host.
async fn first_id(sandbox: &hangar_sandbox::Sandbox) -> Result<u32, String> {
    let map = said(sandbox, "cat /proc/self/uid_map").await;
    map.split_whitespace().nth(1).and_then(|word| word.parse().ok()).ok_or(map)
}

fn ranges_apart(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let (one, two) = (arena.another("one", |_| {}).await, arena.another("two", |_| {}).await);
        let ids = [first_id(&one).await?, first_id(&two).await?, first_id(&arena.sandbox).await?];
        one.destroy().await;
        two.destroy().await;
        let apart = ids.iter().enumerate().all(|(at, id)| ids[..at].iter().all(|other| id.abs_diff(*other) >= 65_536));
        check(apart, || format!("{ids:?}"))
    })
}

fn machine_ids_apart(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let other = arena.another("twin", |_| {}).await;
        let script = "cat /etc/machine-id; od -An -N16 -tx1 /dev/urandom; python3 -c 'import uuid; print(uuid.uuid4())' 2>/dev/null || echo $RANDOM-$$";
        let (left, right) = (arena.script(script).await, said(&other, script).await);
        other.destroy().await;
        check(left.lines().zip(right.lines()).all(|(left, right)| left != right), || format!("{left:?} {right:?}"))
    })
}

async fn gone(sandbox: hangar_sandbox::Sandbox) -> Result<(), String> {
    let inside = namespace(&sandbox).await;
    let before = processes_in(&inside).len();
    sandbox.destroy().await;
    let left = processes_in(&inside);
    check(before > 1 && left.is_empty(), || format!("{before} before, {left:?} left"))
}

fn daemon_destroyed(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("daemons", |_| {}).await;
        said(&sandbox, "for i in 1 2 3; do (setsid sh -c 'sleep 500 & exec sleep 500' >/dev/null 2>&1 &); done").await;
        gone(sandbox).await
    })
}

fn stopped_destroyed(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("stopped", |_| {}).await;
        said(&sandbox, "(trap '' TERM INT HUP QUIT; sleep 500 & sleep 500) >/dev/null 2>&1 & sleep 500 >/dev/null 2>&1 & kill -STOP $!").await;
        gone(sandbox).await
    })
}

fn killed_all(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("killed", |_| {}).await;
        said(&sandbox, "for i in 1 2 3 4; do (setsid sleep 500 >/dev/null 2>&1 &); done").await;
        sandbox.kill_all().await.map_err(|error| error.to_string())?;
        let left = said(&sandbox, "grep -l sleep /proc/[0-9]*/comm 2>/dev/null | wc -l").await;
        sandbox.destroy().await;
        check(left == "0", || format!("{left} left"))
    })
}

fn guest_killed(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("orphans", |_| {}).await;
        said(&sandbox, "(setsid sleep 500 >/dev/null 2>&1 &)").await;
        let inside = namespace(&sandbox).await;
        let guest = processes_in(&inside)
            .into_iter()
            .find(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "hangar-guest"))
            .and_then(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?))
            .ok_or("there is no guest")?;
        rustix::process::kill_process(guest, rustix::process::Signal::KILL).map_err(|error| error.to_string())?;
        until("the end of every process", || processes_in(&inside).is_empty()).await;
        sandbox.destroy().await;
        Ok(())
    })
}

fn supervisor_killed(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("free", |_| {}).await;
        let spec = ExecSpec::shell("kill -9 $PPID; setsid sleep 501 >/dev/null 2>&1 & sleep 502");
        let _ = sandbox.exec(&spec.timeout_ms(5_000)).await;
        sandbox.kill_all().await.map_err(|error| error.to_string())?;
        let left = said(&sandbox, "grep -l sleep /proc/[0-9]*/comm 2>/dev/null | wc -l").await;
        sandbox.destroy().await;
        check(left == "0", || format!("{left} left"))
    })
}

fn creation_cancelled(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let own = first_id(&arena.sandbox).await?;
        for at in 0..8 {
            let spec = arena.bench.spec(&format!("given-up-{at}"));
            // Given up after a moment that differs from round to round.
            let _ =
                tokio::time::timeout(std::time::Duration::from_micros(300 * at), arena.bench.engine.create(spec)).await;
        }
        // The one that is there still works, and its range is its own.
        check(first_id(&arena.sandbox).await? == own, || "the ids have changed".into())
    })
}

fn names(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        for name in ["", "..", "../x", "a/b", "-x", "a b", "a\nb", "ä", "x".repeat(100).as_str()] {
            let mut spec = arena.bench.spec("named");
            spec.name = name.into();
            check(arena.bench.engine.create(spec).await.is_err(), || format!("{name:?} was taken"))?;
        }
        Ok(())
    })
}

fn same_slot(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let made = futures::future::join_all((0..8).map(|at| {
            let name = format!("racer-{at}");
            async move { arena.another(&name, |_| {}).await }
        }));
        let made = made.await;
        let mut seen = Vec::new();
        for sandbox in &made {
            seen.push(said(sandbox, "hostname; readlink /proc/self/ns/pid; cut -c1- /proc/self/uid_map").await);
        }
        for sandbox in made {
            sandbox.destroy().await;
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        check(seen.len() == count, || format!("{seen:?}"))
    })
}
