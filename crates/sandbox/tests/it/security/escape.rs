//! Group 1: out of the sandbox.

use futures::future::BoxFuture;
use hangar_sandbox::BackendKind;
use libc::{EINVAL, ENOSYS, ENOTTY, EPERM};

use super::{
    arena::{Arena, check, said},
    case::Case,
    house::Housed,
};

pub(crate) const CASES: &[Case] = &[
    // Mounts and roots.
    Case::call("mount", "mount(2)", "mount a file system", "165 s:none s:/nonexistent s:tmpfs 0 0", EPERM),
    Case::call("umount", "umount(2)", "take a mask away", "166 s:/nonexistent 0", EPERM),
    Case::call("pivot-root", "pivot_root(2)", "change the root", "155 s:/tmp s:/tmp", EPERM),
    Case::call("open-tree", "open_tree(2)", "pick up a mount", "428 -100 s:/ 0", EPERM),
    Case::call("open-tree-attr", "open_tree_attr(2)", "pick up a mount and change it", "467 -100 s:/ 0 b:32 32", EPERM),
    Case::call("move-mount", "move_mount(2)", "move a mount", "429 -1 s: -100 s:/tmp 4", EPERM),
    Case::call("fsopen", "fsopen(2)", "make a file system", "430 s:tmpfs 0", EPERM),
    Case::call("fsconfig", "CVE-2022-0185", "configure a file system", "431 -1 0 0 0 0", EPERM),
    Case::call("fsmount", "fsmount(2)", "mount what was made", "432 -1 0 0", EPERM),
    Case::call("fspick", "fspick(2)", "reconfigure a mount", "433 -100 s:/ 0", EPERM),
    Case::call("mount-setattr", "mount_setattr(2)", "make a read-only mount writable", "442 -100 s:/ -1 b:32 32", EPERM),
    Case::call("statmount", "statmount(2)", "ask about mounts by number", "457 b:32 b:256 256 0", ENOSYS),
    Case::call("listmount", "listmount(2)", "list mounts by number", "458 b:32 b:256 8 0", ENOSYS),
    Case::call("chroot", "chroot(2)", "change the root of one process", "161 s:/nonexistent", EPERM).agent_only(),
    Case::scene("chroot-walk", "the classic walk out of chroot", "chroot below, walk up from outside of it", chroot_walk),
    Case::script(
        "mount-for-real",
        "mount(8)",
        "mount memory over /tmp, bind /usr, remount / writable",
        "for a in '-t tmpfs none /tmp' '--bind /usr /tmp' '-o remount,rw /' '-t proc proc /tmp' '-t sysfs s /tmp'; do \
         mount $a 2>/dev/null && echo \"did $a\"; done; wc -l </proc/self/mountinfo >/tmp/after; echo end",
        "end",
    ),
    // Namespaces.
    Case::call("unshare-user", "CVE-2023-0386", "make a user namespace", "272 0x10000000", EPERM),
    Case::call("unshare-mount", "unshare(2)", "make a mount namespace", "272 0x20000", EPERM),
    Case::call("unshare-net", "unshare(2)", "make a network namespace", "272 0x40000000", EPERM),
    Case::call("unshare-pid", "unshare(2)", "make a process namespace", "272 0x20000000", EPERM),
    Case::call("unshare-ipc", "unshare(2)", "make an IPC namespace", "272 0x08000000", EPERM),
    Case::call("unshare-uts", "unshare(2)", "make a host name namespace", "272 0x04000000", EPERM),
    Case::call("unshare-cgroup", "CVE-2022-0492", "make a control group namespace", "272 0x02000000", EPERM),
    Case::call("unshare-time", "unshare(2)", "make a time namespace", "272 0x80", EPERM),
    Case::call("clone-user", "clone(2)", "start a process in a user namespace", "56 0x10000011 0 0 0 0", EPERM),
    Case::call("clone-high-bits", "argument width", "the same with bits above 32 set", "56 0x110000011 0 0 0 0", EPERM),
    Case::call("clone3", "clone3(2)", "hide the flags in memory", "435 b:8 8", ENOSYS),
    Case::call("setns", "setns(2)", "enter a namespace", "308 -1 0", EPERM),
    Case::call("namespace-parent", "ioctl_ns(2)", "ask for the parent of a namespace", "16 f:/proc/self/ns/pid 0xb702", ENOTTY),
    Case::call("namespace-owner", "ioctl_ns(2)", "ask for the owner of a namespace", "16 f:/proc/self/ns/net 0xb701", ENOTTY),
    Case::call("pidfd-namespace", "pidfd ioctl, Linux 6.11", "a namespace by a process descriptor", "16 p:1 0xff03", ENOTTY),
    Case::script(
        "namespaces-of-the-guest",
        "CVE-2024-21626 family",
        "open the namespaces, root, directory and program of process 1",
        "for n in ns/mnt ns/user ns/pid ns/net root/ cwd/ exe fd/3; do (exec 3</proc/1/$n) 2>/dev/null && echo \"opened $n\"; done; echo end",
        "end",
    ),
    Case::scene("own-namespaces", "namespaces(7)", "be in a namespace of the host", own_namespaces),
    // Ways around the mounts.
    Case::call("open-by-handle", "CVE-2014-9357 (Shocker)", "open a file of the host by its handle", "304 -1 b:128 0", EPERM),
    Case::call("name-to-handle", "Shocker", "ask for a file's handle", "303 -100 s:/ b:8 b:8 0", EPERM),
    Case::call("mknod-disk", "mknod(2)", "make the host's disk", "133 s:/tmp/disk 0x61b0 0xfe00", EPERM),
    Case::call("mknod-mem", "mknod(2)", "make /dev/mem", "133 s:/tmp/mem 0x21b0 0x101", EPERM),
    Case::call("mknodat-whiteout", "overlayfs whiteouts", "make a whiteout of one's own", "259 -100 s:/tmp/white 0x21b0 0", EPERM),
    Case::script(
        "no-devices",
        "device nodes",
        "find a device beyond the harmless ones",
        "find /dev \\( -type b -o -type c \\) | grep -vE '^/dev/(full|null|random|tty|urandom|zero|pts/(ptmx|[0-9]+)|ptmx|console)$'; echo end",
        "end",
    ),
    Case::scene("device-nodes-are-dead", "MS_NODEV", "a mount on which device files would work", mount_flags),
    Case::scene("leaked-descriptors", "CVE-2024-21626", "find a descriptor of the host in a new process", leaked_descriptors),
    Case::script(
        "cwd-outside",
        "CVE-2024-21626",
        "start in a directory outside of the root",
        "readlink /proc/self/cwd /proc/self/root; pwd -P",
        "/workspace\n/\n/workspace",
    ),
    Case::script(
        "guest-overwrite",
        "CVE-2019-5736",
        "overwrite the program of process 1",
        "(echo x >/proc/1/exe) 2>/dev/null && echo wrote; for p in /proc/[0-9]*; do (: >>$p/exe) 2>/dev/null && echo \"$p\"; done; echo end",
        "end",
    ),
    // Orders to the kernel through files.
    Case::scene("kernel-settings", "CVE-2025-31133, core_pattern, modprobe", "write a setting below /proc/sys", kernel_settings),
    Case::scene("network-settings", "sysctl of a network namespace", "write a network setting below /proc/sys/net", network_settings),
    Case::script(
        "sysrq",
        "sysrq-trigger",
        "make the machine crash, reboot or sync",
        "(echo s >/proc/sysrq-trigger) 2>/dev/null && echo wrote; echo end",
        "end",
    ),
    Case::script(
        "binfmt",
        "binfmt_misc",
        "register an interpreter for the host",
        "(echo ':x:M::x::/tmp/x:' >/proc/sys/fs/binfmt_misc/register) 2>/dev/null && echo wrote; ls /proc/sys/fs/binfmt_misc 2>/dev/null; echo end",
        "end",
    ),
    Case::script(
        "release-agent",
        "CVE-2022-0492",
        "find or mount a control group hierarchy",
        "find / -xdev \\( -path /usr -o -path /opt -o -path /proc \\) -prune -o -name release_agent -print 2>/dev/null; grep -qE -- ' - cgroup2? ' /proc/self/mountinfo && echo named; mkdir -p /tmp/cg; mount -t cgroup -o rdma c /tmp/cg 2>/dev/null && echo mounted; echo end",
        "end",
    ),
    Case::script("uevent-helper", "uevent_helper", "find /sys", "ls /sys 2>/dev/null | head -1; (echo /tmp/x >/sys/kernel/uevent_helper) 2>/dev/null && echo wrote; echo end", "end"),
    Case::script(
        "masked-races",
        "CVE-2025-31133",
        "put something else in the place of what masks /proc",
        "mv /dev/null /dev/null2 2>&- && { echo moved; ln -s /proc/sys/kernel/core_pattern /dev/null 2>&- && echo linked; \
         rm -f /dev/null; mv /dev/null2 /dev/null; }; test -c /dev/null && echo end",
        "end",
    ),
    Case::script(
        "console",
        "CVE-2025-52565",
        "reach the machine's console",
        "for d in console tty1 ttyS0 hvc0 kmsg; do test -c /dev/$d && (echo x >/dev/$d) 2>/dev/null && echo \"wrote $d\"; done; echo end",
        "end",
    ),
    // Rights.
    Case::script(
        "capabilities",
        "capabilities(7)",
        "hold a capability, or be able to gain one",
        "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs)' /proc/self/status | tr -d '\\t' | sed s/0000000000000000/none/",
        "CapInh:none\nCapPrm:none\nCapEff:none\nCapBnd:none\nCapAmb:none\nNoNewPrivs:1",
    )
    .agent_only(),
    Case::call("setuid", "setuid(2)", "become the sandbox's root", "105 0", EPERM).agent_only(),
    Case::call("setgid", "setgid(2)", "join the sandbox's root's group", "106 0", EPERM).agent_only(),
    Case::call("setgroups", "CVE-2018-7169", "drop or gain groups", "116 0 0", EPERM).agent_only(),
    Case::call("capset", "capset(2)", "raise a capability", "126 x:2205082000000000 x:000020000000200000000000000000000000000000000000", EPERM)
        .agent_only(),
    Case::call("securebits", "prctl(2)", "change how ids and capabilities go together", "157 28 47", EPERM),
    Case::call("chown-root", "chown(2)", "give a file to the sandbox's root", "92 s:/workspace/README.md 0 0", EPERM).agent_only(),
    Case::call("set-mm", "prctl(2)", "move the borders of one's memory", "157 35 15 b:8 0 0", EINVAL),
    Case::scene("set-user-id", "set-user-id programs", "run a set-user-id program with its owner's rights", set_user_id),
    Case::scene("host-ids", "user_namespaces(7)", "be somebody on the host", host_ids),
    Case::script(
        "one-way",
        "no_new_privs",
        "take the filters off again",
        "grep -E '^(NoNewPrivs|Seccomp|Seccomp_filters):' /proc/self/status | tr -d '\\t'",
        "NoNewPrivs:1\nSeccomp:2\nSeccomp_filters:1",
    ),
];

