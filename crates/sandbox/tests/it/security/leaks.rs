//! Group 4: what shows of the host and of others.

use futures::future::BoxFuture;

use super::{
    arena::{Arena, check, said},
    case::Case,
};

pub(crate) const CASES: &[Case] = &[
    Case::script("kcore", "/proc/kcore", "read the machine's memory", "head -c 1 /proc/kcore 2>/dev/null | wc -c", "0"),
    Case::script(
        "kallsyms",
        "kernel addresses",
        "read the kernel's symbols",
        "head -c 1 /proc/kallsyms 2>/dev/null | wc -c",
        "0",
    ),
    Case::script(
        "keys",
        "/proc/keys",
        "read the machine's keys",
        "cat /proc/keys /proc/key-users 2>/dev/null | wc -c",
        "0",
    ),
    Case::script(
        "timers",
        "CVE-2017-5967",
        "read the machine's timers",
        "cat /proc/timer_list 2>/dev/null | wc -c",
        "0",
    ),
    Case::script("modules", "/proc/modules", "list the kernel's modules", "cat /proc/modules 2>/dev/null | wc -c", "0"),
    Case::script(
        "interrupts",
        "side channels by interrupt counts",
        "read interrupt counts",
        "cat /proc/interrupts 2>/dev/null | wc -c",
        "0",
    ),
    Case::script(
        "config",
        "/proc/config.gz",
        "read the kernel's configuration",
        "cat /proc/config.gz 2>/dev/null | wc -c",
        "0",
    ),
    Case::script(
        "iomem",
        "physical addresses",
        "read the map of memory",
        "cat /proc/iomem /proc/ioports 2>/dev/null | wc -c",
        "0",
    ),
    Case::script(
        "page-maps",
        "CVE-2015-1805 aid, rowhammer",
        "read what physical pages are",
        "cat /proc/kpagecount /proc/kpageflags /proc/kpagecgroup 2>/dev/null | head -c 10 | wc -c",
        "0",
    ),
    Case::script(
        "vmalloc",
        "kernel addresses",
        "read the kernel's allocations",
        "cat /proc/vmallocinfo /proc/slabinfo 2>/dev/null | wc -c",
        "0",
    ),
    Case::script(
        "command-line",
        "/proc/cmdline",
        "read how the machine was started",
        "cat /proc/cmdline 2>/dev/null | wc -c",
        "0",
    ),
    Case::script(
        "disks",
        "/proc/partitions",
        "list the machine's disks",
        "cat /proc/partitions /proc/diskstats /proc/swaps /proc/mdstat 2>/dev/null | wc -c",
        "0",
    ),
    Case::script(
        "pressure",
        "side channels by load",
        "read the machine's pressure",
        "cat /proc/pressure/cpu /proc/pressure/memory /proc/pressure/io 2>/dev/null | wc -c",
        "0",
    ),
    Case::script(
        "schedule",
        "/proc/schedstat",
        "read how others are scheduled",
        "cat /proc/schedstat /proc/sched_debug /proc/latency_stats 2>/dev/null | wc -c",
        "0",
    ),
    Case::script(
        "locks",
        "/proc/locks",
        "see the machine's file locks",
        "cat /proc/locks /proc/consoles /proc/dma /proc/devices /proc/misc 2>/dev/null | wc -c",
        "0",
    ),
    Case::script(
        "memory-zones",
        "/proc/zoneinfo",
        "read the machine's memory zones",
        "cat /proc/zoneinfo /proc/buddyinfo /proc/pagetypeinfo 2>/dev/null | wc -c",
        "0",
    ),
    Case::script("sys", "sysfs", "find /sys", "ls -A /sys 2>/dev/null | wc -l", "0"),
    Case::script(
        "firmware",
        "ACPI and firmware",
        "read the machine's firmware",
        "ls -A /proc/acpi /proc/scsi /proc/driver /proc/asound 2>/dev/null | grep -v ':$' | grep -c .",
        "0",
    ),
    Case::script(
        "log",
        "dmesg",
        "read the kernel's log",
        "head -c 1 /proc/kmsg 2>/dev/null | wc -c; dmesg 2>/dev/null | wc -c",
        "0\n0",
    ),
    Case::scene("host-name", "uname(2)", "learn the host's name", host_name),
    Case::scene("machine-id", "/etc/machine-id", "learn the host's id", machine_id),
    Case::scene("processes", "pid_namespaces(7)", "see a process that is not one's own", processes),
    Case::scene("secret-file", "host files", "find the host's secret file", secret_file),
    Case::scene(
        "secret-in-memory",
        "environment of others",
        "find the host's secret in any process or environment",
        secret_in_memory,
    ),
    Case::scene("data-directory", "mountinfo", "learn where hangar keeps its data", data_directory),
    Case::scene("environment", "the host's environment", "find a variable of the host", environment),
    Case::script(
        "shadow",
        "/etc/shadow",
        "read the host's passwords",
        "cat /etc/shadow /etc/gshadow /etc/sudoers 2>/dev/null | wc -c",
        "0",
    ),
    Case::script(
        "ssh",
        "ssh agent and keys",
        "find ssh's keys, agent or host keys",
        "ls -A /etc/ssh ~/.ssh /root/.ssh 2>/dev/null | wc -l; echo \"$SSH_AUTH_SOCK$SSH_AGENT_PID\"",
        "0",
    ),
    Case::script(
        "container-sockets",
        "docker.sock",
        "find a container runtime's socket",
        "find / -xdev \\( -path /usr -o -path /opt -o -path /proc \\) -prune -o -name '*.sock' -print 2>/dev/null | grep -E 'docker|containerd|crio|podman|hangar'; ls /var/run/docker.sock /run/docker.sock 2>/dev/null; echo end",
        "end",
    ),
    Case::script(
        "others-people",
        "home directories",
        "find a home of the host",
        "ls /home; find /root -type f 2>/dev/null | wc -l",
        "agent\n0",
    ),
    Case::scene(
        "other-sandbox",
        "isolation of sessions",
        "see files, processes or memory of another sandbox",
        other_sandbox,
    ),
    Case::scene(
        "nothing-stays",
        "reuse of ids",
        "find in a new sandbox what an earlier one left in memory",
        nothing_stays,
    ),
];

