//! What a command inside cannot see and cannot do.

use crate::bench::{Bench, output, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_workspace_does_not_tell_where_the_host_keeps_it() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("mounts").await;
    let overlays = output(&sandbox, "grep overlay /proc/self/mountinfo").await;
    assert!(overlays.contains("upperdir="), "{overlays}");
    assert!(!overlays.contains(&*bench.path("").to_string_lossy()), "{overlays}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_host_but_its_programs_is_there() {
    let bench = Bench::new().await;
    std::fs::write(bench.path("run/sandboxes/canary"), "canary").unwrap();
    let sandbox = bench.sandbox("hidden").await;
    assert_eq!(output(&sandbox, "ls -A /").await.split_whitespace().collect::<Vec<_>>().join(" "), {
        let mut expected = vec!["dev", "etc", "home", "opt", "proc", "root", "run", "tmp", "usr", "var", "workspace"];
        expected.extend(
            ["bin", "lib", "lib32", "lib64", "libx32", "sbin"]
                .into_iter()
                .filter(|name| std::path::Path::new("/").join(name).symlink_metadata().is_ok()),
        );
        // Toolchains decide whether there are /opt and, for interpreters that are named by their old path, /root.
        let with_links = hangar_sandbox::toolchains::detect();
        expected.retain(|name| match *name {
            "root" => {
                with_links.iter().any(|toolchain| toolchain.also_at.iter().any(|path| path.starts_with("/root/")))
            }
            "opt" => !with_links.is_empty(),
            _ => true,
        });
        expected.sort_unstable();
        expected.join(" ")
    });
    assert_eq!(output(&sandbox, "ls /home").await, "agent\n");
    // Only links may lie there, and only to toolchains.
    assert_eq!(output(&sandbox, "find /root -type f 2>/dev/null | head").await, "");
    assert_eq!(
        output(&sandbox, "find / -xdev -name canary 2>/dev/null; ls /tmp /home/agent").await,
        "/home/agent:\n\n/tmp:\n"
    );
    for path in
        ["/etc/shadow", "/etc/gshadow", "/etc/ssh", "/etc/sudoers", "/var/lib", "/sys/kernel", "/etc/ssl/private"]
    {
        assert!(!run(&sandbox, &format!("ls {path}")).await.ended.status.success(), "{path}");
    }
    let canary = bench.path("run/sandboxes/canary");
    assert!(!run(&sandbox, &format!("ls {}", canary.display())).await.ended.status.success());
    assert_eq!(output(&sandbox, "hostname; id -un; id -u; cat /etc/hostname").await, "hidden\nagent\n1000\nhidden\n");
    let host = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    assert_ne!(output(&sandbox, "cat /etc/machine-id").await, host);
    // Nothing of the host's environment either.
    let env = output(&sandbox, "env").await;
    let names: Vec<&str> = env.lines().filter_map(|line| line.split('=').next()).collect();
    for name in names {
        assert!(
            [
                "CARGO_HOME",
                "DEBIAN_FRONTEND",
                "GIT_TERMINAL_PROMPT",
                "HANGAR_SANDBOX",
                "HOME",
                "LANG",
                "LOGNAME",
                "PATH",
                "PWD",
                "SHELL",
                "SHLVL",
                "TERM",
                "USER",
                "_"
            ]
            .contains(&name),
            "{name}"
        );
    }
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_sees_its_own_processes_only() {
    let bench = Bench::new().await;
    let (one, two) = (bench.sandbox("one").await, bench.sandbox("two").await);
    let _kept = one.exec_stream(&hangar_sandbox::ExecSpec::argv(["sleep", "1111"])).await.unwrap();
    let seen = output(&two, "for p in /proc/[0-9]*; do read name < $p/comm; echo ${p#/proc/} $name; done").await;
    let mut names: Vec<&str> = seen.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    names.sort_unstable();
    // The supervisor of this command, and perhaps one for the next.
    names.dedup();
    assert_eq!(names, ["bash", "hangar-exec", "hangar-guest"]);
    assert!(seen.starts_with("1 hangar-guest\n"), "{seen}");
    assert!(!run(&two, "kill -9 -1; sleep 0; kill -9 1; exit 3").await.ended.status.success());
    one.ping().await.unwrap();
    two.ping().await.unwrap();
    one.destroy().await;
    two.destroy().await;
}

/// Runs a raw system call by perl, which every Debian has; prints the error's number.
fn raw(call: i64, arguments: &str) -> String {
    format!("perl -e '$!=0; $r=syscall({call}{arguments}); print $r < 0 ? $!+0 : \"done\"'")
}

#[tokio::test(flavor = "multi_thread")]
async fn dangerous_system_calls_are_denied() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("syscalls").await;
    const EPERM: &str = "1";
    const ENOSYS: &str = "38";
    const EAFNOSUPPORT: &str = "97";
    let none = r#", my $a="none", my $b="/tmp", my $c="tmpfs", 0, 0"#;
    for (name, call, arguments, expected) in [
        ("mount", 165, none, EPERM),
        ("umount2", 166, r#", my $a="/tmp", 2"#, EPERM),
        ("pivot_root", 155, r#", my $a="/tmp", my $b="/tmp""#, EPERM),
        ("chroot", 161, r#", my $a="/tmp""#, EPERM),
        ("open_tree", 428, r#", -100, my $a="/", 1"#, EPERM),
        ("move_mount", 429, r#", -100, my $a="/", -100, my $b="/tmp", 0"#, EPERM),
        ("fsopen", 430, r#", my $a="tmpfs", 0"#, EPERM),
        ("mount_setattr", 442, r#", -100, my $a="/", 0, my $b="x" x 32, 32"#, EPERM),
        ("unshare user", 272, ", 0x10000000", EPERM),
        ("unshare mount", 272, ", 0x20000", EPERM),
        ("setns", 308, ", 0, 0", EPERM),
        ("clone new user", 56, ", 0x10000011, 0, 0, 0, 0", EPERM),
        ("clone new net", 56, ", 0x40000011, 0, 0, 0, 0", EPERM),
        ("clone3", 435, r#", my $a="x" x 88, 88"#, ENOSYS),
        ("bpf", 321, r#", 0, my $a="x" x 64, 64"#, EPERM),
        ("perf_event_open", 298, r#", my $a="x" x 128, 0, -1, -1, 0"#, EPERM),
        ("userfaultfd", 323, ", 0", EPERM),
        ("io_uring_setup", 425, r#", 1, my $a="x" x 120"#, EPERM),
        ("keyctl", 250, ", 0, -3, 0", EPERM),
        ("add_key", 248, r#", my $a="user", my $b="k", my $c="v", 1, -3"#, EPERM),
        ("request_key", 249, r#", my $a="user", my $b="k", 0, -3"#, EPERM),
        ("open_by_handle_at", 304, r#", -100, my $a="x" x 128, 0"#, EPERM),
        ("name_to_handle_at", 303, r#", -100, my $a="/", my $b="x" x 128, my $c="x" x 8, 0"#, EPERM),
        ("init_module", 175, r#", my $a="x", 1, my $b="""#, EPERM),
        ("kexec_load", 246, ", 0, 0, 0, 0", EPERM),
        ("syslog", 103, ", 2, 0, 0", EPERM),
        ("personality", 135, ", 8", EPERM),
        ("socket vsock", 41, ", 40, 1, 0", EAFNOSUPPORT),
        ("socket alg", 41, ", 38, 5, 0", EAFNOSUPPORT),
        ("socket packet", 41, ", 17, 3, 0", EAFNOSUPPORT),
        ("TIOCSTI", 16, r#", 0, 0x5412, my $a="x""#, EPERM),
        ("TIOCSTI, high bits set", 16, r#", 0, 0x100005412, my $a="x""#, EPERM),
        ("x32 getpid", 0x4000_0000 + 39, "", ENOSYS),
        // Trace process 1, which has the same user id: it is not dumpable.
        ("ptrace the guest", 101, ", 16, 1, 0, 0", EPERM),
        (
            "read the guest's memory",
            310,
            r#", 1, do { our $b = "x" x 16; our $i = pack("QQ", unpack("Q", pack("p", $b)), 16); $i }, 1, $i, 1, 0"#,
            EPERM,
        ),
        // A raw device file cannot be made, a raw socket cannot be opened: no capability.
        ("mknod", 133, r#", my $a="/tmp/disk", 24576 | 0600, 0xfe00"#, EPERM),
        ("socket raw", 41, ", 2, 3, 1", EPERM),
        ("setuid root", 105, ", 0", EPERM),
        ("chown to root", 92, r#", my $a="/workspace/README.md", 0, 0"#, EPERM),
    ] {
        assert_eq!(output(&sandbox, &raw(call, arguments)).await, expected, "{name}");
    }
    // And what must work does: threads, processes, sockets, files.
    assert_eq!(output(&sandbox, &raw(39, "")).await, "done");
    assert_eq!(output(&sandbox, &raw(41, ", 1, 1, 0")).await, "done");
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_no_capability_and_cannot_gain_one() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("caps").await;
    let status = output(&sandbox, "grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status | tr -d '\\t '").await;
    let zero = "0".repeat(16);
    let expected = format!(
        "Groups:\nCapInh:{zero}\nCapPrm:{zero}\nCapEff:{zero}\nCapBnd:{zero}\nCapAmb:{zero}\nNoNewPrivs:1\nSeccomp:2\n"
    );
    assert_eq!(status, expected);
    // A program with the set-user-id bit runs as the agent.
    let script = "cp /usr/bin/id /tmp/id; chmod 4755 /tmp/id; /tmp/id -u; for f in /usr/bin/su /usr/bin/mount /usr/bin/passwd; do \
                  test -u $f && echo found; done | sort -u; unshare -r true || echo refused; mount -t tmpfs none /tmp || echo refused";
    let lines = output(&sandbox, script).await;
    assert!(lines.starts_with("1000\n") && lines.ends_with("refused\nrefused\n"), "{lines}");
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_base_cannot_be_written_and_the_kernel_takes_no_orders() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("base").await;
    for path in [
        "/new",
        "/usr/new",
        "/usr/bin/new",
        "/etc/passwd",
        "/etc/new",
        "/dev/new",
        "/opt/new",
        "/var/new",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/proc/sys/vm/drop_caches",
        "/sys/new",
    ] {
        let done = run(&sandbox, &format!("echo x > {path}")).await;
        assert!(!done.ended.status.success(), "{path} could be written");
    }
    for path in ["/proc/kcore", "/proc/kallsyms", "/proc/keys", "/proc/timer_list", "/proc/modules", "/proc/kmsg"] {
        assert_eq!(
            output(&sandbox, &format!("cat {path} 2>/dev/null | head -c 10 | wc -c")).await.trim(),
            "0",
            "{path}"
        );
    }
    // Disks of the host are not in /dev, and the guest's program cannot be overwritten (CVE-2019-5736).
    let devices =
        output(&sandbox, "for f in $(find /dev); do test -b $f -o -c $f && test ! -L $f && echo $f; done | sort").await;
    let expected = ["full", "null", "pts/ptmx", "random", "tty", "urandom", "zero"];
    assert_eq!(devices.lines().collect::<Vec<_>>(), expected.map(|name| format!("/dev/{name}")));
    assert!(!run(&sandbox, "echo x > /proc/1/exe").await.ended.status.success());
    assert!(
        !run(&sandbox, "readlink /proc/1/exe || ls /proc/1/fd || cat /proc/1/environ").await.ended.status.success()
    );
    // No descriptor of the host leaks into a command (CVE-2024-21626).
    assert_eq!(output(&sandbox, "ls /proc/self/fd | tr '\\n' ' '").await, "0 1 2 3 ");
    assert_eq!(output(&sandbox, "readlink /proc/self/cwd /proc/self/root | tr '\\n' ' '").await, "/workspace / ");
    sandbox.destroy().await;
}
