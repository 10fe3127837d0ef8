//! Group 3: more than one's share.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use hangar_sandbox::{BackendKind, ExecSpec, Sandbox};

use super::{
    arena::{Arena, check, said},
    case::Case,
    house::Housed,
};
use crate::bench::{slowness, soon};

pub(crate) const CASES: &[Case] = &[
    Case::scene("fork-bomb", "fork bombs", "start more processes than are allowed", fork_bomb),
    Case::scene("zombies", "wait(2)", "leave ended processes lying about", zombies),
    Case::scene("memory-bomb", "out of memory", "use more memory than is allowed", memory_bomb),
    Case::scene("memory-files", "tmpfs", "fill /tmp, /dev/shm and /run", memory_files),
    Case::scene("disk-fill", "disk quotas", "write more to disk than is allowed", disk_fill),
    Case::scene("inode-fill", "inode quotas", "make more files than are allowed", inode_fill),
    Case::scene("one-file", "RLIMIT_FSIZE", "make one file too large, also a sparse one", one_file),
    Case::scene("descriptors", "RLIMIT_NOFILE", "open more files than are allowed", descriptors),
    Case::scene("raise-limits", "setrlimit(2)", "raise one's own limits", raise_limits),
    Case::scene("core-dumps", "core(5)", "fill the disk, or run the host's handler, by crashing", core_dumps),
    Case::scene("processor", "cpu quotas", "use more of the processors than is allowed", processor),
    Case::scene("priority", "sched(7)", "go before everybody else", priority),
    Case::scene("locked-memory", "mlock(2)", "pin memory beyond the sandbox's own", locked_memory),
    Case::scene("watches", "inotify(7)", "take all of the machine's file watches", inotify),
    Case::scene("terminals", "pty(7)", "take all of the machine's terminals", terminals),
    Case::scene("output-flood", "log floods", "print without end and without a reader", output_flood),
    Case::scene("out-of-the-group", "cgroups(7)", "leave the control group, or read where it is", out_of_the_group),
];

fn seen(what: &str, text: &str) -> Result<u64, String> {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).ok_or_else(|| format!("{what}: {text:?}"))
}

fn fork_bomb(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("forks", |limits| limits.processes = 100).await;
        let said = said(&sandbox, "/tmp/attempt hold processes 400; sleep 0 && echo alive").await;
        let got = seen("processes", &said)?;
        let alive = sandbox.kill_all().await.is_ok() && super::arena::said(&sandbox, "echo alive").await == "alive";
        sandbox.destroy().await;
        check(got < 100 && alive, || format!("{got} processes; afterwards alive: {alive}"))
    })
}

fn zombies(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("zombies", |limits| limits.processes = 100).await;
        let got = seen("zombies", &said(&sandbox, "/tmp/attempt hold zombies 400").await)?;
        // Their heir reaps them when their parent is gone; until it has, there may be no process left for a command.
        // Threads of a kernel of its own are no processes: they have no memory.
        let count = "grep -hE '^(VmSize|State:.Z)' /proc/[0-9]*/status 2>/dev/null | wc -l";
        let left = soon("the end of the zombies", async {
            loop {
                match said(&sandbox, count).await.parse::<u64>() {
                    Ok(left) if left < 10 => return left,
                    Ok(_) | Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        let left = left.await;
        sandbox.destroy().await;
        check(got < 100 && left < 10, || format!("{got} zombies, {left} processes left"))
    })
}

fn memory_bomb(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("memory", |limits| limits.memory_bytes = 96 << 20).await;
        let said = said(&sandbox, "/tmp/attempt hold memory 256; echo; echo ended").await;
        let most: u64 = said.split_whitespace().filter_map(|word| word.parse().ok()).max().unwrap_or(0);
        let alive = sandbox.ping().await.is_ok();
        sandbox.destroy().await;
        check(most <= 96 && alive, || format!("{most} MiB; afterwards alive: {alive}"))
    })
}

async fn filled(sandbox: &Sandbox, place: &str, mib: u32) -> Result<u64, String> {
    let script = format!(
        "dd if=/dev/zero of={place}/fill bs=1M count={mib} 2>/dev/null; stat -c %s {place}/fill; rm -f {place}/fill"
    );
    seen(place, &said(sandbox, &script).await)
}

