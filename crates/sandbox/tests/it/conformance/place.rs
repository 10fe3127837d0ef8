//! Where cases run: an engine of one kind, layers, and one sandbox that cases may share.

use std::{
    fs,
    os::unix::fs::lchown,
    path::{Path, PathBuf},
};

use hangar_sandbox::{
    BackendKind, Engine, EngineConfig, Error, IdRange, MachineKernel, Root, Sandbox, SandboxSpec, adopt,
};
use tempfile::TempDir;

use super::daemon::Daemon;
use crate::bench::soon;

pub(super) struct Place {
    pub kind: BackendKind,
    pub engine: Engine,
    pub config: EngineConfig,
    pub directory: TempDir,
    /// Cases that neither end it nor mind each other's files use this one: a machine takes seconds to boot.
    pub shared: Sandbox,
}

impl Place {
    /// Opens the backend; the reason when this machine lacks its program.
    pub(super) async fn open(kind: BackendKind, daemon: &Daemon) -> Result<Self, String> {
        let directory = TempDir::new().unwrap();
        let mut config = EngineConfig::new(directory.path());
        config.backend = kind;
        config.slots = 0;
        config.docker_socket = daemon.socket().to_owned();
        config.machine_kernel = machine_kernel();
        config.own_source = Some(own_source(directory.path()));
        layers(directory.path());
        let engine = match Engine::new(config.clone()).await {
            Ok(engine) => engine,
            Err(missing @ Error::Unsupported { .. }) => return Err(missing.to_string()),
            Err(broken) => panic!("{broken}"),
        };
        let spec = spec(directory.path(), "shared");
        let shared = engine.create(spec).await.unwrap_or_else(|error| panic!("{error}"));
        Ok(Self { kind, engine, config, directory, shared })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn spec(&self, name: &str) -> SandboxSpec {
        spec(self.directory.path(), name)
    }

    pub(super) async fn sandbox(&self, name: &str) -> Sandbox {
        self.create(self.spec(name)).await
    }

    pub(super) async fn create(&self, spec: SandboxSpec) -> Sandbox {
        soon("a sandbox", self.engine.create(spec)).await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) async fn close(self) {
        self.shared.destroy().await;
        drop(self.shared);
        self.engine.close();
    }
}

/// The kernel that `scripts/install.sh` has unpacked for tests, which installs none; without it what this machine has in `/boot` is taken.
pub(crate) fn machine_kernel() -> Option<MachineKernel> {
    let boot = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/machine/boot");
    let names = fs::read_dir(boot).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut kernels = names.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("vmlinuz-"));
    kernels.next().map(MachineKernel::beside)
}

/// What stands for hangar's own source.
fn own_source(data: &Path) -> PathBuf {
    let shown = data.join("shown");
    fs::create_dir_all(shown.join("src")).unwrap();
    fs::write(shown.join("src/lib.rs"), "pub fn hangar() {}\n").unwrap();
    shown
}

/// Two layers: `lower` is the repository, `upper` changes it.
fn layers(data: &Path) {
    let lower = data.join("lower/workspace");
    fs::create_dir_all(lower.join("src")).unwrap();
    fs::write(lower.join("README.md"), "hello\n").unwrap();
    fs::write(lower.join("changed"), "below\n").unwrap();
    fs::write(lower.join("removed"), "below\n").unwrap();
    fs::write(lower.join("src/lib.rs"), "pub fn one() -> u32 {\n    1\n}\n").unwrap();
    let upper = data.join("upper/workspace");
    fs::create_dir_all(&upper).unwrap();
    fs::write(upper.join("changed"), "above\n").unwrap();
    for layer in ["lower", "upper"] {
        let top = data.join(layer);
        let root = IdRange::DISK.first;
        lchown(&top, Some(root), Some(root)).unwrap();
        adopt(&top.join("workspace")).unwrap();
    }
    // As overlayfs writes what is removed.
    let gone = rustix::fs::FileType::CharacterDevice;
    let place = upper.join("removed");
    rustix::fs::mknodat(rustix::fs::CWD, &place, gone, rustix::fs::Mode::empty(), 0).unwrap();
}

fn spec(data: &Path, name: &str) -> SandboxSpec {
    let layers = vec![data.join("upper"), data.join("lower")];
    let mut spec = SandboxSpec::new(name, Root::host(layers), data.join("sessions").join(name));
    // A machine takes this much from the host at once.
    spec.limits.memory_bytes = 512 * 1024 * 1024;
    spec
}
