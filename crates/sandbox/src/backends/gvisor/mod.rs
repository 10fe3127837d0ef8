//! The backend `gvisor`: every sandbox has a kernel of its own, in user space (runsc).
//!
//! A command's system calls are answered by that kernel and reach the host's only through a small, filtered set. hangar starts `runsc run` in
//! mount, network and process namespaces of its own; the root is the same overlay as everywhere, mounted by the host.
//!
//! ```text
//!   hangar ──▶ runsc (process 1 of its namespaces) ──▶ gofer (opens files) · sandbox (the kernel, commands)
//!                                                             └── guest ◀── frames over a socket that runsc passes on
//! ```

mod config;

use std::{
    fs::{self, File},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use hangar_protocol::guest::setup::IdMapping;

use crate::{
    backend::{Backend, BackendKind, Capabilities, Made, SlotCounts},
    backends::{
        body::ProgramBody,
        ground::{Ground, own_files},
        hello, network,
        program::{self, Command, PASSED_FD, Waiting},
    },
    error::Error,
    spec::{EngineConfig, Limits, SandboxSpec},
};

/// Processes and threads of runsc itself, which count beside the sandbox's own.
const OWN_PROCESSES: u32 = 256;
/// Memory of runsc itself, in bytes.
const OWN_MEMORY_BYTES: u64 = 128 * 1024 * 1024;
/// How long runsc may take until the guest answers; it takes a fifth of a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The namespaces in which runsc runs. The sandbox proper has more of its own, made by runsc.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWPID;

/// See the module's documentation.
pub(crate) struct Gvisor {
    inner: Arc<Inner>,
}

struct Inner {
    ground: Ground,
    runsc: PathBuf,
}

impl Gvisor {
    /// Finds runsc, opens the state directory and removes what a killed engine left behind.
    pub(crate) async fn open(config: &EngineConfig) -> Result<Self, Error> {
        let Some(runsc) = program::find("runsc") else {
            return Err(Error::Unsupported {
                backend: BackendKind::Gvisor.name(),
                what: "make sandboxes",
                why: "runsc is not installed; on Debian: apt-get install -t bookworm-backports runsc".into(),
            });
        };
        let ground = Ground::open(config, BackendKind::Gvisor).await?;
        Ok(Self { inner: Arc::new(Inner { ground, runsc }) })
    }
}

impl Backend for Gvisor {
    fn capabilities(&self) -> Capabilities {
        self.inner.ground.capabilities(BackendKind::Gvisor)
    }

    fn slots(&self) -> SlotCounts {
        self.inner.ground.slots()
    }

    fn make<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Made, Error>> {
        Box::pin(async {
            let (inner, wanted) = (Arc::clone(&self.inner), spec.clone());
            let Started { log, waiting, network, socket, group, plot, changes } =
                self.inner.ground.launcher.run(move |stage| inner.start(&wanted, stage)).await?;
            let border = network::open(network).await?;
            let body = ProgramBody::new(waiting.go()?, group, plot, changes);
            self.inner.ground.count_made();
            let contained = self.inner.ground.contained(spec, IdMapping::Range);
            let met = hello::meet(socket, &contained, PATIENCE).await;
            let (reader, writer) = met.map_err(|error| program::explained(error, &log))?;
            Ok(Made { reader: Box::new(reader), writer: Box::new(writer), body: Box::new(body), border: Some(border) })
        })
    }

    fn close(&self) {
        self.inner.ground.cgroups.remove_roots();
    }
}

/// What the launcher hands over. Dropped from top to bottom.
struct Started {
    log: PathBuf,
    waiting: Waiting,
    network: OwnedFd,
    socket: UnixStream,
    group: crate::namespace::cgroup::Group,
    plot: crate::backends::ground::Plot,
    changes: PathBuf,
}

impl Inner {
    /// Mounts the root and makes the process that will be runsc. On the launcher's thread.
    fn start(&self, spec: &SandboxSpec, stage: &crate::namespace::launcher::Stage) -> Result<Started, Error> {
        let ground = &self.ground;
        let plot = ground.plot()?;
        let limits = Limits {
            processes: spec.limits.processes.saturating_add(OWN_PROCESSES),
            memory_bytes: spec.limits.memory_bytes.saturating_add(OWN_MEMORY_BYTES),
            ..spec.limits
        };
        let group = ground.group(&plot, &limits)?;
        let changes = ground.session(spec)?;
        // The sandbox's network is the namespace's own, in which every address is the border's.
        let mounted = ground.mount(spec, &plot, own_files(&spec.name, "127.0.0.1", "127.0.0.1"), stage)?;
        let bundle = plot.directory.join("bundle");
        fs::create_dir(&bundle).map_err(Error::host(&bundle))?;
        let text = config::oci(spec, plot.range, &mounted.place).to_string();
        fs::write(bundle.join("config.json"), text).map_err(Error::host(&bundle))?;
        let log = plot.directory.join("log");
        let said = File::create(&log).map_err(Error::host(&log))?;
        let (socket, inside) = UnixStream::pair().map_err(Error::kernel("make a socket"))?;
        let root = plot.directory.join("run");
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let arguments = [
            "--root".to_owned(),
            text(&root),
            "--platform=systrap".into(),
            // The host's network namespace for runsc is one of the sandbox's own.
            "--network=host".into(),
            // Changes go to the session's directory, not into runsc's memory.
            "--overlay2=none".into(),
            // hangar has put runsc into a group already.
            "--ignore-cgroups".into(),
            // The host's programs change when the host is upgraded, which sandboxes over them need not notice.
            "--file-access-mounts=exclusive".into(),
            "run".into(),
            "--bundle".into(),
            text(&bundle),
            format!("--pass-fd={PASSED_FD}:{}", hangar_protocol::guest::SOCKET_FD),
            "sandbox".into(),
        ];
        let entry = group.entry()?;
        let command = Command::new(&self.runsc, arguments).pass(inside.into()).log(said);
        let waiting = entry.go_in().and_then(|()| command.prepare(NAMESPACES, entry.directory()));
        // Whether it has become a process or not: the launcher itself is no part of the sandbox.
        entry.go_out()?;
        let waiting = waiting?;
        drop(mounted);
        let network = format!("/proc/{}/ns/net", waiting.pid());
        let network = OwnedFd::from(File::open(&network).map_err(Error::host(network))?);
        Ok(Started { log, waiting, network, socket, group, plot, changes })
    }
}
