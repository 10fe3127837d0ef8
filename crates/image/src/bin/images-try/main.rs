//! A process of its own for the tests of builds: `images-try DATA FORGE REPO build` · `images-try DATA FORGE REPO full`
//!
//! `build` makes one image and says how that went. With `HANGAR_END_AFTER=<step>` the process kills itself in the middle (`steps.rs` here and in the sandbox's
//! crate). `full` fills the disk after each step of a build in turn, and says what came of it; its data directory is on a small disk that nobody else sees.
#![allow(clippy::print_stdout, reason = "a program that answers on standard output")]
#![allow(unsafe_code, reason = "unshare is unsafe in general because of CLONE_FILES")]

mod forge;

use std::{
    ffi::CString,
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hangar_image::{
    BuildEnd, Closed, HostOnly, Image, Images, ImagesConfig, Means, Source, Target, Way, steps::BuildStep,
};
use hangar_sandbox::{Engine, EngineConfig, Error, ExecSpec, SandboxSpec, layers::LayerStore, steps};
use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount},
    thread::{UnshareFlags, unshare_unsafe},
};

use forge::Repos;

/// How long the engine of an earlier process of this test may take to let go of its lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        [data, forge, repo, "build"] => {
            steps::as_told();
            on_runtime(build(Path::new(data), Path::new(forge), repo))
        }
        [data, forge, repo, "full"] => Disk::mount(Path::new(data)).and_then(|disk| {
            let done = on_runtime(full(&disk, Path::new(forge), repo));
            unmount(&disk.at, UnmountFlags::DETACH)?;
            done
        }),
        _ => Err("usage: images-try DATA FORGE REPO build|full".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn on_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work)
}

/// Everything a build needs.
struct World {
    engine: Engine,
    store: Arc<LayerStore>,
    images: Images,
    target: Target,
    data: PathBuf,
}

impl World {
    async fn open(data: &Path, forge: &Path, repo: &str) -> Result<Self, Failure> {
        let config = EngineConfig { slots: 0, ..EngineConfig::new(data) };
        let bases = Arc::new(HostOnly::new(&config.toolchains));
        let engine = engine(&config).await?;
        let store = Arc::new(LayerStore::open(data)?);
        let source: Arc<dyn Source> = Arc::new(Repos { folder: forge.to_owned() });
        let outside = Arc::new(Closed);
        let means = Means { engine: engine.clone(), store: Arc::clone(&store), source, outside, bases };
        let images = Images::open(ImagesConfig::new(data), means)?;
        Ok(Self { engine, store, images, target: Target::of(repo.parse()?), data: data.to_owned() })
    }

    async fn build(&self, way: Way) -> Result<BuildEnd, Failure> {
        Ok(self.images.build(self.target.clone(), way).await?.ended().await)
    }

    fn newest(&self) -> Result<Arc<Image>, Failure> {
        self.images.newest(&self.target).ok_or_else(|| "there is no image".into())
    }

