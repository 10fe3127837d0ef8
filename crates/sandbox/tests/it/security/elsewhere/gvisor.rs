//! gVisor: every call is answered by a kernel of the sandbox's own, in user space, that has its own files below `/proc`, `/sys` and `/dev`.

use libc::{EINVAL, ENOSYS, EOPNOTSUPP};

use super::{
    Answer::{Errno, Says, Sees},
    Elsewhere,
    Seen::{self, Everybody, RootAlone, UserAlone},
};

const fn it(case: &'static str, who: Seen, answer: super::Answer, why: &'static str) -> Elsewhere {
    Elsewhere { case, who, answer, why }
}

pub(crate) const DIFFERENCES: &[Elsewhere] = &[
    // Escape.
    it("securebits", Everybody, Errno(EINVAL), "its kernel has no secure bits that could be changed"),
    it(
        "namespaces-of-the-guest",
        Everybody,
        Says("opened ns/mnt\nopened ns/user\nopened ns/pid\nopened ns/net\nend"),
        "they are namespaces of its own kernel, the same in which the command is; entering any is refused, and root, directory, program and descriptors of process 1 stay closed",
    ),
    it(
        "own-namespaces",
        Everybody,
        Sees("there is no cgroup"),
        "its kernel has no control group namespaces; all others are its own",
    ),
    it(
        "no-devices",
        Everybody,
        Says("/dev/fuse\nend"),
        "it is its own kernel's, and of no use without mount(2), which is refused",
    ),
    it(
        "device-nodes-are-dead",
        Everybody,
        Sees("/ is not nosuid"),
        "its root has no such flag; `set-user-id` shows that the bit gives nothing, device files cannot be made, and the host's kernel opens none for it",
    ),
    it(
        "kernel-settings",
        RootAlone,
        Sees("could be opened for writing: kernel/hostname\nvm/overcommit_memory"),
        "they are settings of its own kernel; the host's are looked at afterwards",
    ),
    it(
        "network-settings",
        RootAlone,
        Sees("could be opened for writing: net/ipv4/ip_forward\nnet/core/somaxconn"),
        "they are settings of its own kernel, in a network that has loopback alone",
    ),
    it(
        "uevent-helper",
        Everybody,
        Says("block\nend"),
        "the /sys is its own kernel's and names no device of the host; there is no helper to set",
    ),
    it(
        "masked-races",
        RootAlone,
        Says("moved\nlinked\nend"),
        "the sandbox's root may rename its own devices; nothing of /proc is masked by them, because /proc is its own kernel's",
    ),
    it(
        "capabilities",
        UserAlone,
        Says("CapInh:none\nCapPrm:none\nCapEff:none\nCapBnd:none"),
        "its kernel has no ambient set and does not show no_new_privs, without which the filter could not have been set",
    ),
    it(
        "set-user-id",
        Everybody,
        Sees("said \"same\""),
        "the bit gives nothing, as everywhere; only the flags of the mounts are not shown",
    ),
    it(
        "one-way",
        Everybody,
        Says("Seccomp:2"),
        "the filter stands; its kernel does not show how many there are, nor no_new_privs, without which it could not stand",
    ),
    // Kernel surface.
    it("i386", Everybody, Says("errno 0"), "its kernel has no 32-bit calls: what comes back is not the process id"),
    it("take-from-the-guest", Everybody, Errno(ENOSYS), "its kernel does not have this call at all"),
    it(
        "environment-of-the-guest",
        Everybody,
        super::Answer::Allowed,
        "it holds one PATH and nothing else; `secret-in-memory` reads it",
    ),
    it(
        "map-of-the-guest",
        Everybody,
        super::Answer::Allowed,
        "addresses without a way to the memory: reading, writing and tracing process 1 are refused",
    ),
    it(
        "kill-the-guest",
        Everybody,
        Sees("(the sandbox has ended"),
        "its kernel lets process 1 be killed from inside: a sandbox ends itself, whole, and is made again over its files",
    ),
    it(
        "debuggers-work",
        Everybody,
        Sees("traceme ok\npair ok\nevent ok\ntimer ok\ntcp ok\nroute ok\nplain errno 22"),
        "its kernel does not randomise addresses, and so cannot be told not to; debugging works",
    ),
    // Resources.
    it(
        "fork-bomb",
        Everybody,
        Sees("processes: \"(the sandbox has ended"),
        "what runs dry is its own kernel's share of the host's processes: the sandbox ends and nobody else notices",
    ),
    it(
        "zombies",
        Everybody,
        Sees("400 zombies, "),
        "an ended process is a note in its own kernel's memory, which is counted, and no process of the host",
    ),
    it(
        "memory-bomb",
        Everybody,
        Sees("0 MiB; afterwards alive: false"),
        "all its memory is one process of the host, so the sandbox ends as a whole; nothing else is killed",
    ),
    it(
        "priority",
        Everybody,
        Sees("nicer\nend"),
        "a number in its own kernel: the host does not schedule by it, and the processor limit stands",
    ),
    it(
        "watches",
        Everybody,
        Sees("16381 of "),
        "its own kernel's watches: as many as files may be open, and none of the host's",
    ),
    it(
        "terminals",
        Everybody,
        Sees("5000 terminals; the host gets one: true"),
        "its own kernel's terminals, in memory that is counted; the host's are untouched",
    ),
    // Leaks.
    it("command-line", Everybody, Says("39"), "39 bytes that its kernel makes up, the same on every machine"),
    it("sys", Everybody, Says("10"), "its own kernel's directories; what the host has in /sys is not behind them"),
    // Files.
    it("trusted-attributes", Everybody, Errno(EOPNOTSUPP), "its kernel passes no such attribute on to the host's disk"),
    it(
        "security-attributes",
        UserAlone,
        Errno(EOPNOTSUPP),
        "its kernel passes no such attribute on to the host's disk",
    ),
    it(
        "owners-on-disk",
        Everybody,
        Sees("fifo: No such file"),
        "everything else belongs to the sandbox's range; its kernel makes no pipe on the host's disk",
    ),
    // Network.
    it(
        "firewall",
        Everybody,
        super::Answer::Allowed,
        "its kernel takes socket options that it does not know and does nothing with them; there are no tables to replace",
    ),
];
