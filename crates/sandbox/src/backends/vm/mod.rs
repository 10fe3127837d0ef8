//! The backend `vm`: every sandbox is a virtual machine with a Linux kernel of its own (QEMU).
//!
//! A command's system calls end in the machine's kernel. What of the host is left to attack is QEMU: a process with ids that own nothing but this sandbox's files, in
//! namespaces of its own, which sees nothing but its program and these files, behind its own filter of system calls.
//!
//! ```text
//!   hangar ──▶ QEMU (user, mount, process and network namespaces, control group) ──▶ machine ── kernel ── guest, commands
//!      │          ├── 9p: the root (the same overlay as everywhere, mounted by the host) and the host's trees
//!      │          └── virtio serial ◀── frames over a socket
//!      └── border ══ tap, in a network namespace of its own ══ the machine's card
//! ```
//!
//! Where the processor runs machines (KVM) QEMU uses that, otherwise it emulates ([`accelerator`]).

pub(crate) mod accelerator;
mod archive;
mod jail;
pub(crate) mod kernel;
mod qemu;
mod unpack;

use std::{
    fs::File,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use hangar_protocol::guest::{
    BORDER_ADDRESS,
    setup::{IdMapping, MACHINE_BORDER, Machine},
};

use self::{
    jail::Building,
    qemu::{Accelerator, Equipment, Plan},
};
use crate::{
    backend::{Backend, BackendKind, Capabilities, Made, SlotCounts},
    backends::{
        body::ProgramBody,
        ground::{Ground, Plot, own_files},
        hello,
        network::cable::Cable,
        program::{self, Command, Jail, Waiting},
    },
    error::Error,
    namespace::{
        base::{MASKED, READ_ONLY, Sizes},
        cgroup::Group,
        launcher::Stage,
        mounts::{self, Allow},
    },
    spec::{EngineConfig, Limits, SandboxSpec},
};

/// The program.
pub(crate) const QEMU: &str = "qemu-system-x86_64";
/// How it is installed.
pub(crate) const INSTALL_QEMU: &str = "apt-get install --no-install-recommends qemu-system-x86";
/// Threads of QEMU itself. Processes of the sandbox are the machine's own and do not count on the host.
const OWN_PROCESSES: u32 = 256;
/// Memory of QEMU itself, in bytes: translated instructions, and files of the host that are being read.
const OWN_MEMORY_BYTES: u64 = 256 * MIB;
/// A machine with less does not start.
const MEMORY_BYTES_MIN: u64 = 128 * MIB;
const MIB: u64 = 1024 * 1024;
/// How long a machine may take until its guest answers: under emulation on a busy host it can be a minute.
const PATIENCE: Duration = Duration::from_secs(120);
/// The namespaces in which QEMU runs, beside a user namespace. Its network has no device; the card's cable ends elsewhere.
const NAMESPACES: libc::c_int =
    libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
/// What QEMU may do, with files of its own ids alone: give them away, and read and change them whatever their mode. CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER and
/// CAP_FSETID.
const KEPT: u64 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4;

/// See the module's documentation.
pub(crate) struct Vm {
    inner: Arc<Inner>,
    accelerator: Accelerator,
}

struct Inner {
    ground: Ground,
    qemu: PathBuf,
    /// The kernel that machines start from, as it is installed.
    kernel: PathBuf,
    /// A copy of it, and the archive.
    folder: PathBuf,
}

fn unsupported(why: String) -> Error {
    Error::Unsupported { backend: BackendKind::Vm.name(), what: "make sandboxes", why }
}

impl Vm {
    /// Finds QEMU and a kernel, opens the state directory, removes what a killed engine left behind, and finds out whether the processor runs machines.
    pub(crate) async fn open(config: &EngineConfig) -> Result<Self, Error> {
        let Some(qemu) = program::find(QEMU) else {
            return Err(unsupported(format!("{QEMU} is not installed; on Debian: {INSTALL_QEMU}")));
        };
        kernel::find(config.machine_kernel.as_ref()).map_err(unsupported)?;
        let ground = Ground::open(config, BackendKind::Vm).await?;
        let (wanted, folder) = (config.clone(), ground.state.join("machine"));
        let place = folder.clone();
        let prepared = tokio::task::spawn_blocking(move || kernel::prepare(&wanted, &place));
        let kernel = prepared.await.map_err(|error| Error::Setup(error.to_string()))??;
        let inner = Arc::new(Inner { ground, qemu, kernel, folder });
        let accelerator = accelerator::choose(&inner).await;
        Ok(Self { inner, accelerator })
    }
}

impl Backend for Vm {
    fn capabilities(&self) -> Capabilities {
        self.inner.ground.capabilities(BackendKind::Vm)
    }

    fn slots(&self) -> SlotCounts {
        self.inner.ground.slots()
    }

    fn make<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Made, Error>> {
        Box::pin(async {
            let cable = Cable::lay().await?;
            let (card, border) = cable.open()?;
            let (inner, wanted, accelerator) = (Arc::clone(&self.inner), spec.clone(), self.accelerator);
            let started =
                self.inner.ground.launcher.run(move |stage| inner.start(&wanted, accelerator, card, stage)).await?;
            let Started { waiting, log, socket, group, plot, changes } = started;
            let body = ProgramBody::new(waiting.go()?, group, plot, changes);
            self.inner.ground.count_made();
            let machine = Machine {
                hostname: spec.name.clone(),
                sizes: Sizes::of(&spec.limits).paths().map(|(path, bytes)| (path.to_owned(), bytes)).to_vec(),
                processes: spec.limits.processes,
                trees: self.inner.ground.trees(spec).iter().map(|(target, _)| target.clone()).collect(),
                masked: MASKED.iter().map(|path| (*path).to_owned()).collect(),
                read_only: READ_ONLY.iter().map(|path| (*path).to_owned()).collect(),
                contained: self.inner.ground.contained(spec, IdMapping::Range),
            };
            let met = hello::meet(socket, &machine, PATIENCE).await;
            let (reader, writer) = met.map_err(|error| explained(error, &log))?;
            Ok(Made { reader: Box::new(reader), writer: Box::new(writer), body: Box::new(body), border: Some(border) })
        })
    }

    fn close(&self) {
        self.inner.ground.cgroups.remove_roots();
    }
}

/// Adds what the machine said to the reason why there is no sandbox. Its log is in no directory of this process any more.
fn explained(error: Error, log: &File) -> Error {
    program::explained(error, &PathBuf::from(format!("/proc/self/fd/{}", log.as_raw_fd())))
}

/// Memory of a machine, in bytes.
fn memory(limits: &Limits) -> u64 {
    limits.memory_bytes.max(MEMORY_BYTES_MIN)
}

/// Processors of a machine: as many as its limit can keep busy, and no more than there are.
fn processors(limits: &Limits) -> u32 {
    let there = std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
    limits.cpu_percent.div_ceil(100).clamp(1, there)
}

/// What the launcher hands over. Dropped from top to bottom.
struct Started {
    waiting: Waiting,
    log: File,
    socket: UnixStream,
    group: Group,
    plot: Plot,
    changes: PathBuf,
}

impl Inner {
    /// Mounts the root and makes the process that will be QEMU. On the launcher's thread.
    fn start(
        &self,
        spec: &SandboxSpec,
        accelerator: Accelerator,
        card: OwnedFd,
        stage: &Stage,
    ) -> Result<Started, Error> {
        let ground = &self.ground;
        let plot = ground.plot()?;
        let group = self.group(&plot, &spec.limits)?;
        let changes = ground.session(spec)?;
        let own = own_files(&spec.name, &MACHINE_BORDER.to_string(), &BORDER_ADDRESS.to_string());
        let overlay = ground.overlay(spec, &plot, own, stage)?;
        let jail = Building::new(ground.place()?, &self.folder)?;
        jail.tree(jail::ROOT, &overlay)?;
        jail.directory(jail::TREES)?;
        for (number, (_, path)) in ground.trees(spec).iter().enumerate() {
            jail.tree(&format!("{}/{number}", jail::TREES), &mounts::copy(path, Allow::Read)?)?;
        }
        let plan = Plan {
            accelerator,
            directory: &plot.directory,
            memory_mib: memory(&spec.limits) / MIB,
            processors: accelerator.processors(processors(&spec.limits)),
            equipment: Equipment::Full,
        };
        let (waiting, log, socket) = self.launch(&plan, &plot, &group, &jail, vec![card])?;
        Ok(Started { waiting, log, socket, group, plot, changes })
    }

    fn group(&self, plot: &Plot, limits: &Limits) -> Result<Group, Error> {
        let limits = Limits {
            processes: OWN_PROCESSES,
            memory_bytes: memory(limits).saturating_add(OWN_MEMORY_BYTES),
            ..*limits
        };
        self.ground.group(plot, &limits)
    }

    /// Makes the process that will be QEMU in its jail. On the launcher's thread.
    fn launch(
        &self,
        plan: &Plan<'_>,
        plot: &Plot,
        group: &Group,
        jail: &Building,
        devices: Vec<OwnedFd>,
    ) -> Result<(Waiting, File, UnixStream), Error> {
        match plan.accelerator {
            Accelerator::Kvm => jail.kvm(plot.range)?,
            Accelerator::Software => {}
        }
        let log = jail.log()?;
        let said = log.try_clone().map_err(Error::kernel("keep what a machine says"))?;
        let (socket, inside) = UnixStream::pair().map_err(Error::kernel("make a socket"))?;
        let command = Command::new(&self.qemu, qemu::arguments(plan)).log(said).pass(inside.into());
        let command = devices.into_iter().fold(command, Command::pass);
        let command = command.jail(Jail { root: jail.root().to_owned(), kept: KEPT });
        let entry = group.entry()?;
        let waiting = entry.go_in().and_then(|()| command.prepare(NAMESPACES, entry.directory()));
        // Whether it has become a process or not: the launcher itself is no part of the sandbox.
        entry.go_out()?;
        let waiting = waiting?;
        waiting.become_range(plot.range)?;
        Ok((waiting, log, socket))
    }

    /// Starts a machine that has nothing but its port, on the processor itself. `Ok` when its guest says anything at all.
    async fn try_kvm(self: &Arc<Self>, patience: Duration) -> Result<(), Error> {
        let inner = Arc::clone(self);
        let limits = Limits { memory_bytes: MEMORY_BYTES_MIN, ..Limits::default() };
        let started = self.ground.launcher.run(move |_| {
            let plot = inner.ground.plot()?;
            let group = inner.group(&plot, &limits)?;
            let jail = Building::new(inner.ground.place()?, &inner.folder)?;
            let plan = Plan {
                accelerator: Accelerator::Kvm,
                directory: &plot.directory,
                memory_mib: MEMORY_BYTES_MIN / MIB,
                processors: 1,
                equipment: Equipment::None,
            };
            let (waiting, log, socket) = inner.launch(&plan, &plot, &group, &jail, vec![])?;
            Ok(Started { waiting, log, socket, group, plot, changes: PathBuf::new() })
        });
        let Started { waiting, log, socket, group, plot, changes } = started.await?;
        let body = ProgramBody::new(waiting.go()?, group, plot, changes);
        let heard = hello::hear(&mut hello::connected(socket)?, patience).await;
        crate::backend::Body::kill(&body);
        crate::backend::Body::clear(&body).await;
        heard.map_err(|error| explained(error, &log))
    }
}
