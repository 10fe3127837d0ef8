//! The base `host`: this machine's own programs, read only, and nothing of its people.
//!
//! What becomes visible is a list of what is let in, never of what is kept out: `/usr` and the directories that belong to
//! it, the parts of `/etc` that programs need and that are readable for everybody anyway, toolchains by name. Everything else
//! (`/root`, `/home`, `/var`, `/srv`, `/opt`, hangar's own data) does not exist inside.

use std::{
    collections::BTreeMap,
    fs,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use hangar_protocol::guest::{
    AGENT_ID, BORDER_HOST, HOME, Setup,
    setup::{IdMapping, ProcessLimits, RootFile, Source},
};

use crate::{
    error::Error,
    mounts::Allow,
    plan::Plan,
    rights::Rights,
    slot::IdRange,
    spec::{Limits, SandboxSpec},
    toolchains::Toolchain,
};

/// Directories of the host's root that hold programs. A link (`/bin` → `usr/bin`) stays a link.
const PROGRAMS: &[&str] = &["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Parts of `/etc` that programs need to run. Only what everybody may read is taken, and nothing that is about this machine's
/// people or places: no shell profiles (they carry tokens and proxies, and reset `PATH`), no git or package manager settings.
const ETC: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "debian_version",
    "default/locale",
    "fonts",
    "inputrc",
    "java-17-openjdk",
    "java-21-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.gen",
    "localtime",
    "lsb-release",
    "magic",
    "magic.mime",
    "mailcap",
    "mime.types",
    "os-release",
    "perl",
    "pki/ca-trust",
    "pki/tls/certs",
    "protocols",
    "python3",
    "python3.11",
    "python3.12",
    "python3.13",
    "rpc",
    "services",
    "shells",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
    "vim",
    "xattr.conf",
    "X11/rgb.txt",
];

/// Text files up to this size are copied into the sandbox's root; larger ones are mounted.
const COPIED_BYTES_MAX: u64 = 32 * 1024;

/// Device files that every program expects.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Parts of `/proc` about the machine rather than about processes.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/buddyinfo",
    "/proc/cmdline",
    "/proc/config.gz",
    "/proc/consoles",
    "/proc/devices",
    "/proc/diskstats",
    "/proc/dma",
    "/proc/driver",
    "/proc/interrupts",
    "/proc/iomem",
    "/proc/ioports",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/locks",
    "/proc/mdstat",
    "/proc/misc",
    "/proc/modules",
    "/proc/pagetypeinfo",
    "/proc/partitions",
    "/proc/pressure",
    "/proc/sched_debug",
    "/proc/schedstat",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/softirqs",
    "/proc/swaps",
    "/proc/sysvipc",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/proc/zoneinfo",
];

/// Parts of `/proc` that may be read but through which the kernel takes orders.
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Memory for `/dev/shm` and for `/run`.
const SHM_BYTES: u64 = 256 * 1024 * 1024;
const RUN_BYTES: u64 = 16 * 1024 * 1024;
/// Files in `/tmp`.
const TMP_INODES: u64 = 200_000;

/// Where programs are looked up, behind the toolchains.
const PATH: &str = "/usr/local/go/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin";

/// What the host gives to every sandbox, looked up once.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    /// Trees to mount read only: target and host path.
    trees: Vec<(String, PathBuf)>,
    files: Vec<RootFile>,
    links: Vec<(String, String)>,
    path: String,
    env: BTreeMap<String, String>,
}

impl Base {
    /// Looks at this machine.
    pub(crate) fn host(toolchains: &[Toolchain]) -> Self {
        let mut base = Self { trees: vec![], files: vec![], links: vec![], path: String::new(), env: BTreeMap::new() };
        for name in PROGRAMS {
            base.offer(&format!("/{name}"));
        }
        for name in ETC {
            base.offer(&format!("/etc/{name}"));
        }
        for (path, target) in [
            ("/dev/fd", "/proc/self/fd"),
            ("/dev/stdin", "/proc/self/fd/0"),
            ("/dev/stdout", "/proc/self/fd/1"),
            ("/dev/stderr", "/proc/self/fd/2"),
            ("/dev/ptmx", "pts/ptmx"),
            ("/etc/mtab", "/proc/self/mounts"),
            ("/var/tmp", "/tmp"),
            ("/var/run", "/run"),
        ] {
            base.links.push((path.into(), target.into()));
        }
        let mut path = Vec::new();
        for toolchain in toolchains {
            base.trees.push((toolchain.target(), toolchain.host_path.clone()));
            base.links.extend(toolchain.also_at.iter().map(|path| (path.clone(), toolchain.target())));
            path.extend(toolchain.bin.iter().map(|bin| format!("{}/{bin}", toolchain.target())));
            base.env.extend(toolchain.env.clone());
        }
        path.push(PATH.into());
        // What the agent installs for itself (`cargo install`, `pip install --user`) comes last: it cannot shadow a tool of the base.
        path.extend([format!("{HOME}/.local/bin"), format!("{HOME}/.cargo/bin")]);
        base.path = path.join(":");
        base
    }