    /// A command in a sandbox over the newest image.
    async fn look(&self, name: &str) -> Result<String, Failure> {
        let image = self.newest()?;
        let session = self.data.join("sessions").join(name);
        let spec = SandboxSpec::new("look", image.root(&self.store), &session);
        let sandbox = self.engine.create(spec).await?;
        let done = sandbox.exec(&ExecSpec::shell("cat a ~/made && git rev-parse HEAD")).await?;
        sandbox.destroy().await;
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    async fn close(self) {
        self.images.close().await;
        self.engine.close();
    }
}

/// The engine. One that was just closed holds its lock until the last task that had a handle to it is over.
async fn engine(config: &EngineConfig) -> Result<Engine, Error> {
    let began = Instant::now();
    loop {
        match Engine::new(config.clone()).await {
            Err(Error::StateDirInUse(_)) if began.elapsed() < LOCK_PATIENCE => {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            other => return other,
        }
    }
}

async fn build(data: &Path, forge: &Path, repo: &str) -> Result<(), Failure> {
    let world = World::open(data, forge, repo).await?;
    let build = world.images.build(world.target.clone(), Way::Usual).await?;
    let end = build.ended().await;
    for line in build.log.read(0, usize::MAX).0.lines().filter(|line| line.starts_with("built afresh")) {
        println!("{line}");
    }
    match end {
        BuildEnd::Built(id) => println!("built {id} {}", world.newest()?.commit),
        other => println!("{other:?}"),
    }
    world.close().await;
    Ok(())
}

/// A disk in memory, as large as it is wanted at any moment.
struct Disk {
    at: PathBuf,
}

/// Much; of memory the disk takes only what is written.
const ROOM: &str = "size=4g,nr_inodes=1000000";

/// After which step the disk is filled.
static FULL_AFTER: Mutex<Option<(&'static str, PathBuf)>> = Mutex::new(None);
/// What is held open while the disk is full.
static HELD: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());

impl Disk {
    /// Mounts it where this process alone sees it. Before any thread is there, so that all of them do.
    fn mount(at: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(at)?;
        // SAFETY: NEWNS gives this process its own mounts; descriptors stay shared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let room = CString::new(ROOM)?;
        mount("tmpfs", at, "tmpfs", MountFlags::empty(), Some(room.as_c_str()))?;
        Ok(Self { at: at.to_owned() })
    }

    /// Not a byte and not a file more, until there is room again.
    ///
    /// What running builds have is held open first: when a build's directory goes is up to the machine, and its bytes and files must not be room for what
    /// the build still writes.
    fn fill(at: &Path) -> Result<Vec<OwnedFd>, Failure> {
        let mut held = Vec::new();
        hold(&at.join("images/builds"), &mut held)?;
        let stat = rustix::fs::statvfs(at)?;
        let bytes = (stat.f_blocks - stat.f_bfree) * stat.f_frsize;
        Self::resize(at, &format!("size={bytes},nr_inodes={}", stat.f_files - stat.f_ffree))?;
        Ok(held)
    }

    fn room_again(&self) -> Result<(), Failure> {
        lock(&HELD).clear();
        Self::resize(&self.at, ROOM)
    }

    fn resize(at: &Path, options: &str) -> Result<(), Failure> {
        Ok(mount_remount(at, MountFlags::empty(), CString::new(options)?.as_c_str())?)
    }
}

/// Opens everything in a directory, and itself. What goes meanwhile is not held.
fn hold(path: &Path, held: &mut Vec<OwnedFd>) -> Result<(), Failure> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match open(path, flags, Mode::empty()) {
        Ok(opened) => held.push(opened),
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    // Whatever is no directory has nothing in it.
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        hold(&entry.path(), held)?;
    }
    Ok(())
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fill_after(step: &'static str) {
    let mut armed = lock(&FULL_AFTER);
    if armed.as_ref().is_some_and(|(name, _)| *name == step)
        && let Some((_, disk)) = armed.take()
    {
        match Disk::fill(&disk) {
            Ok(held) => *lock(&HELD) = held,
            Err(error) => println!("the disk could not be filled: {error}"),
        }
    }
}

/// Fills the disk after every step; each line says the step and what came of the build.
async fn full(disk: &Disk, forge: &Path, repo: &str) -> Result<(), Failure> {
    steps::on_step(fill_after);
    let world = World::open(&disk.at, forge, repo).await?;
    let BuildEnd::Built(_) = world.build(Way::Afresh).await? else { return Err("the first build failed".into()) };
    let expected = world.look("first").await?;
    for (number, step) in BuildStep::ALL.iter().map(|step| step.name()).enumerate() {
        let before = world.newest()?;
        *lock(&FULL_AFTER) = Some((step, disk.at.clone()));
        let end = world.build(Way::Afresh).await?;
        let reached = lock(&FULL_AFTER).take().is_none();
        disk.room_again()?;
        match end {
            _ if !reached => println!("{step} not reached"),
            BuildEnd::Built(_) => println!("{step} fitted"),
            BuildEnd::Failed(failure) => {
                if world.newest()?.id != before.id || world.look(&format!("kept-{number}")).await? != expected {
                    return Err(format!("{step}: the last good image is another").into());
                }
                println!("{step} refused {:?} {}", failure.passing, failure.to_string().replace('\n', "|"));
            }
            other => return Err(format!("{step}: {other:?}").into()),
        }
        let BuildEnd::Built(_) = world.build(Way::Afresh).await? else {
            return Err(format!("{step}: with room again the build failed").into());
        };
        if world.look(&format!("again-{number}")).await? != expected {
            return Err(format!("{step}: with room again the image is another").into());
        }
    }
    // Directories of builds are removed on threads that nobody waits for.
    world.close().await;
    println!("closed");
    Ok(())
}