fn chroot_walk(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let script = r#"perl -e 'mkdir "/tmp/r"; opendir(D, "/"); chroot("/tmp/r") and do { chdir(*D); chdir("..") for 1..40; chroot("."); }; print -e "/etc/hostname" ? `cat /etc/hostname` : "none\n"'"#;
        let found = arena.script(script).await;
        let own = arena.script("cat /etc/hostname").await;
        // It stays below, or comes to the root that it had before.
        check(found == own || found == "none", || format!("it came to {found:?}"))
    })
}

fn own_namespaces(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let mut problems = Vec::new();
        for kind in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
            let host = std::fs::read_link(format!("/proc/self/ns/{kind}")).map_err(|error| error.to_string())?;
            let inside = arena.script(&format!("readlink /proc/self/ns/{kind}")).await;
            if inside.is_empty() {
                problems.push(format!("there is no {kind}"));
            } else if *inside == *host.to_string_lossy() {
                problems.push(format!("{kind} is the host's"));
            }
        }
        check(problems.is_empty(), || problems.join(", "))
    })
}

fn mount_flags(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let mounts = arena.script("cat /proc/self/mountinfo").await;
        for line in mounts.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let (at, options) = (fields[4], fields[5]);
            check(options.contains("nosuid"), || format!("{at} is not nosuid: {line}"))?;
            let device = at.starts_with("/dev/") && at != "/dev/shm"
                || fields.contains(&"devtmpfs")
                // A mask is /dev/null over a file.
                || at.starts_with("/proc/");
            check(device || options.contains("nodev"), || format!("{at} is not nodev: {line}"))?;
        }
        Ok(())
    })
}