fn memory_files(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let change = |limits: &mut hangar_sandbox::Limits| {
            limits.memory_bytes = 256 << 20;
            limits.tmp_bytes = 8 << 20;
        };
        let sandbox = arena.another("tmpfs", change).await;
        for (place, most) in [("/tmp", 8), ("/dev/shm", 32), ("/run", 16)] {
            let bytes = filled(&sandbox, place, most + 8).await?;
            check(bytes <= u64::from(most) << 20, || format!("{bytes} bytes in {place}"))?;
        }
        sandbox.destroy().await;
        Ok(())
    })
}

fn disk_fill(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("disk", |limits| limits.disk_bytes = 16 << 20).await;
        // A piece at a time, for as long as it is let: it is stopped well before the end.
        let script = "for i in $(seq 400); do dd if=/dev/zero of=/workspace/f$i bs=1M count=1 2>/dev/null || break; sleep 0.02; done; echo end";
        let _ = sandbox.exec(&ExecSpec::shell(script).timeout_ms(60_000 * u64::from(slowness()))).await;
        let mut health = sandbox.health();
        let full = health.wait_for(|health| health.disk != hangar_sandbox::Disk::Fine);
        let full = tokio::time::timeout(Duration::from_secs(30), full).await.is_ok();
        let grown = said(&sandbox, "echo more >>/workspace/more && echo grew").await;
        sandbox.destroy().await;
        check(full && grown != "grew", || format!("noticed: {full}; afterwards: {grown:?}"))
    })
}

fn inode_fill(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("inodes", |limits| limits.disk_files = 500).await;
        let script = "mkdir -p /workspace/d; for i in $(seq 100); do for j in $(seq 50); do : >/workspace/d/$i-$j || exit; done; sleep 0.02; done; echo end";
        let _ = sandbox.exec(&ExecSpec::shell(script).timeout_ms(60_000)).await;
        let mut health = sandbox.health();
        let noticed = tokio::time::timeout(
            Duration::from_secs(40),
            health.wait_for(|health| health.disk != hangar_sandbox::Disk::Fine),
        );
        let noticed = noticed.await.is_ok();
        sandbox.destroy().await;
        check(noticed, || "thousands of files were not noticed".into())
    })
}

fn one_file(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("file", |limits| limits.file_bytes = 4 << 20).await;
        let bytes = filled(&sandbox, "/workspace", 8).await?;
        let sparse = seen(
            "sparse",
            &said(&sandbox, "truncate -s 1G /workspace/s 2>/dev/null; stat -c %s /workspace/s 2>/dev/null || echo 0")
                .await,
        )?;
        sandbox.destroy().await;
        check(bytes <= 4 << 20 && sparse <= 4 << 20, || format!("{bytes} and {sparse} bytes"))
    })
}

fn descriptors(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("files", |limits| limits.open_files = 256).await;
        let got = seen("files", &said(&sandbox, "/tmp/attempt hold files 2000").await)?;
        sandbox.destroy().await;
        check(got < 256, || format!("{got} descriptors"))
    })
}

fn raise_limits(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let script = "for l in '-n 1000000' '-c unlimited' '-e 40' '-r 99'; do ulimit $l 2>/dev/null && echo \"raised $l\"; done; echo end";
        let said = arena.script(script).await;
        check(said == "end", || said)
    })
}

fn core_dumps(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let said = arena
            .script("cd /workspace; ulimit -c; bash -c 'kill -SEGV $$' 2>/dev/null; ls core* 2>/dev/null; echo end")
            .await;
        check(said == "0\nend", || said)
    })
}

/// How long spinning programs may take to be held back once; on a machine with nothing else to do it takes a tenth of a second.
const SPIN_PATIENCE: Duration = Duration::from_secs(30);

