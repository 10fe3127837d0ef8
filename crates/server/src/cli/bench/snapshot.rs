//! Snapshots, restores and forks, in workspaces of 10 MB and of 1 GB.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use hangar_sandbox::{
    Engine, EngineConfig, ExecSpec, Frozen, Guarantee, Root, Sandbox, SandboxSpec,
    layers::{About, Given, Kind, LayerId, LayerStore, begin},
};

use super::{
    cannot,
    row::{Goal, Row},
};
use crate::cli::{
    ended::Failure,
    terminal::{Look, Terminal},
};

/// Files changed before each snapshot.
const CHANGED_FILES: u32 = 200;
/// Bytes of each.
const CHANGED_BYTES: u32 = 5_000;
/// Snapshots of one session before the next begins: a turn each, on an ordinary day.
const SNAPSHOTS_PER_SESSION: u32 = 16;
/// Snapshots of each session that do not count: the first finds nothing in any cache.
const WARM_UP_ROUNDS: u32 = 2;
/// How long to wait for a slot before a sandbox is asked for; without one it is made cold.
const SLOT_PATIENCE: Duration = Duration::from_secs(2);
/// What stands beside each figure.
const FLOOR: &str = "starting /bin/true and waiting for its end, in turn with what is measured";

/// A workspace to measure in.
struct Workspace {
    /// Files of 4 KiB.
    small: u32,
    /// Files of 10 MiB.
    large: u32,
}

const MB_10: Workspace = Workspace { small: 2_500, large: 0 };
const GB_1: Workspace = Workspace { small: 10_000, large: 95 };
const SMALL_BYTES: usize = 4 * 1024;
const LARGE_BYTES: usize = 10 * 1024 * 1024;

/// Times, and those of the floor measured in between.
#[derive(Default)]
struct Times {
    measured: Vec<Duration>,
    floor: Vec<Duration>,
}

impl Times {
    fn row(&self, name: &'static str, goal: &'static str, ratio_max: Option<f64>) -> Row {
        Row::of_times(Goal { name, floor: FLOOR, goal, ratio_max }, &self.measured, &self.floor)
    }
}

/// Measures. Everything it makes is gone when it answers.
pub(super) async fn measure(rounds: u32, terminal: &mut Terminal) -> Result<Vec<Row>, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("hangar-bench-")
        .tempdir()
        .map_err(|error| cannot("make a directory", error))?;
    let data = folder.path().to_owned();
    terminal.remark(Look::Faint, "writing workspaces of 10 MB and of 1 GB");
    let store = LayerStore::open(&data).map_err(|error| cannot("open a store of layers", error))?;
    let layers = {
        let (data, store) = (data.clone(), store.clone());
        blocking(move || Ok([workspace(&data, &store, "10mb", &MB_10)?, workspace(&data, &store, "1gb", &GB_1)?]))
            .await?
    };
    let engine =
        Engine::new(EngineConfig::new(&data)).await.map_err(|error| cannot("start the sandbox engine", error))?;
    let [small, large] = &layers;
    let bench = Bench { engine, data, store };
    terminal.remark(Look::Faint, &format!("{rounds} snapshots in each, with {CHANGED_FILES} files changed"));
    let (snapshot_10mb, _) = bench.snapshots("s", small, rounds).await?;
    let (snapshot_1gb, seals) = bench.snapshots("l", large, rounds).await?;
    terminal.remark(Look::Faint, &format!("{rounds} restores and forks"));
    let (restores, forks) = bench.restores(large, rounds).await?;
    let Bench { engine, .. } = bench;
    engine.close();
    Ok(vec![
        snapshot_10mb.row(
            "snapshot_10mb",
            "200 changed files in 10 MB: at most 10 × the start of a process",
            Some(10.0),
        ),
        snapshot_1gb.row("snapshot_1gb", "200 changed files in 1 GB: at most 10 × the start of a process", Some(10.0)),
        seals.row("seal", "reported: cleaning, hashing, syncing the 200 files; in the background", None),
        restores.row(
            "restore",
            "a sandbox over the layers of an ended one: at most 2 × the start of a process",
            Some(2.0),
        ),
        forks.row("fork", "a sandbox over the layers of a running one: at most 2 × the start of a process", Some(2.0)),
    ])
}

/// Runs something that waits for disks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| cannot("run", error))?;
    done.map_err(|error| cannot("use the disk", error))
}

/// Writes a workspace's layer.
fn workspace(data: &Path, store: &LayerStore, name: &str, size: &Workspace) -> io::Result<PathBuf> {
    let layer = data.join(name);
    // Not zeros: some file systems would make holes of them.
    let content = |bytes: usize, seed: u32| -> Vec<u8> {
        (0u32..).map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8).take(bytes).collect()
    };
    let small = content(SMALL_BYTES, 1);
    for number in 0..size.small {
        let directory = layer.join(format!("workspace/package-{:03}/src", number % 250));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(format!("file-{number}.txt")), &small)?;
    }
    fs::create_dir_all(layer.join("workspace/large"))?;
    let large = content(LARGE_BYTES, 2);
    for number in 0..size.large {
        fs::write(layer.join(format!("workspace/large/{number}.bin")), &large)?;
    }
    store.adopt(&layer, Given::ToAgent).map_err(io::Error::other)?;
    Ok(layer)
}