fn host_name(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").map_err(|error| error.to_string())?;
        let seen = arena.script("hostname; uname -n; cat /proc/sys/kernel/hostname /etc/hostname /etc/hosts").await;
        check(!seen.split_whitespace().any(|word| word == host.trim()), || format!("it saw {seen:?}"))
    })
}

fn machine_id(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let host = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let seen = arena.script("cat /etc/machine-id /var/lib/dbus/machine-id 2>/dev/null").await;
        let own = seen.lines().next().is_some_and(|id| id.len() == 32);
        check(own && (host.trim().is_empty() || !seen.contains(host.trim())), || format!("it saw {seen:?}"))
    })
}

fn processes(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let script = "for p in /proc/[0-9]*; do read name <$p/comm; echo $name; done >/tmp/names 2>/dev/null; sort -u /tmp/names | xargs";
        let seen = arena.script(script).await;
        let pid = arena.canaries.process();
        let by_number =
            arena.script(&format!("kill -0 {pid} 2>/dev/null && echo there; ls -d /proc/{pid} 2>/dev/null")).await;
        check(seen == "bash hangar-exec hangar-guest" && by_number.is_empty(), || format!("{seen:?} {by_number:?}"))
    })
}

fn secret_file(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let (file, secret) = (arena.canaries.file(), &arena.canaries.secret);
        let direct =
            arena.script(&format!("cat {file} 2>/dev/null; ls /proc/*/root{file} /proc/*/cwd{file} 2>/dev/null")).await;
        check(direct.is_empty(), || format!("it read {direct:?}"))?;
        // Everywhere but in the host's programs, which are many and the same for all.
        let script = format!(
            "grep -rlsF -- '{secret}' /etc /home /tmp /run /var /opt/*.* /workspace /dev/shm --exclude-dir=toolchains 2>/dev/null | grep -v '^/tmp/' | head -3"
        );
        let found = arena.script(&script).await;
        check(found.is_empty(), || format!("it found it in {found:?}"))
    })
}