fn processor(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let housed = Housed::with(arena, "cpu", |limits| limits.cpu_percent = 20).await;
        let began = Instant::now();
        let mut seen = (0.0, 0);
        // On a machine with much else to do they get little anyway: only being held back shows that there is a limit.
        while seen.0 < SPIN_MOST_S && seen.1 == 0 && began.elapsed() < SPIN_PATIENCE {
            seen = (spin(arena, &housed).await, housed.throttled());
        }
        housed.sandbox.destroy().await;
        let (used, throttled) = seen;
        check(used < SPIN_MOST_S && throttled > 0, || {
            format!("{used} s of processor time, held back {throttled} times")
        })
    })
}

/// Two spinners for 1.5 s of wall time may use a fifth of one processor: 0.3 s, with as much again for how quotas are handed out.
const SPIN_MOST_S: f64 = 0.8;

/// Seconds of processor time that two spinning programs got.
async fn spin(arena: &Arena, housed: &Housed) -> f64 {
    let before = housed.processor_s();
    let script = "bash -c '/tmp/attempt hold spin 1 & /tmp/attempt hold spin 1; wait; times' | tail -1";
    let times = said(&housed.sandbox, script).await;
    let mut inside = times.split_whitespace().map(|time| {
        let (minutes, seconds) = time.trim_end_matches('s').split_once('m').unwrap_or(("9", "9"));
        minutes.parse::<f64>().unwrap_or(9.0) * 60.0 + seconds.parse::<f64>().unwrap_or(9.0)
    });
    match arena.kind {
        BackendKind::Namespace | BackendKind::Docker => inside.next().unwrap_or(9.0) + inside.next().unwrap_or(9.0),
        // A kernel of its own counts by a clock of its own; what the host gave is what counts.
        BackendKind::Gvisor | BackendKind::Vm => housed.processor_s() - before,
    }
}

fn priority(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let script = "nice -n -5 true 2>&1 | head -1 | grep -q . || echo nicer; chrt -f 1 true 2>/dev/null && echo real-time; \
                      chrt -d --sched-runtime 1000000 --sched-period 10000000 0 true 2>/dev/null && echo deadline; ionice -c 1 true 2>/dev/null && echo disk; echo end";
        let said = arena.script(script).await;
        check(said == "end", || said)
    })
}

fn locked_memory(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("locked", |limits| limits.memory_bytes = 96 << 20).await;
        let got = said(&sandbox, "/tmp/attempt hold locked 256").await;
        let alive = sandbox.ping().await.is_ok();
        sandbox.destroy().await;
        // It is refused at the limit of locked memory, or ended at the limit of all memory.
        let got: u64 = got.parse().unwrap_or(0);
        check(got < 96 && alive, || format!("{got} MiB locked; alive: {alive}"))
    })
}

fn inotify(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let most = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap_or_default();
        let most: u64 = most.trim().parse().unwrap_or(0);
        let got = seen("watches", &arena.attempt("hold watches 20000").await)?;
        // What counts is one's own: the host's users keep theirs.
        let other = arena.another("watches", |_| {}).await;
        let others = seen("watches", &said(&other, "/tmp/attempt hold watches 50").await)?;
        other.destroy().await;
        check(got <= most && others > 40, || format!("{got} of {most}; another sandbox got {others}"))
    })
}

fn terminals(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let got = seen("terminals", &arena.attempt("hold terminals 5000").await)?;
        let open = std::fs::OpenOptions::new().read(true).write(true).open("/dev/ptmx").is_ok();
        check(got <= 4096 && open, || format!("{got} terminals; the host gets one: {open}"))
    })
}

fn output_flood(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let mut exec = arena.sandbox.exec_stream(&ExecSpec::shell("yes")).await.map_err(|error| error.to_string())?;
        let first = exec.next().await.map_err(|error| error.to_string())?;
        check(first.is_some(), || "no output".into())?;
        // Nobody reads on: what is in flight is bounded, and the rest of the sandbox goes on.
        let alive = arena.script("echo alive").await;
        let resident = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: u64 = resident.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(u64::MAX);
        drop(exec);
        check(alive == "alive" && pages < (1 << 30) / 4096, || format!("{alive:?}, {pages} pages"))
    })
}

fn out_of_the_group(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let groups = arena.script("cut -d: -f3 /proc/self/cgroup | sort -u; ls /sys/fs/cgroup 2>/dev/null").await;
        check(groups == "/", || format!("control groups: {groups:?}"))
    })
}
