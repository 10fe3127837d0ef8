//! What this machine can do, what it cannot, and how to mend that.
//!
//! Each check tries the thing itself where trying leaves no trace, and reads the kernel's settings otherwise.

use std::{fs, path::Path};

use crate::{
    backends::{program, vm},
    ids::IdRange,
    namespace::{cgroup, process, rights::Rights},
    spec::{DOCKER_SOCKET_DEFAULT, MachineKernel, STATE_DIR},
    toolchains,
};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What, in a word or two.
    pub name: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found, and what it means for sandboxes.
    pub meaning: String,
    /// What to do about it; empty when all is well.
    pub mend: String,
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Sandboxes work, with less than they could have.
    Warn,
    /// Sandboxes do not work without it.
    Missing,
}

impl Finding {
    fn ok(name: &'static str, meaning: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, meaning: meaning.into(), mend: String::new() }
    }

    fn warn(name: &'static str, meaning: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, meaning: meaning.into(), mend: mend.into() }
    }

    fn missing(name: &'static str, meaning: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Missing, meaning: meaning.into(), mend: mend.into() }
    }
}

/// Looks at this machine. `data_dir` is hangar's data directory, `kernel` the one that machines are configured to start from. Blocks for some milliseconds.
#[must_use]
pub fn doctor(data_dir: &Path, kernel: Option<&MachineKernel>) -> Vec<Finding> {
    let rights = Rights::detect();
    let mut findings = vec![running_kernel(), user(rights), namespaces(rights), overlay(), seccomp(), landlock()];
    findings.extend([id_mapping(rights, data_dir), id_ranges(rights), control_groups(), disk(data_dir), kvm()]);
    let machines = virtual_machines(data_dir, kernel);
    let stronger = stronger(&machines);
    findings.extend([gvisor(), machines, docker(), recommended(rights, &stronger)]);
    findings.push(found_toolchains());
    findings
}

/// Oldest kernel with everything that is needed: overlay over idmapped layers, `mount_setattr`, `close_range` with CLOEXEC.
const KERNEL_MIN: (u32, u32) = (5, 19);

fn running_kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim().to_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= KERNEL_MIN {
        return Finding::ok("kernel", format!("Linux {release}"));
    }
    let (major, minor) = KERNEL_MIN;
    let meaning = format!("Linux {release} is older than {major}.{minor}; layers cannot be shared between sandboxes");
    Finding::missing("kernel", meaning, format!("upgrade the kernel to {major}.{minor} or later"))
}

fn user(rights: Rights) -> Finding {
    match rights {
        Rights::Root => Finding::ok("user", "root: every sandbox gets a range of ids of its own and hard limits"),
        Rights::Rootless => Finding::warn(
            "user",
            "an ordinary user: a sandbox has the one id of this user, and limits only where control groups are delegated",
            "run hangar as root (its commands never are), or see docs/sandbox.md, \"Rootless\"",
        ),
    }
}

fn namespaces(rights: Rights) -> Finding {
    match process::Parked::in_user_namespace() {
        Ok(_) => Finding::ok("namespaces", "user namespaces can be made"),
        Err(error) => {
            let setting = match rights {
                Rights::Root => "sysctl user.max_user_namespaces=15000",
                Rights::Rootless => {
                    "sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000, and on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0"
                }
            };
            Finding::missing("namespaces", format!("user namespaces cannot be made: {error}"), setting)
        }
    }
}

fn overlay() -> Finding {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let listed = known.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay");
    if listed || Path::new("/sys/module/overlay").exists() {
        Finding::ok("overlay", "overlayfs is there")
    } else {
        let meaning = "overlayfs is not loaded; a workspace is an overlay of the clone and the session's changes";
        Finding::missing("overlay", meaning, "modprobe overlay")
    }
}

fn seccomp() -> Finding {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    if actions.split_whitespace().any(|action| action == "errno") {
        Finding::ok("seccomp", "system call filters can be installed")
    } else {
        Finding::missing("seccomp", "the kernel has no system call filters", "use a kernel with CONFIG_SECCOMP_FILTER")
    }
}

/// The interface of Landlock from which on signals and abstract sockets are bounded as well (Linux 6.12).
const LANDLOCK_COMPLETE: i64 = 6;

