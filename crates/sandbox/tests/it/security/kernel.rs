//! Group 2: parts of the kernel that nobody inside needs.

use std::time::Duration;

use futures::future::BoxFuture;
use libc::{EACCES, EAFNOSUPPORT, EINVAL, ENOPROTOOPT, ENOSYS, ENOTTY, EOPNOTSUPP, EPERM, EPROTONOSUPPORT};

use super::{
    arena::{Arena, check, said},
    case::Case,
    house::{self, Housed},
};
use crate::bench::until;

pub(crate) const CASES: &[Case] = &[
    Case::call("bpf", "CVE-2021-3490, CVE-2022-23222", "load a program into the kernel", "321 999 b:64 64", EPERM),
    Case::call("perf", "CVE-2023-6931", "open a performance counter", "298 b:128 0 -1 -1 -1", EPERM),
    Case::call("userfaultfd", "aid of many races (CVE-2016-6187)", "handle one's own page faults", "323 1", EPERM),
    Case::call("io-uring-setup", "CVE-2022-29582, CVE-2023-2598", "set up io_uring", "425 1 b:120", EPERM),
    Case::call("io-uring-enter", "io_uring", "enter io_uring", "426 -1 0 0 0 0 0", EPERM),
    Case::call("io-uring-register", "io_uring", "register with io_uring", "427 -1 0 0 0", EPERM),
    Case::call("keyctl", "CVE-2016-0728", "read the session's keyring", "250 0 -3 0", EPERM),
    Case::call("add-key", "add_key(2)", "store a key", "248 s:user s:k s:v 1 -3", EPERM),
    Case::call("request-key", "CVE-2017-6951", "have the host look for a key", "249 s:user s:nothing 0 -3", EPERM),
    Case::scene("own-keyring", "keyrings are not namespaced", "find a key of the host", own_keyring),
    Case::call("fanotify-init", "fanotify", "watch whole file systems", "300 0x200 0", EPERM),
    Case::call("fanotify-mark", "fanotify", "mark a file system", "301 -1 0 0 0 0", EPERM),
    Case::call("vmsplice", "CVE-2008-0600", "give pages to a pipe", "278 -1 0 0 0", EPERM),
    Case::call("modify-ldt", "CVE-2015-3290", "change the local descriptor table", "154 0 b:16 16", EPERM),
    Case::call("iopl", "iopl(2)", "port input and output", "172 0", EPERM),
    Case::call("ioperm", "ioperm(2)", "port input and output", "173 0 0 0", EPERM),
    Case::call("personality", "personality(2)", "an old personality", "135 8", EPERM),
    Case::call("read-implies-exec", "personality(2)", "make all memory executable", "135 0x0400000", EPERM),
    Case::script("i386", "CVE-2010-3301", "call the kernel as a 32-bit program", "/tmp/attempt i386", "signal 31"),
    Case::call("mbind", "mbind(2)", "bind memory to a node", "237 0 4096 99 0 0 0", EPERM),
    Case::call("set-mempolicy", "set_mempolicy(2)", "choose a node for memory", "238 99 0 0", EPERM),
    Case::call("home-node", "set_mempolicy_home_node(2)", "choose a home node", "450 0 0 0 99", EPERM),
    Case::call("migrate-pages", "migrate_pages(2)", "move another's memory", "256 0 0 0 0", EPERM),
    Case::call("move-pages", "CVE-2017-14140", "find where memory lies", "279 0 0 0 0 0 0", EPERM),
    Case::call("process-madvise", "process_madvise(2)", "advise on another's memory", "440 -1 0 0 0 0", EPERM),
    Case::call("adjtimex", "adjtimex(2)", "look at and change the clock", "159 b:208", EPERM),
    Case::call("clock-settime", "clock_settime(2)", "set a clock", "227 1 b:16", EPERM),
    Case::call("clock-adjtime", "clock_adjtime(2)", "adjust a clock", "305 1 b:208", EPERM),
    Case::call("settimeofday", "settimeofday(2)", "set the time", "164 x:0000000000000000ffffffffffffff7f 0", EPERM),
    Case::call("sethostname", "sethostname(2)", "rename the machine", "170 s:x 1", EPERM),
    Case::call("setdomainname", "setdomainname(2)", "rename the domain", "171 s:x 1", EPERM),
    Case::call("reboot", "reboot(2)", "restart the machine", "169 1 2 3 0", EPERM),
    Case::call("swapon", "swapon(2)", "add swap", "167 s:/nonexistent -1", EPERM),
    Case::call("quotactl", "quotactl(2)", "read quotas of the host", "179 0xff s:/ 0 0", EPERM),
    Case::call("syslog", "dmesg", "read the kernel's log", "103 10 0 0", EPERM),
    Case::call("memfd-secret", "memfd_secret(2)", "memory that even the kernel cannot see", "447 0", ENOSYS),
    Case::call("cachestat", "page cache side channels", "ask what the host has cached", "451 -1 b:16 b:40 0", ENOSYS),
    Case::call("remap-file-pages", "remap_file_pages(2)", "an old way of mapping", "216 0 0 0 0 0", ENOSYS),
    Case::call("ustat", "ustat(2)", "ask about a device", "136 0 b:32", ENOSYS),
    Case::call("lsm-modules", "lsm_list_modules(2)", "ask which security modules there are", "461 b:64 b:8 0", ENOSYS),
    Case::call(
        "file-setattr",
        "file_setattr(2)",
        "change attributes of a kind not looked at yet",
        "469 -100 s:/tmp b:8 0 -1",
        ENOSYS,
    ),
    // Terminals and other requests to devices.
    Case::call("tiocsti", "CVE-2017-5226", "type into the terminal", "16 -1 0x5412 s:x", EPERM),
    Case::call(
        "tiocsti-high-bits",
        "CVE-2019-10063",
        "the same with bits above 32 set",
        "16 -1 0x100005412 s:x",
        EPERM,
    ),
    Case::call("tioclinux", "CVE-2023-28100", "paste into the console", "16 -1 0x541c b:8", EPERM),
    Case::call("line-discipline", "CVE-2017-2636, CVE-2023-6546", "load a line discipline", "16 -1 0x5423 b:8", EPERM),
    Case::call("tioccons", "ioctl_tty(2)", "take the console's output", "16 -1 0x541d 0", EPERM),
    Case::call("freeze", "FIFREEZE", "freeze the file system", "16 f:/tmp 0xc0045877 0", ENOTTY),
    Case::call(
        "project-id",
        "FS_IOC_FSSETXATTR",
        "change quota project and attributes",
        "16 f:/workspace/README.md 0x401c5820 0",
        ENOTTY,
    ),
    Case::call("subvolume", "btrfs", "make a subvolume outside of the count", "16 -1 0x5000940e 0", ENOTTY),
    Case::call("kvm", "CVE-2021-29657", "make a virtual machine", "16 -1 0xae01 0", ENOTTY),
    // Sockets.
    Case::call("af-alg", "CVE-2019-8912", "the kernel's cryptography", "41 38 5 0", EAFNOSUPPORT),
    Case::call("af-packet", "CVE-2020-14386", "raw frames", "41 17 3 0", EAFNOSUPPORT),
    Case::call("af-vsock", "CVE-2021-26708", "the hypervisor's sockets", "41 40 1 0", EAFNOSUPPORT),
    Case::call("af-key", "CVE-2022-1353", "IPsec's sockets", "41 15 3 2", EAFNOSUPPORT),
    Case::call("af-can", "CVE-2021-3609", "the bus of cars", "41 29 3 1", EAFNOSUPPORT),
    Case::call("af-tipc", "CVE-2021-43267", "cluster sockets", "41 30 1 0", EAFNOSUPPORT),
    Case::call("af-xdp", "XDP sockets", "a ring to the network device", "41 44 3 0", EAFNOSUPPORT),
    Case::call("socketpair-family", "socketpair(2)", "a pair of another family", "53 30 1 0 b:8", EOPNOTSUPP),
    Case::call("sctp", "CVE-2021-23133", "SCTP", "41 2 1 132", EPROTONOSUPPORT),
    Case::call("mptcp", "CVE-2024-26708", "Multipath TCP", "41 2 1 262", EPROTONOSUPPORT),
    Case::call("udplite", "UDP-Lite", "UDP-Lite", "41 2 2 136", EPROTONOSUPPORT),
    Case::call(
        "kernel-tls",
        "CVE-2025-38616, CVE-2025-39682",
        "TLS inside the kernel",
        "54 k:2:1:0 6 31 s:tls 3",
        ENOPROTOOPT,
    ),
    Case::call("netlink-netfilter", "CVE-2024-1086", "the firewall's tables", "41 16 3 12", EPROTONOSUPPORT),
    Case::call("netlink-generic", "generic netlink", "families of modules", "41 16 3 16", EPROTONOSUPPORT),
    Case::call("netlink-diag", "sock_diag(7)", "load modules that describe sockets", "41 16 3 4", EPROTONOSUPPORT),
    Case::call("netlink-uevent", "uevents", "listen to the host's devices", "41 16 3 15", EPROTONOSUPPORT),
    Case::call("netlink-audit", "audit", "the host's audit log", "41 16 3 9", EPROTONOSUPPORT),
    Case::call("netlink-xfrm", "CVE-2017-16939", "IPsec's policies", "41 16 3 6", EPROTONOSUPPORT),
    Case::call("netlink-crypto", "NETLINK_CRYPTO", "the kernel's cryptography", "41 16 3 21", EPROTONOSUPPORT),
    // A process about itself.
    Case::call("merge-pages", "CVE-2015-2877 (KSM)", "share pages with others and time it", "157 67 1 0 0 0", EINVAL),
    Case::call("perf-events", "prctl(2)", "switch counters of all processes off", "157 31 0 0 0 0", EINVAL),
    Case::call("io-flusher", "prctl(2)", "be spared by memory reclaim", "157 57 1 0 0 0", EINVAL),
    Case::call("dispatch", "prctl(2)", "have calls dispatched elsewhere", "157 59 0 0 0 0", EINVAL),
    // The guest, which has the same user id.
    Case::scene("trace-the-guest", "ptrace(2)", "trace process 1", trace_the_guest),
    Case::call("seize-the-guest", "ptrace(2)", "trace process 1 without stopping it", "101 0x4206 1 0 0", EPERM),
    Case::call(
        "read-the-guest",
        "process_vm_readv(2)",
        "read the memory of process 1",
        "310 1 x:00000000000000001000000000000000 1 x:00004000000000001000000000000000 1 0",
        EPERM,
    ),
    Case::call(
        "write-the-guest",
        "process_vm_writev(2)",
        "write the memory of process 1",
        "311 1 x:00000000000000001000000000000000 1 x:00004000000000001000000000000000 1 0",
        EPERM,
    ),
    Case::call("take-from-the-guest", "pidfd_getfd(2)", "take the host's socket from process 1", "438 p:1 3 0", EPERM),
    Case::call("compare-with-the-guest", "kcmp(2)", "compare descriptors with process 1", "312 1 1 0 0 0", EPERM),
    Case::call("memory-of-the-guest", "/proc/PID/mem", "open the memory of process 1", "2 s:/proc/1/mem 0", EACCES),
    Case::call(
        "environment-of-the-guest",
        "/proc/PID/environ",
        "read the environment of process 1",
        "2 s:/proc/1/environ 0",
        EACCES,
    ),
    Case::call(
        "map-of-the-guest",
        "/proc/PID/maps",
        "read where process 1 has its memory",
        "2 s:/proc/1/maps 0",
        EACCES,
    ),
    Case::scene("kill-the-guest", "kill(2)", "end process 1", kill_the_guest),
    Case::scene("debuggers-work", "what must stay possible", "a process traces its own child", debuggers_work),
];