struct Bench {
    engine: Engine,
    data: PathBuf,
    store: LayerStore,
}

impl Bench {
    fn spec(&self, name: &str, layer: &Path) -> SandboxSpec {
        SandboxSpec::new(name, Root::host(vec![layer.to_owned()]), self.data.join("sessions").join(name))
    }

    async fn create(&self, spec: SandboxSpec) -> Result<Sandbox, Failure> {
        self.engine.create(spec).await.map_err(|error| cannot("make a sandbox", error))
    }

    /// Snapshots, and what sealing them takes.
    async fn snapshots(&self, prefix: &str, layer: &Path, rounds: u32) -> Result<(Times, Times), Failure> {
        let (mut snapshots, mut seals) = (Times::default(), Times::default());
        let mut session = 0;
        while snapshots.measured.len() < rounds as usize {
            session += 1;
            let sandbox = self.create(self.spec(&format!("{prefix}{session}"), layer)).await?;
            for round in 0..WARM_UP_ROUNDS + SNAPSHOTS_PER_SESSION {
                change(&sandbox, round).await?;
                let floor = spawn().await?;
                let started = Instant::now();
                let frozen = snapshot(&sandbox).await?;
                let took = started.elapsed();
                let store = self.store.clone();
                let started = Instant::now();
                let about = About::new(Kind::Snapshot, "bench");
                blocking(move || store.seal(&frozen.tree, about).map_err(io::Error::other)).await?;
                if round >= WARM_UP_ROUNDS {
                    snapshots.measured.push(took);
                    snapshots.floor.push(floor);
                    seals.measured.push(started.elapsed());
                }
            }
            sandbox.destroy().await;
        }
        Ok((snapshots, seals))
    }

    /// Restores of a session that has ended, and forks of one that runs.
    async fn restores(&self, layer: &Path, rounds: u32) -> Result<(Times, Times), Failure> {
        let origin = self.create(self.spec("origin", layer)).await?;
        for round in 0..SNAPSHOTS_PER_SESSION {
            change(&origin, round).await?;
            snapshot(&origin).await?;
        }
        let (store, session) = (self.store.clone(), self.data.join("sessions/origin"));
        let about = About::new(Kind::Snapshot, "bench");
        let layers: Vec<LayerId> =
            blocking(move || store.seal_session(&session, &about).map_err(io::Error::other)).await?;
        let forks = self.forks("f", layer, &layers, rounds).await?;
        origin.destroy().await;
        let restores = self.forks("r", layer, &layers, rounds).await?;
        Ok((restores, forks))
    }

    async fn forks(&self, prefix: &str, layer: &Path, layers: &[LayerId], rounds: u32) -> Result<Times, Failure> {
        let mut times = Times::default();
        for round in 0..WARM_UP_ROUNDS + rounds {
            self.slot().await;
            let floor = spawn().await?;
            let started = Instant::now();
            let spec = self.spec(&format!("{prefix}{round}"), layer);
            begin(&spec.session_dir, layers).map_err(|error| cannot("begin a session", error))?;
            let sandbox = self.create(spec).await?;
            if round >= WARM_UP_ROUNDS {
                times.measured.push(started.elapsed());
                times.floor.push(floor);
            }
            sandbox.destroy().await;
        }
        Ok(times)
    }

    /// Waits until a slot stands ready, as between two people who ask for a sandbox.
    async fn slot(&self) {
        let started = Instant::now();
        while self.engine.slots().ready == 0 && started.elapsed() < SLOT_PATIENCE {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn change(sandbox: &Sandbox, round: u32) -> Result<(), Failure> {
    let script = format!(
        "for i in $(seq {CHANGED_FILES}); do head -c {CHANGED_BYTES} /dev/urandom > package-$((i % 250))-{round}.txt; done"
    );
    let done = sandbox.exec(&ExecSpec::shell(script)).await.map_err(|error| cannot("change files", error))?;
    if done.ended.status.success() { Ok(()) } else { Err(cannot("change files", format!("{:?}", done.ended.status))) }
}

async fn snapshot(sandbox: &Sandbox) -> Result<Frozen, Failure> {
    let frozen = sandbox.snapshot().await.map_err(|error| cannot("take a snapshot", error))?;
    match frozen.guarantee {
        Guarantee::Quiescent => Ok(frozen),
        Guarantee::Frozen => Err(cannot("take a snapshot without copying", "a process was running")),
    }
}

/// The floor.
async fn spawn() -> Result<Duration, Failure> {
    blocking(|| {
        let started = Instant::now();
        Command::new("/bin/true").status()?;
        Ok(started.elapsed())
    })
    .await
}
