//! What every slot has whatever it is used for, and the base `host`: this machine's own programs, read only, and nothing of its people.
//!
//! What becomes visible is a list of what is let in, never of what is kept out: `/usr` and the directories that belong to
//! it, the parts of `/etc` that programs need and that are readable for everybody anyway, toolchains by name. Everything else
//! (`/root`, `/home`, `/var`, `/srv`, `/opt`, hangar's own data) does not exist inside.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use hangar_protocol::{
    guest::{
        AGENT_ID, Account, BORDER_HOST, BORDER_PORTS, Claim, HOME, Holding, Stage,
        setup::{Access, DATA, IdMapping, Mount, ProcessLimits, RootFile, Source},
    },
    source::OWN_SOURCE,
};

use crate::{
    error::Error,
    namespace::{
        hold,
        mounts::{self, Allow},
        rights::Rights,
    },
    spec::{Base as BaseKind, Limits, SandboxSpec},
    toolchains::{TOOLCHAINS, Toolchain},
};

/// Directories of the host's root that hold programs. A link (`/bin` → `usr/bin`) stays a link.
pub(crate) const PROGRAMS: &[&str] = &["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Parts of `/etc` that programs need to run. Only what everybody may read is taken, and nothing that is about this machine's
/// people or places: no shell profiles (they carry tokens and proxies, and reset `PATH`), no git or package manager settings.
pub(super) const ETC: &[&str] = &[
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

/// Device files that every program expects.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Parts of `/proc` about the machine rather than about processes.
pub(crate) const MASKED: &[&str] = &[
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
pub(crate) const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// `/dev` holds mount points and links.
const DEV_BYTES: u64 = 64 * 1024;
const DEV_INODES: u64 = 64;
/// Memory for `/dev/shm` and for `/run`.
const SHM_BYTES: u64 = 256 * 1024 * 1024;
const RUN_BYTES: u64 = 16 * 1024 * 1024;
/// Files in `/tmp`.
const TMP_INODES: u64 = 200_000;

/// Where programs are looked up, behind the toolchains.
const PATH: &str = "/usr/local/go/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin";

/// Files that are the slot's own: no layer and no snapshot contains them.
pub(super) const OWN_FILES: &[&str] = &["/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/machine-id"];
/// Mounts that every sandbox gets.
pub(super) const EVERYWHERE: &[&str] = &["/proc", "/dev", "/tmp", "/run"];

/// What the host gives to every sandbox, looked up once.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    rights: Rights,
    data_dir: PathBuf,
    /// Trees of the base `host`, mounted read only: target and host path. Those for every base stand first.
    trees: Vec<(String, PathBuf)>,
    /// How many of them are for every base.
    everywhere: usize,
    /// An empty directory.
    nothing: PathBuf,
    /// What a sandbox over the base `host` takes along.
    attach: Vec<String>,
    path: String,
    env: BTreeMap<String, String>,
}

impl Base {
    /// Looks at this machine. `nothing` is an empty directory that stays so.
    pub(crate) fn host(
        rights: Rights,
        data_dir: &Path,
        nothing: &Path,
        own_source: Option<&Path>,
        toolchains: &[Toolchain],
    ) -> Self {
        let trees: Vec<(String, PathBuf)> =
            own_source.iter().map(|path| (OWN_SOURCE.to_owned(), path.to_path_buf())).collect();
        let mut base = Self {
            rights,
            data_dir: data_dir.to_owned(),
            everywhere: trees.len(),
            nothing: nothing.to_owned(),
            attach: trees.iter().map(|(target, _)| target.clone()).collect(),
            trees,
            path: String::new(),
            env: BTreeMap::new(),
        };
        for name in PROGRAMS {
            let path = PathBuf::from(format!("/{name}"));
            if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
                base.attach.push(format!("/{name}"));
                base.trees.push((format!("/{name}"), path));
            }
        }
        let mut path = Vec::new();
        for toolchain in toolchains {
            base.trees.push((toolchain.target(), toolchain.host_path.clone()));
            path.extend(toolchain.bin.iter().map(|bin| format!("{}/{bin}", toolchain.target())));
            base.env.extend(toolchain.env.clone());
        }
        if !toolchains.is_empty() {
            base.attach.push(TOOLCHAINS.into());
        }
        path.push(PATH.into());
        // What the agent installs for itself (`cargo install`, `pip install --user`) comes last: it cannot shadow a tool of the base.
        path.extend([format!("{HOME}/.local/bin"), format!("{HOME}/.cargo/bin")]);
        base.path = path.join(":");
        base
    }

    /// Trees of the host that lie over the base `host`: target and host path.
    pub(crate) fn trees(&self) -> &[(String, PathBuf)] {
        &self.trees
    }

    /// Trees of the host that lie over every base, likewise.
    pub(crate) fn everywhere(&self) -> &[(String, PathBuf)] {
        &self.trees[..self.everywhere]
    }

    /// What all slots have, and the descriptors that go with it.
    pub(crate) fn stage(&self, account: Account) -> Result<(Stage, Vec<OwnedFd>), Error> {
        let mut ground = Plan { rights: self.rights, mounts: vec![], descriptors: vec![] };
        let owner = match (self.rights, account) {
            // The one id there is.
            (Rights::Rootless, Account::Agent) => AGENT_ID,
            (Rights::Rootless, Account::Builder) | (Rights::Root, _) => 0,
        };
        let memory = |bytes, inodes, mode| Source::Tmpfs { bytes, inodes, mode, owner };
        ground.fresh("/dev", memory(DEV_BYTES, DEV_INODES, 0o755));
        for device in DEVICES {
            let path = format!("/dev/{device}");
            ground.bind(&path, Path::new(&path), Allow::Device)?;
        }
        let mut closed = vec!["/dev".to_owned()];
        if self.attach.iter().any(|path| path == TOOLCHAINS) {
            ground.fresh(TOOLCHAINS, memory(DEV_BYTES, DEV_INODES, 0o755));
            closed.push(TOOLCHAINS.into());
        }
        let (everywhere, over_host) = self.trees.split_at(self.everywhere);
        for (target, path) in everywhere {
            ground.show(target, path, &self.nothing)?;
        }
        for (target, path) in over_host {
            ground.bind(target, path, Allow::Read)?;
        }
        match self.rights {
            Rights::Root => {}
            Rights::Rootless => ground.bind(DATA, &self.data_dir, Allow::Write)?,
        }
        let file = |path: &str, content: &str| RootFile { path: path.into(), content: content.into() };
        let links = [
            ("/dev/fd", "/proc/self/fd"),
            ("/dev/stdin", "/proc/self/fd/0"),
            ("/dev/stdout", "/proc/self/fd/1"),
            ("/dev/stderr", "/proc/self/fd/2"),
            ("/dev/ptmx", "pts/ptmx"),
        ];
        let stage = Stage {
            mounts: self.own_mounts(owner),
            ground: ground.mounts,
            closed,
            files: vec![
                file("/etc/hostname", ""),
                file("/etc/hosts", ""),
                // Every address is the border's, so this is hangar.
                file("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:5 attempts:2\n"),
            ],
            links: links.map(|(path, target)| (path.to_owned(), target.to_owned())).to_vec(),
            masked: MASKED.iter().map(|path| (*path).to_owned()).collect(),
            read_only: READ_ONLY.iter().map(|path| (*path).to_owned()).collect(),
            ports: BORDER_PORTS.to_vec(),
        };
        Ok((stage, ground.descriptors))
    }

    /// What each slot mounts for itself.
    fn own_mounts(&self, owner: u32) -> Vec<Mount> {
        let sizes = Sizes::of(&Limits::default());
        let memory = |bytes| Source::Tmpfs { bytes, inodes: TMP_INODES, mode: 0o1777, owner };
        let own = [
            ("/proc", Source::Proc),
            ("/dev", Source::Ground),
            ("/dev/pts", Source::Devpts),
            ("/dev/shm", memory(sizes.shm)),
            ("/tmp", memory(sizes.tmp)),
            ("/run", memory(sizes.run)),
        ];
        let grounded = self.attach.iter().map(|path| (path.as_str(), Source::Ground));
        own.into_iter().chain(grounded).map(|(target, source)| Mount { target: target.into(), source }).collect()
    }

    /// The order that makes a slot this sandbox.
    pub(crate) fn claim(&self, spec: &SandboxSpec) -> Claim {
        let name = &spec.name;
        let mut attach: Vec<String> = EVERYWHERE.iter().chain(OWN_FILES).map(|path| (*path).to_owned()).collect();
        match spec.root.base {
            BaseKind::Host => attach.extend(self.attach.iter().cloned()),
            BaseKind::Tree => attach.extend(self.everywhere().iter().map(|(target, _)| target.clone())),
        }
        let staged = Sizes::of(&Limits::default());
        let sizes = Sizes::of(&spec.limits).paths().into_iter().zip(staged.paths());
        let sizes = sizes.filter(|(wanted, staged)| wanted != staged).map(|(wanted, _)| wanted);
        Claim {
            hostname: name.clone(),
            attach,
            files: vec![
                RootFile { path: "/etc/hostname".into(), content: format!("{name}\n") },
                RootFile {
                    path: "/etc/hosts".into(),
                    content: format!("127.0.0.1 localhost {name} {BORDER_HOST}\n::1 localhost ip6-localhost\n"),
                },
            ],
            sizes: sizes.map(|(path, bytes)| (path.to_owned(), bytes)).collect(),
            env: self.env(spec),
            limits: ProcessLimits { open_files: spec.limits.open_files, file_bytes: spec.limits.file_bytes },
            holding: if hold::is_possible(self.rights) { spec.holding } else { Holding::Never },
        }
    }

    /// How ids are mapped.
    pub(crate) fn ids(&self) -> IdMapping {
        match self.rights {
            Rights::Root => IdMapping::Range,
            Rights::Rootless => IdMapping::Single,
        }
    }

    fn env(&self, spec: &SandboxSpec) -> BTreeMap<String, String> {
        let (home, user) = match spec.account {
            Account::Agent => (HOME, "agent"),
            Account::Builder => ("/root", "root"),
        };
        let path = match spec.root.base {
            BaseKind::Host => self.path.as_str(),
            BaseKind::Tree => PATH,
        };
        let own = [
            ("PATH", path),
            ("HOME", home),
            ("USER", user),
            ("LOGNAME", user),
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
        match spec.root.base {
            BaseKind::Host => env.extend(self.env.clone()),
            BaseKind::Tree => {}
        }
        env.extend(spec.env.clone());
        env
    }
}

/// How large the file systems in memory may be, in bytes.
pub(crate) struct Sizes {
    shm: u64,
    tmp: u64,
    run: u64,
}

impl Sizes {
    /// Files in memory count as memory but die with no process: they must leave room, or nothing could run any more.
    pub(crate) fn of(limits: &Limits) -> Self {
        let most = |bytes: u64, part: u64| bytes.min(limits.memory_bytes / part);
        Self { shm: most(SHM_BYTES, 8), tmp: most(limits.tmp_bytes, 4), run: most(RUN_BYTES, 16) }
    }

    /// Where they are, and how large.
    pub(crate) const fn paths(&self) -> [(&'static str, u64); 3] {
        [("/dev/shm", self.shm), ("/tmp", self.tmp), ("/run", self.run)]
    }
}

/// Gathers mounts, as descriptors or as paths, whichever the rights allow.
struct Plan {
    rights: Rights,
    mounts: Vec<Mount>,
    descriptors: Vec<OwnedFd>,
}

impl Plan {
    fn bind(&mut self, target: &str, path: &Path, allow: Allow) -> Result<(), Error> {
        match self.rights {
            Rights::Root => {
                let index = self.descriptors.len();
                self.descriptors.push(mounts::copy(path, allow)?);
                self.fresh(target, Source::Fd { index, directory: path.is_dir() });
            }
            Rights::Rootless => {
                let access = match allow {
                    Allow::Read => Access::ReadOnly,
                    Allow::Write => Access::ReadWrite,
                    Allow::Device => Access::Device,
                };
                self.fresh(target, Source::Bind { path: path.to_string_lossy().into_owned(), access });
            }
        }
        Ok(())
    }

    /// Shows a directory of hangar's own, which is to say nothing of where the data directory is. An ordinary user cannot hide that.
    fn show(&mut self, target: &str, path: &Path, nothing: &Path) -> Result<(), Error> {
        match self.rights {
            Rights::Root => {
                let index = self.descriptors.len();
                self.descriptors.push(mounts::unnamed(path, nothing)?);
                self.fresh(target, Source::Fd { index, directory: true });
                Ok(())
            }
            Rights::Rootless => self.bind(target, path, Allow::Read),
        }
    }

    fn fresh(&mut self, target: &str, source: Source) {
        self.mounts.push(Mount { target: target.into(), source });
    }
}