/// In a sandbox of its own: a guest that can be traced is stopped for good, and nothing behind it would be answered.
fn trace_the_guest(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("traced", |_| {}).await;
        let line = "attach\t101\t16\t1\t0\t0\n";
        sandbox.write("/tmp/attach", line.as_bytes()).await.map_err(|error| error.to_string())?;
        let seen = tokio::time::timeout(TRACE_PATIENCE, said(&sandbox, "/tmp/attempt /tmp/attach")).await;
        sandbox.destroy().await;
        let seen = seen.unwrap_or_else(|_| "the guest stands still".into());
        check(seen == format!("attach errno {EPERM}"), || seen)
    })
}

/// How long a guest that answers takes at most, also on a machine with much else to do.
const TRACE_PATIENCE: Duration = Duration::from_secs(15);

fn kill_the_guest(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let housed = Housed::new(arena, "suicidal").await;
        let script = "kill -9 1; kill -SEGV 1; kill -STOP 1; sleep 0.2; test -d /proc/1 && echo still here";
        let seen = said(&housed.sandbox, script).await;
        if seen != "still here" {
            // Where it can, everything has to end with it.
            until("the end of every process", || house::processes_in(&housed.namespaces).is_empty()).await;
        }
        housed.sandbox.destroy().await;
        check(seen == "still here", || seen)
    })
}

