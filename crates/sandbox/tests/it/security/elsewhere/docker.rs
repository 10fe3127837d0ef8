//! Docker: the host's kernel, the daemon's mounts, and no user namespace. The same guest locks down inside.

use super::{
    Answer::{Allowed, Says, Sees},
    Elsewhere,
    Seen::UserAlone,
};

const fn it(case: &'static str, answer: super::Answer, why: &'static str) -> Elsewhere {
    Elsewhere { case, who: UserAlone, answer, why }
}

pub(crate) const DIFFERENCES: &[Elsewhere] = &[
    it(
        "device-nodes-are-dead",
        Sees("/ is not nosuid"),
        "the daemon mounts its root, and binds the host's programs, without these flags: set-user-id bits give nothing (no_new_privs, `set-user-id`), device files cannot be made, and the container's device list refuses to open any",
    ),
    it(
        "own-namespaces",
        Sees("user is the host's"),
        "the daemon gives no user namespace: commands are a user of the host that owns nothing there (`host-ids`) and holds no capability (`capabilities`); all other namespaces are their own",
    ),
    it(
        "set-user-id",
        Sees("said \"same\\nnosuid\""),
        "the bit gives nothing, as everywhere; only the bind of /usr/bin does not say so a second time",
    ),
    it(
        "release-agent",
        Says("named\nend"),
        "the daemon mounts control groups read only below /sys, which is masked; none can be mounted or opened",
    ),
    it(
        "one-way",
        Says("NoNewPrivs:1\nSeccomp:2\nSeccomp_filters:2"),
        "the daemon's own filter stands beside the guest's; neither can be taken off",
    ),
    it(
        "debuggers-work",
        Sees("traceme ok\npair ok\nevent ok\ntimer ok\ntcp ok\nroute ok\nplain errno 1"),
        "the daemon's own filter also refuses a process to switch off its own address randomisation",
    ),
    it(
        "ping",
        Allowed,
        "the daemon lets everybody ping, in a network namespace that has loopback alone: what answers is the container itself",
    ),
    it(
        "data-directory",
        Sees("its path shows"),
        "the daemon mounts layers by path, and the kernel shows the paths of an overlay: a name is learned, and nothing behind it can be opened (`secret-file`)",
    ),
    it(
        "ranges-apart",
        Sees("[]"),
        "without a user namespace every container's commands are one user of the host, that owns nothing but files of sandboxes; what keeps containers apart are their other namespaces (`other-sandbox`)",
    ),
];