    /// Takes in one path of the host, if it exists and everybody may read it.
    fn offer(&mut self, path: &str) {
        let Ok(meta) = fs::symlink_metadata(path) else { return };
        if meta.is_symlink() {
            if let Ok(target) = fs::read_link(path) {
                self.links.push((path.into(), target.to_string_lossy().into_owned()));
            }
            return;
        }
        if meta.permissions().mode() & 0o004 == 0 {
            return;
        }
        let text = (meta.is_file() && meta.len() <= COPIED_BYTES_MAX).then(|| fs::read_to_string(path).ok()).flatten();
        match text {
            Some(content) => self.files.push(RootFile { path: path.into(), content }),
            None => self.trees.push((path.into(), path.into())),
        }
    }

    /// The set-up for one sandbox, and the descriptors that go with it.
    ///
    /// Called on the launcher's thread; `stage` is a directory of its mount namespace.
    pub(crate) fn setup(
        &self,
        spec: &SandboxSpec,
        rights: Rights,
        range: IdRange,
        stage: &Path,
    ) -> Result<(Setup, Vec<OwnedFd>), Error> {
        let mut plan = Plan { rights, mounts: vec![], descriptors: vec![] };
        for (target, path) in &self.trees {
            plan.bind(target, path, Allow::Read)?;
        }
        for device in DEVICES {
            let path = format!("/dev/{device}");
            plan.bind(&path, Path::new(&path), Allow::Device)?;
        }
        plan.fresh("/proc", Source::Proc);
        plan.fresh("/dev/pts", Source::Devpts);
        let memory = |bytes, mode, owner| Source::Tmpfs { bytes, inodes: TMP_INODES, mode, owner };
        // Numbers of the inside: the guest mounts these in its own user namespace.
        let owner = AGENT_ID;
        // Files in memory count as memory but die with no process: they must leave room, or nothing could run any more.
        let most = |bytes: u64, part: u64| bytes.min(spec.limits.memory_bytes / part);
        plan.fresh("/dev/shm", memory(most(SHM_BYTES, 8), 0o1777, owner));
        plan.fresh("/tmp", memory(most(spec.limits.tmp_bytes, 4), 0o1777, owner));
        plan.fresh("/run", memory(most(RUN_BYTES, 16), 0o755, owner));
        plan.session(spec, range, stage)?;
        let ids = match rights {
            Rights::Root => IdMapping::Range,
            Rights::Rootless => IdMapping::Single,
        };
        let mut files = self.files.clone();
        files.extend(generated(&spec.name));
        let setup = Setup {
            hostname: spec.name.clone(),
            mounts: plan.mounts,
            files,
            links: self.links.clone(),
            masked: MASKED.iter().map(|path| (*path).to_owned()).collect(),
            read_only: READ_ONLY.iter().map(|path| (*path).to_owned()).collect(),
            env: self.env(spec),
            limits: process_limits(&spec.limits),
            ids,
        };
        Ok((setup, plan.descriptors))
    }

    fn env(&self, spec: &SandboxSpec) -> BTreeMap<String, String> {
        let own = [
            ("PATH", self.path.as_str()),
            ("HOME", HOME),
            ("USER", "agent"),
            ("LOGNAME", "agent"),
            ("SHELL", "/bin/bash"),
            ("LANG", "C.UTF-8"),
            ("TERM", "xterm-256color"),
            ("HANGAR_SANDBOX", spec.name.as_str()),
            // Nobody is there to answer a question.
            ("GIT_TERMINAL_PROMPT", "0"),
            ("DEBIAN_FRONTEND", "noninteractive"),
        ];
        let mut env: BTreeMap<String, String> =
            own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        env.extend(self.env.clone());
        env.extend(spec.env.clone());
        env
    }
}

fn process_limits(limits: &Limits) -> ProcessLimits {
    ProcessLimits { open_files: limits.open_files, file_bytes: limits.file_bytes }
}

/// Files of `/etc` that tell about the sandbox instead of about the host.
fn generated(name: &str) -> Vec<RootFile> {
    let machine: String = random_hex();
    let file = |path: &str, content: String| RootFile { path: path.into(), content };
    vec![
        file(
            "/etc/passwd",
            format!(
                "root:x:0:0:root:/root:/bin/bash\nagent:x:{AGENT_ID}:{AGENT_ID}:agent:{HOME}:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
            ),
        ),
        file("/etc/group", format!("root:x:0:\ntty:x:5:\nagent:x:{AGENT_ID}:\nnogroup:x:65534:\n")),
        file("/etc/hostname", format!("{name}\n")),
        file("/etc/hosts", format!("127.0.0.1 localhost {name} {BORDER_HOST}\n::1 localhost ip6-localhost\n")),
        // Nobody answers there: a lookup fails at once instead of waiting for a time-out.
        file("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n".into()),
        file(
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n".into(),
        ),
        file("/etc/machine-id", format!("{machine}\n")),
    ]
}

/// 128 random bits in hexadecimal.
pub(crate) fn random_hex() -> String {
    let mut bytes = [0u8; 16];
    // The kernel's pool is full long before a server starts; a short read leaves zeros, which only makes the name less random.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
