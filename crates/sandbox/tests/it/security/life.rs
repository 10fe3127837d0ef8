//! Group 7: beginnings and ends.

use futures::future::BoxFuture;
use hangar_sandbox::{BackendKind, ExecSpec};

use super::{
    arena::{Arena, check, said},
    case::Case,
    house::{self, Housed},
    planted::{Fault, planted},
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

fn ranges_apart(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let (one, two) = (Housed::new(arena, "one").await, Housed::new(arena, "two").await);
        let ids: Vec<u32> = one.first_ids().into_iter().chain(two.first_ids()).collect();
        one.sandbox.destroy().await;
        two.sandbox.destroy().await;
        let apart = ids.iter().enumerate().all(|(at, id)| ids[..at].iter().all(|other| id.abs_diff(*other) >= 65_536));
        check(ids.len() == 2 && apart, || format!("{ids:?}"))
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

async fn gone(Housed { sandbox, namespaces }: Housed) -> Result<(), String> {
    let before = house::processes_in(&namespaces).len();
    let spared = planted(Fault::Survivors).then(|| house::processes_in(&namespaces));
    sandbox.destroy().await;
    let left = spared.unwrap_or_else(|| house::processes_in(&namespaces));
    check(before > 1 && left.is_empty(), || format!("{before} before, {left:?} left"))
}

fn daemon_destroyed(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let housed = Housed::new(arena, "daemons").await;
        said(&housed.sandbox, "for i in 1 2 3; do (setsid sh -c 'sleep 500 & exec sleep 500' >/dev/null 2>&1 &); done")
            .await;
        gone(housed).await
    })
}

fn stopped_destroyed(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let housed = Housed::new(arena, "stopped").await;
        said(&housed.sandbox, "(trap '' TERM INT HUP QUIT; sleep 500 & sleep 500) >/dev/null 2>&1 & sleep 500 >/dev/null 2>&1 & kill -STOP $!").await;
        gone(housed).await
    })
}

fn killed_all(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("killed", |_| {}).await;
        said(&sandbox, "for i in 1 2 3 4; do (setsid sleep 500 >/dev/null 2>&1 &); done").await;
        if !planted(Fault::Survivors) {
            sandbox.kill_all().await.map_err(|error| error.to_string())?;
        }
        let left = said(&sandbox, "grep -l sleep /proc/[0-9]*/comm 2>/dev/null | wc -l").await;
        sandbox.destroy().await;
        check(left == "0", || format!("{left} left"))
    })
}

fn guest_killed(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let housed = Housed::new(arena, "orphans").await;
        said(&housed.sandbox, "(setsid sleep 500 >/dev/null 2>&1 &)").await;
        let first = housed.first_process().ok_or("there is no guest")?;
        let ended = || house::processes_in(&housed.namespaces).is_empty();
        if planted(Fault::Survivors) {
            let ended = ended();
            housed.sandbox.destroy().await;
            return check(ended, || "they live on".into());
        }
        rustix::process::kill_process(first, rustix::process::Signal::KILL).map_err(|error| error.to_string())?;
        until("the end of every process", ended).await;
        housed.sandbox.destroy().await;
        Ok(())
    })
}

fn supervisor_killed(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("free", |_| {}).await;
        let spec = ExecSpec::shell("kill -9 $PPID; setsid sleep 501 >/dev/null 2>&1 & sleep 502");
        let _ = sandbox.exec(&spec.timeout_ms(5_000)).await;
        if !planted(Fault::Survivors) {
            sandbox.kill_all().await.map_err(|error| error.to_string())?;
        }
        let left = said(&sandbox, "grep -l sleep /proc/[0-9]*/comm 2>/dev/null | wc -l").await;
        sandbox.destroy().await;
        check(left == "0", || format!("{left} left"))
    })
}

/// What tells one sandbox from another.
const WHO_AM_I: &str = "hostname; cat /etc/machine-id; readlink /proc/self/ns/pid";

fn creation_cancelled(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let own = arena.script(WHO_AM_I).await;
        for at in 0..8 {
            let spec = arena.bench.spec(&format!("given-up-{at}"));
            // Given up after a moment that differs from round to round.
            let _ =
                tokio::time::timeout(std::time::Duration::from_micros(300 * at), arena.bench.engine.create(spec)).await;
        }
        // The one that is there still works, and is what it was.
        let now = arena.script(WHO_AM_I).await;
        check(!own.is_empty() && now == own, || format!("it was {own:?} and is {now:?}"))
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
        let racers = match arena.kind {
            BackendKind::Namespace | BackendKind::Gvisor | BackendKind::Docker => 8,
            // None is made ahead, so that there is less to race for, and more of them emulated at once take minutes.
            BackendKind::Vm => 3,
        };
        let made = futures::future::join_all((0..racers).map(|at| {
            let name = format!("racer-{at}");
            async move { arena.another(&name, |_| {}).await }
        }));
        let made = made.await;
        // What a slot that is given twice would be like: two are the same.
        let of = |at: usize| if planted(Fault::Twin) { &made[at / 2] } else { &made[at] };
        for at in 0..made.len() {
            said(of(at), &format!("echo racer-{at} >/tmp/racer; echo racer-{at} >/workspace/racer")).await;
        }
        // Threads of a kernel of its own are no processes: they have no memory.
        let count = "grep -ls '^VmSize' /proc/[0-9]*/status | wc -l";
        let script = format!("hostname; cat /tmp/racer /workspace/racer; {count}");
        let mut seen = Vec::new();
        for at in 0..made.len() {
            seen.push(said(of(at), &script).await);
        }
        let alone = |(at, seen): (usize, &String)| {
            let lines: Vec<&str> = seen.lines().collect();
            let few = lines.get(3).and_then(|count| count.parse().ok()).is_some_and(|count: u32| count < 12);
            few && lines[..3].iter().all(|line| *line == format!("racer-{at}"))
        };
        let apart = seen.len() == racers && seen.iter().enumerate().all(alone);
        for sandbox in made {
            sandbox.destroy().await;
        }
        check(apart, || format!("{seen:?}"))
    })
}