fn landlock() -> Finding {
    let mend = "use a kernel with CONFIG_SECURITY_LANDLOCK whose list of security modules (lsm=) has landlock in it, 6.12 or later";
    match landlock_abi() {
        Some(abi) if abi >= LANDLOCK_COMPLETE => {
            Finding::ok("landlock", format!("interface {abi}: files, signals and abstract sockets are bounded"))
        }
        Some(abi) => Finding::warn(
            "landlock",
            format!("interface {abi} bounds files, but not all it could; mounts and namespaces still hold"),
            mend,
        ),
        None => Finding::warn(
            "landlock",
            "the kernel has no Landlock: what may be written follows from mounts and owners alone",
            mend,
        ),
    }
}

/// The kernel's interface of Landlock, if it has one.
#[allow(unsafe_code, reason = "this question has no safe wrapper")]
pub(crate) fn landlock_abi() -> Option<i64> {
    const ASK_FOR_VERSION: libc::c_uint = 1;
    // SAFETY: with a null pointer, size 0 and this flag the call returns a number and touches no memory.
    let abi = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0usize, ASK_FOR_VERSION)
    };
    (abi > 0).then_some(abi)
}

/// File systems that can be mounted with mapped ids since [`KERNEL_MIN`] or before.
const ID_MAPPING_FILE_SYSTEMS: &[(u64, &str)] =
    &[(0xef53, "ext4"), (0x5846_5342, "xfs"), (0x9123_683e, "btrfs"), (0xf2f5_2010, "f2fs"), (0x0102_1994, "tmpfs")];

fn id_mapping(rights: Rights, state_dir: &Path) -> Finding {
    let name = "id mapping";
    // It may not be there yet; then its nearest parent decides.
    let existing = state_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let Ok(stat) = rustix::fs::statfs(existing) else {
        let meaning = format!("{} cannot be looked at", existing.display());
        return Finding::missing(name, meaning, "choose another data directory");
    };
    let magic = u64::try_from(stat.f_type).unwrap_or(0);
    match (rights, ID_MAPPING_FILE_SYSTEMS.iter().find(|(known, _)| *known == magic)) {
        (_, Some((_, kind))) => Finding::ok(name, format!("{} is on {kind}, which can map ids", existing.display())),
        (Rights::Rootless, None) => Finding::ok(name, "without root no ids are mapped, so any file system will do"),
        (Rights::Root, None) => Finding::missing(
            name,
            format!(
                "{} is on a file system (type {magic:#x}) that cannot map ids, or not known to",
                existing.display()
            ),
            "put the data directory on ext4, xfs or btrfs",
        ),
    }
}

fn id_ranges(rights: Rights) -> Finding {
    let name = "id ranges";
    let first = IdRange::DISK.first;
    match rights {
        Rights::Rootless => Finding::ok(name, "not used without root"),
        Rights::Root => {
            let taken = ["/etc/subuid", "/etc/subgid"].iter().any(|file| {
                fs::read_to_string(file).unwrap_or_default().lines().any(|line| {
                    let mut fields = line.split(':').skip(1).map_while(|field| field.parse::<u64>().ok());
                    fields.next().zip(fields.next()).is_some_and(|(from, count)| from + count > u64::from(first))
                })
            });
            if taken {
                let meaning = format!("/etc/subuid or /etc/subgid gives out ids above {first}, which sandboxes use");
                Finding::warn(name, meaning, format!("give other programs ids below {first}"))
            } else {
                Finding::ok(name, format!("ids from {first} are free for sandboxes"))
            }
        }
    }
}

fn control_groups() -> Finding {
    let name = "control groups";
    match cgroup::survey() {
        Ok(found) => Finding::ok(name, found),
        Err(missing) => Finding::warn(
            name,
            format!("{missing}; sandboxes run without that limit, and one can starve the machine"),
            "run hangar as root with control groups mounted, or as a systemd service with Delegate=yes (to try: systemd-run --user --scope -p Delegate=yes hangar up)",
        ),
    }
}

/// Free space below which a warning is due.
const FREE_BYTES_WANTED: u64 = 10 * 1024 * 1024 * 1024;

fn disk(state_dir: &Path) -> Finding {
    let existing = state_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    match crate::disk::free(existing).map(|free| free.bytes) {
        Ok(free) if free >= FREE_BYTES_WANTED => Finding::ok("disk", format!("{} GiB are free", free >> 30)),
        Ok(free) => Finding::warn(
            "disk",
            format!("only {} MiB are free; below 512 MiB no sandbox may grow its files", free >> 20),
            "free some space, or move the data directory",
        ),
        Err(error) => Finding::warn("disk", format!("free space is unknown: {error}"), "check the data directory"),
    }
}

