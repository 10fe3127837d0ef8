//! A world for builds: repositories with commits, an engine, a store, and images over them, all in a directory of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use hangar_image::{
    Build, BuildEnd, Closed, Image, Images, ImagesConfig, Means, Outside, Source, Target, Way,
    base::{BaseMaker, BaseSettings, EveryBase},
};
use hangar_sandbox::{Engine, EngineConfig, ExecSpec, Sandbox, SandboxSpec, layers::LayerStore};
use tempfile::TempDir;

pub(crate) use crate::forge::Repos;

/// Everything a build needs, on the real engine.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<LayerStore>,
    pub(crate) images: Images,
    pub(crate) repos: Arc<Repos>,
    pub(crate) directory: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ImagesConfig)) -> Self {
        let directory = TempDir::new().unwrap();
        let repos = Arc::new(Repos { folder: directory.path().join("forge") });
        let (engine, store, images) = open(&directory.path().join("data"), &repos, change).await;
        Self { engine, store, images, repos, directory }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Builds and returns the image.
    pub(crate) async fn built(&self, target: &Target) -> Arc<Image> {
        let build = self.build(target).await;
        match ended(&build).await {
            BuildEnd::Built(id) => self.images.image(&id).unwrap(),
            other => panic!("{other:?}\n{}", build.log.read(0, 1 << 20).0),
        }
    }

    /// Builds what must fail, and says why.
    pub(crate) async fn fails(&self, target: &Target) -> hangar_image::BuildFailure {
        let build = self.build(target).await;
        match ended(&build).await {
            BuildEnd::Failed(failure) => *failure,
            other => panic!("{other:?}\n{}", build.log.read(0, 1 << 20).0),
        }
    }

    pub(crate) async fn build(&self, target: &Target) -> Build {
        self.images.build(target.clone(), Way::Usual).await.unwrap()
    }

    /// A sandbox over an image, as a session would make it.
    pub(crate) async fn sandbox(&self, image: &Image, name: &str) -> Sandbox {
        let mut spec = SandboxSpec::new(name, image.root(&self.store), self.data().join("sessions").join(name));
        spec.env = image.env.clone();
        self.engine.create(spec).await.unwrap()
    }

    /// Nothing of any build may be left: no sandbox, no directory.
    pub(crate) async fn tidy(&self) {
        let builds = self.data().join("images/builds");
        until("builds leave nothing", || std::fs::read_dir(&builds).unwrap().next().is_none()).await;
    }

    pub(crate) async fn end(self) {
        self.images.close().await;
        self.engine.close();
    }
}

/// Opens images over a data directory, as a start of hangar does.
pub(crate) async fn open(
    data: &Path,
    repos: &Arc<Repos>,
    change: impl FnOnce(&mut ImagesConfig),
) -> (Engine, Arc<LayerStore>, Images) {
    let engine_config = EngineConfig::new(data);
    let toolchains = engine_config.toolchains.clone();
    // The lock of an engine that was just closed goes with the last task that had a handle to it.
    let engine = soon("the engine's lock", async {
        loop {
            match Engine::new(engine_config.clone()).await {
                Err(hangar_sandbox::Error::StateDirInUse(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                other => return other.unwrap(),
            }
        }
    })
    .await;
    let store = Arc::new(LayerStore::open(data).unwrap());
    let mut config = ImagesConfig::new(data);
    config.build_max = Duration::from_secs(300);
    change(&mut config);
    let source = Arc::clone(repos) as Arc<dyn Source>;
    let outside: Arc<dyn Outside> = Arc::new(Closed);
    let maker = BaseMaker::open(data, Arc::clone(&store), BaseSettings::default()).unwrap();
    let bases = Arc::new(EveryBase::new(maker, engine.clone(), Arc::clone(&outside), &toolchains));
    let means = Means { engine: engine.clone(), store: Arc::clone(&store), source, outside, bases };
    let images = Images::open(config, means).unwrap();
    (engine, store, images)
}

pub(crate) async fn ended(build: &Build) -> BuildEnd {
    soon("the end of the build", build.ended()).await
}

pub(crate) async fn output(sandbox: &Sandbox, script: &str) -> String {
    let done = sandbox.exec(&ExecSpec::shell(script)).await.unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.ended.status.success(), "{script}\n{text}\n{}", String::from_utf8_lossy(&done.stderr));
    text
}

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let patience = Duration::from_secs(240);
    tokio::time::timeout(patience, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {patience:?}"))
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    soon(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

impl Repos {
    /// Puts a file or a directory of this machine into the repository; the next commit has it.
    pub(crate) fn put(&self, repo: &str, name: &str, from: &Path) {
        if !self.path(&repo.parse().unwrap()).exists() {
            self.commit(repo, &[]);
        }
        let to = self.path(&repo.parse().unwrap()).join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let copied = Command::new("cp").args(["-a", "--"]).arg(from).arg(to).status().unwrap();
        assert!(copied.success());
    }

    /// Commits these files (an empty text removes one) and returns the commit.
    pub(crate) fn commit(&self, repo: &str, files: &[(&str, &str)]) -> String {
        let path = self.path(&repo.parse().unwrap());
        if !path.exists() {
            // A schedule may ask for its newest commit at any moment: it appears whole or not at all.
            let making = path.with_extension("making");
            std::fs::create_dir_all(&making).unwrap();
            git(&making, &["init", "-q", "-b", "main"]);
            record(&making);
            std::fs::rename(&making, &path).unwrap();
        }
        for (name, text) in files {
            let file = path.join(name);
            if text.is_empty() {
                std::fs::remove_file(file).unwrap();
                continue;
            }
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        record(&path);
        git(&path, &["rev-parse", "HEAD"]).trim().to_owned()
    }
}

/// Commits what is there.
fn record(path: &Path) {
    git(path, &["add", "--all"]);
    git(
        path,
        &["-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-m", "change"],
    );
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let done = Command::new("git").args(arguments).current_dir(directory).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

pub(crate) fn target(repo: &str) -> Target {
    Target::of(repo.parse().unwrap())
}
