//! Virtual machines: a kernel of their own behind QEMU, of which the sandbox has all there is. The same guest locks down inside.

use super::{
    Answer::{Errno, Says, Sees},
    Elsewhere,
    Seen::Everybody,
};

const fn it(case: &'static str, answer: super::Answer, why: &'static str) -> Elsewhere {
    Elsewhere { case, who: Everybody, answer, why }
}

pub(crate) const DIFFERENCES: &[Elsewhere] = &[
    it(
        "own-namespaces",
        Sees("ipc is the host's, pid is the host's, user is the host's, uts is the host's"),
        "every Linux kernel gives its first namespaces of these kinds the same numbers; these are the machine's own, and the host's are in another kernel",
    ),
    it(
        "processes",
        Sees("\"acpi_thermal_pm bash "),
        "beside its own processes it sees the threads of its own kernel, which nobody can stop; none of the host's is there",
    ),
    it(
        "firewall",
        Errno(libc::ENOPROTOOPT),
        "its own kernel has no firewall: the drivers are not in the machine, and nothing in it can load any",
    ),
    it(
        "devices",
        Says("lo\neth0"),
        "the machine's own card; its cable ends in a network of the host that holds the border alone",
    ),
    it(
        "neighbours",
        Says("1\n2"),
        "the machine's one neighbour is the border, which stands for every address; its routes lead there, and the host's are in another kernel",
    ),
    it(
        "daemon-destroyed",
        Sees("1 before, [] left"),
        "the machine with all that runs in it is one process of the host, and is gone with it",
    ),
    it(
        "stopped-destroyed",
        Sees("1 before, [] left"),
        "the machine with all that runs in it is one process of the host, and is gone with it",
    ),
];