fn kvm() -> Finding {
    match fs::File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Finding::ok("kvm", "/dev/kvm can be opened (the backend `vm` tries whether it runs machines)"),
        Err(error) => Finding::warn(
            "kvm",
            format!(
                "/dev/kvm: {error}. The backend `namespace` does not need it; it shares the host's kernel with its sandboxes"
            ),
            "for tenants who do not trust each other use a machine with hardware virtualisation",
        ),
    }
}

fn gvisor() -> Finding {
    match program::find("runsc") {
        Some(path) => Finding::ok("gvisor", format!("{} is there for the backend `gvisor`", path.display())),
        None => Finding::warn("gvisor", "runsc is not installed, which the backend `gvisor` starts", INSTALL_RUNSC),
    }
}

/// Whether the backend `vm` can start machines here, and how fast they would be.
fn virtual_machines(data_dir: &Path, kernel: Option<&MachineKernel>) -> Finding {
    let name = "vm";
    let Some(qemu) = program::find(vm::QEMU) else {
        let meaning = format!("{} is not installed, which the backend `vm` starts", vm::QEMU);
        return Finding::warn(name, meaning, format!("on Debian: {} linux-image-amd64", vm::INSTALL_QEMU));
    };
    if let Err(error) = fs::metadata("/dev/net/tun") {
        let meaning = format!("/dev/net/tun: {error}; a machine of the backend `vm` has no network without it");
        return Finding::warn(name, meaning, "modprobe tun");
    }
    match vm::kernel::find(kernel) {
        Err(why) => Finding::warn(name, "the backend `vm` has no kernel to start machines from", why),
        Ok(found) => {
            let state = data_dir.join(STATE_DIR);
            let speed = vm::accelerator::known(&state).unwrap_or(if Path::new("/dev/kvm").exists() {
                "whether on the processor (KVM) is tried when the backend first starts"
            } else {
                "emulated, which is slow: there is no /dev/kvm"
            });
            let meaning = format!(
                "{} starts machines from {} for the backend `vm`; {speed}",
                qemu.display(),
                found.image.display()
            );
            Finding::ok(name, meaning)
        }
    }
}

/// Names of the backends with a kernel of their own that are ready on this machine.
fn stronger(machines: &Finding) -> Vec<&'static str> {
    let mut ready = Vec::new();
    if program::find("runsc").is_some() {
        ready.push("gvisor");
    }
    match machines.verdict {
        Verdict::Ok => ready.push("vm"),
        Verdict::Warn | Verdict::Missing => {}
    }
    ready
}

fn docker() -> Finding {
    let socket = Path::new(DOCKER_SOCKET_DEFAULT);
    if std::os::unix::net::UnixStream::connect(socket).is_ok() {
        return Finding::ok("docker", format!("a daemon listens at {} for the backend `docker`", socket.display()));
    }
    let meaning = format!("no daemon listens at {}; only the backend `docker` needs one", socket.display());
    Finding::ok("docker", meaning)
}

/// Which backend to choose, and why.
fn recommended(rights: Rights, stronger: &[&str]) -> Finding {
    let name = "backend";
    let shared = "`namespace` shares the host's kernel with its sandboxes: for people who trust each other";
    match (rights, stronger) {
        (Rights::Root, []) => Finding::warn(
            name,
            format!("{shared}. For tenants who do not, `gvisor` or `vm` is recommended, and neither is ready here"),
            INSTALL_RUNSC,
        ),
        (Rights::Root, [first, others @ ..]) => {
            let others: String = others.iter().map(|other| format!(" or \"{other}\"")).collect();
            Finding::ok(
                name,
                format!(
                    "{shared}. For tenants who do not, set sandbox.backend = \"{first}\"{others}: ready on this machine"
                ),
            )
        }
        (Rights::Rootless, _) => Finding::warn(
            name,
            format!("{shared}. It is the only one that works without root"),
            "for tenants who do not trust each other run hangar as root with sandbox.backend = \"gvisor\"",
        ),
    }
}

/// How the program behind `gvisor` is installed.
const INSTALL_RUNSC: &str =
    "on Debian 12: apt-get install -t bookworm-backports runsc; elsewhere see gvisor.dev/docs/user_guide/install";

fn found_toolchains() -> Finding {
    let found: Vec<String> = toolchains::detect().into_iter().map(|toolchain| toolchain.name).collect();
    if found.is_empty() {
        let meaning = "none in this user's home; sandboxes have what is installed below /usr";
        return Finding::ok("toolchains", meaning);
    }
    Finding::ok("toolchains", format!("mounted read only in every sandbox: {}", found.join(", ")))
}