fn leaked_descriptors(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        // ls itself opens the directory.
        let seen = arena.script("ls /proc/self/fd | tr '\\n' ' '; for f in /proc/$$/fd/*; do readlink $f; done | grep -vE '^(pipe:|/dev/null|/proc/)'").await;
        check(seen == "0 1 2 3", || format!("descriptors: {seen}"))
    })
}

/// Settings that would give the machine away.
const SETTINGS: &[&str] = &[
    "kernel/core_pattern",
    "kernel/modprobe",
    "kernel/hostname",
    "kernel/domainname",
    "kernel/sysrq",
    "kernel/panic",
    "kernel/ns_last_pid",
    "kernel/shm_rmid_forced",
    "kernel/poweroff_cmd",
    "vm/overcommit_memory",
    "vm/drop_caches",
    "fs/suid_dumpable",
    "fs/mqueue/queues_max",
    "user/max_user_namespaces",
];

fn kernel_settings(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(writable_settings(arena, SETTINGS))
}

fn network_settings(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(writable_settings(
        arena,
        &["net/ipv4/ip_forward", "net/ipv4/ip_unprivileged_port_start", "net/core/somaxconn"],
    ))
}

async fn writable_settings(arena: &Arena, settings: &[&str]) -> Result<(), String> {
    let list = settings.join(" ");
    let script = format!("for s in {list}; do (exec 3>>/proc/sys/$s) 2>/dev/null && echo $s; done; echo end");
    let opened = arena.script(&script).await;
    check(opened == "end", || format!("could be opened for writing: {opened}"))
}