fn own_keyring(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        // Search the session's keyring for the host's key; whether by the filter or because it is not there, it must not be found.
        let line = format!("k\t250\t10\t-3\ts:user\ts:{}\t0\n", arena.canaries.name);
        arena.sandbox.write("/tmp/key", line.as_bytes()).await.map_err(|error| error.to_string())?;
        let found = arena.attempt("/tmp/key").await;
        let listed = arena.script("cat /proc/keys /proc/key-users 2>/dev/null | head -3").await;
        check(found.starts_with("k errno") && listed.is_empty(), || format!("{found}, /proc/keys: {listed:?}"))
    })
}

/// The other side: a list that lets too little in would hold back everything.
fn debuggers_work(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        // PTRACE_TRACEME, and a thread, a pipe, a pair of sockets, an event and a timer.
        let lines = "traceme\t101\t0\t0\t0\t0\npair\t53\t1\t1\t0\tb:8\nevent\t290\t0\t0\ntimer\t283\t1\t0\ntcp\t41\t2\t1\t0\nroute\t41\t16\t3\t0\nplain\t135\t0x40000\nname\t157\t15\ts:x\n";
        arena.sandbox.write("/tmp/allowed", lines.as_bytes()).await.map_err(|error| error.to_string())?;
        let said = arena.attempt("/tmp/allowed").await;
        check(said.lines().count() == 8 && said.lines().all(|line| line.ends_with(" ok")), || said)
    })
}