fn secret_in_memory(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        // The brackets keep the command that searches from finding itself.
        let script =
            "cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c 'sings-at-da[w]n'; true";
        let seen = arena.script(script).await;
        // And what every process has in its memory, read as a debugger would.
        let memory = r#"perl -e 'for my $p (glob "/proc/[0-9]*") { next if $p eq "/proc/$$"; open M, "<", "$p/maps" or next; open F, "<", "$p/mem" or next; while (<M>) { /^(\w+)-(\w+) rw/ or next; my ($a, $e) = (hex $1, hex $2); $e - $a < 64 << 20 or next; sysseek F, $a, 0; sysread F, my $b, $e - $a; print "$p\n" if $b =~ /sings-at-da[w]n/ } }'"#;
        let found = arena.script(memory).await;
        check(seen == "0" && found.is_empty(), || format!("{seen} times; memory of {found:?}"))
    })
}

fn data_directory(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let place = arena.path("");
        let place = place.to_string_lossy().trim_end_matches('/').to_owned();
        let script = format!(
            "cat /proc/self/mountinfo /proc/self/mounts /proc/1/cmdline 2>/dev/null | grep -cF '{place}'; env | grep -cF '{place}'"
        );
        let seen = arena.script(&script).await;
        check(seen == "0\n0", || format!("its path shows {seen:?} times"))
    })
}

fn environment(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let names = arena.script("env | cut -d= -f1").await;
        let foreign: Vec<&str> = names
            .lines()
            .filter(|name| {
                ["CARGO_MANIFEST_DIR", "CARGO_TARGET_DIR", "RUSTUP_HOME", "LD_LIBRARY_PATH", "OLDPWD", "SUDO_USER"]
                    .contains(name)
                    || name.starts_with("CARGO_PKG")
            })
            .collect();
        check(foreign.is_empty(), || format!("{foreign:?}"))
    })
}

fn other_sandbox(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let other = arena.another("neighbour", |_| {}).await;
        let left = said(&other, "for d in /workspace /home/agent /tmp /dev/shm /run; do echo feather >$d/feather 2>/dev/null; done; (sleep 77 &) ; echo left").await;
        let seen = arena.script("find /workspace /home /tmp /dev/shm /run -name feather 2>/dev/null; grep -sl 77 /proc/*/cmdline | grep -v self; ipcs -m 2>/dev/null | grep -c 0x; echo end").await;
        other.destroy().await;
        check(left == "left" && seen.ends_with("0\nend") && !seen.contains("feather"), || format!("{left:?} {seen:?}"))
    })
}

fn nothing_stays(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let first = arena.another("first", |_| {}).await;
        let ids = "cat /etc/machine-id; head -c 16 /dev/urandom | od -An -tx1; cat /proc/self/uid_map | tr -s ' '";
        let before = said(&first, &format!("echo x >/tmp/left; echo x >/dev/shm/left; echo x >/run/left; {ids}")).await;
        first.destroy().await;
        let second = arena.another("second", |_| {}).await;
        let after = said(&second, &format!("find /tmp /dev/shm /run -name left; {ids}")).await;
        second.destroy().await;
        let same = before.lines().take(2).zip(after.lines().take(2)).any(|(before, after)| before == after);
        check(!after.contains("left") && !same, || format!("before {before:?}, after {after:?}"))
    })
}