fn set_user_id(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        // Every program that others would run with its owner's rights must run with one's own.
        let script = "me=$(id -u); for f in $(find /usr/bin /usr/sbin -perm -4000 2>/dev/null); do echo $f >/dev/null; done; \
                      cp /usr/bin/id /tmp/id 2>/dev/null; chmod 6755 /tmp/id; test \"$(/tmp/id -u)\" = \"$me\" && echo same; \
                      test -u /usr/bin/su && su -c id </dev/null 2>/dev/null; \
                      findmnt -T /tmp/id -no OPTIONS | tr , '\\n' | grep -x nosuid; findmnt -T /usr/bin -no OPTIONS | tr , '\\n' | grep -x nosuid";
        let said = arena.script(script).await;
        // The sandbox's root is let in by su as itself; nobody else gets a word from it.
        let own = |line: &&str| arena.account == super::Account::Builder && line.starts_with("uid=0(root)");
        let said = said.lines().filter(|line| !own(line)).collect::<Vec<_>>().join("\n");
        check(said == "same\nnosuid\nnosuid", || format!("said {said:?}"))
    })
}

fn host_ids(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let housed = Housed::new(arena, "somebody").await;
        let (users, first) = (housed.users(), housed.first_ids());
        let map = said(&housed.sandbox, "cat /proc/self/uid_map /proc/self/gid_map").await;
        housed.sandbox.destroy().await;
        check(!users.is_empty() && users.iter().all(|user| *user >= 2_000_000_000), || format!("users {users:?}"))?;
        if arena.kind != BackendKind::Namespace {
            // Its user namespace, if it has one, is the runtime's; inside, another kernel says what it likes.
            return check(first.iter().all(|id| *id >= 2_000_000_000), || format!("ids from {first:?}"));
        }
        for line in map.lines() {
            let fields: Vec<u32> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
            let [_, host, count] = fields[..] else { return Err(format!("a mapping {line:?}")) };
            check(host >= 2_000_000_000 && count <= 65_536, || format!("ids {host} and {count} more are somebody's"))?;
        }
        check(map.lines().count() == 2, || format!("mappings {map:?}"))
    })
}
