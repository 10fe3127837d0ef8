//! A sandbox over an image, made ahead of need.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use hangar_protocol::RepoPath;
use hangar_sandbox::{Engine, ExecSpec, Holding, Life, Limits, Sandbox, SandboxSpec, layers::LayerStore};
use tokio::task::JoinHandle;

use crate::{
    build::run::directory,
    image::{BesideAt, Image},
    images::{Images, Lease},
    recipe::Step,
    services::{LOG_FOLDER, Services},
    source::{Branch, Source, SourceError},
    sync::{Bringing, Move, SyncError, bring},
};

/// Names a directory that no session has written down: swept at the next start.
const UNCLAIMED: &str = "unclaimed";
/// Where the sandbox's files are, in its directory.
const FILES: &str = "files";
/// Where the objects lie that it is sent, in its directory.
const PACK: &str = "delta";

/// What sandboxes are prepared with.
#[derive(Clone)]
pub(super) struct Preparer {
    pub(super) engine: Engine,
    pub(super) store: Arc<LayerStore>,
    pub(super) images: Images,
    pub(super) source: Arc<dyn Source>,
    pub(super) folder: PathBuf,
    pub(super) limits: Limits,
}

/// Which commits a sandbox has to be at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// Those of the image.
    Image,
    /// The newest ones of the branches the image was built from.
    Newest,
    /// This one of the main repository; the others stay as they are.
    Commit(String),
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The engine said no.
    #[error(transparent)]
    Sandbox(#[from] hangar_sandbox::Error),
    /// A layer is missing or was changed.
    #[error(transparent)]
    Layers(#[from] hangar_sandbox::layers::LayerError),
    /// The commits are not to be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The commits do not fit into the image's clone.
    #[error("{0}")]
    Unfit(String),
    /// A directory cannot be used.
    #[error("a sandbox's directory cannot be used: {0}")]
    Disk(#[from] io::Error),
    /// hangar is ending.
    #[error("no sandboxes are kept ready any more: hangar is ending")]
    Closed,
}

impl From<SyncError> for PoolError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Unfit(what) => Self::Unfit(what),
            SyncError::Sandbox(error) => Self::Sandbox(error),
            SyncError::Pack(error) => Self::Disk(error),
        }
    }
}

/// How long the parts took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Making the sandbox over the image.
    pub create: Duration,
    /// Asking for the newest commits, fetching what is missing and putting it in place; the last time that was done.
    pub sync: Duration,
}

/// One that is ready.
pub(super) struct Warm {
    pub(super) sandbox: Sandbox,
    pub(super) lease: Lease,
    pub(super) commit: String,
    pub(super) beside: Vec<BesideAt>,
    pub(super) services: Services,
    pub(super) prepared: Prepared,
    /// The start steps, one after the other.
    starting: JoinHandle<()>,
    begun: Begin,
    place: Unclaimed,
}

impl Preparer {
    /// Makes one. Whatever has to be started is being started when this returns.
    pub(super) async fn prepare(
        &self,
        image: Arc<Image>,
        name: String,
        at: &At,
        begin: Begin,
    ) -> Result<Warm, PoolError> {
        let began = Instant::now();
        let lease = self.images.lease(Arc::clone(&image));
        let (store, layers) = (Arc::clone(&self.store), image.layers.clone());
        // Cheap after the first time in this process.
        let verified =
            tokio::task::spawn_blocking(move || layers.iter().try_for_each(|layer| store.verify(layer))).await;
        verified.map_err(|error| PoolError::Disk(io::Error::other(error)))??;
        let place = Unclaimed::new(&self.folder, &name)?;
        let mut spec = SandboxSpec::new(name, image.root(&self.store), place.directory().join(FILES));
        spec.env = image.env.clone();
        spec.limits = self.limits;
        spec.holding = Holding::Possible;
        let sandbox = self.engine.create(spec).await?;
        let prepared = Prepared { create: began.elapsed(), ..Prepared::default() };
        let services = Services::start(sandbox.clone(), &[], &image.env);
        let mut warm = Warm {
            sandbox,
            commit: image.commit.clone(),
            beside: image.beside.clone(),
            services,
            prepared,
            starting: tokio::spawn(async {}),
            begun: Begin::Later,
            place,
            lease,
        };
        if let Err(error) = self.bring(&mut warm, at).await {
            warm.end().await;
            return Err(error);
        }
        match begin {
            Begin::Now => warm.begin(),
            Begin::Later => {}
        }
        Ok(warm)
    }

    /// Brings the clones to where they have to be.
    pub(super) async fn bring(&self, warm: &mut Warm, at: &At) -> Result<(), PoolError> {
        let began = Instant::now();
        let image = Arc::clone(warm.lease.image());
        let wanted = match at {
            At::Image => return Ok(()),
            At::Commit(commit) => commit.clone(),
            At::Newest => self.source.head(&image.target.repo, &Branch::Named(image.branch.clone())).await?.commit,
        };
        let moves = warm.commit != wanted;
        let to = Move { directory: "/workspace", branch: &image.branch, commit: &wanted };
        self.fetch(warm, &image.target.repo, &warm.commit, &to).await?;
        warm.commit.clone_from(&wanted);
        if *at == At::Newest {
            for number in 0..warm.beside.len() {
                let BesideAt { repo, commit, branch, name } = warm.beside[number].clone();
                let newest = self.source.head(&repo, &Branch::Named(branch.clone())).await?.commit;
                let directory = format!("/repos/{name}");
                let to = Move { directory: &directory, branch: &branch, commit: &newest };
                self.fetch(warm, &repo, &commit, &to).await?;
                warm.beside[number].commit = newest;
            }
        }
        // A look that finds everything in place does not hide how long the last real one took.
        if moves {
            warm.prepared.sync = began.elapsed();
        }
        Ok(())
    }

    async fn fetch(&self, warm: &Warm, repo: &RepoPath, have: &str, to: &Move<'_>) -> Result<(), PoolError> {
        if have == to.commit {
            return Ok(());
        }
        let pack = warm.place.directory().join(PACK);
        self.source.delta(repo, have, to.commit, &pack).await?;
        let brought = bring(&warm.sandbox, to, &pack, Bringing::Open).await;
        fs::remove_file(&pack)?;
        Ok(brought?)
    }
}

impl Warm {
    pub(super) fn is_running(&self) -> bool {
        self.sandbox.health().borrow().life == Life::Running
    }

    /// Ends it and removes everything of it.
    pub(super) async fn end(self) {
        self.starting.abort();
        drop(self.services);
        self.sandbox.destroy().await;
        drop(self.place);
    }

    /// Begins what the image wants running, if that has not been done.
    pub(super) fn begin(&mut self) {
        if self.begun == Begin::Now {
            return;
        }
        self.begun = Begin::Now;
        let image = Arc::clone(self.lease.image());
        self.services = Services::start(self.sandbox.clone(), &image.recipe.services, &image.env);
        self.starting = tokio::spawn(start(self.sandbox.clone(), image));
    }

    pub(super) fn taken(self, waited: Duration, hit: Hit) -> Taken {
        let Self { sandbox, lease, commit, beside, services, prepared, starting, begun: _, place } = self;
        Taken {
            sandbox,
            lease,
            commit,
            beside,
            services,
            prepared,
            starting,
            waited,
            hit,
            behind: None,
            rest: None,
            place,
        }
    }

    /// As [`taken`](Self::taken), for a session that wants this commit of the main repository.
    pub(super) fn taken_behind(self, source: Arc<dyn Source>, wanted: String, waited: Duration, hit: Hit) -> Taken {
        let (begun, image) = (self.begun, Arc::clone(self.lease.image()));
        let behind = (self.commit != wanted).then(|| Behind {
            source,
            repo: image.target.repo.clone(),
            branch: image.branch.clone(),
            have: self.commit.clone(),
            wanted,
            pack: self.place.directory().join(PACK),
        });
        let mut taken = self.taken(waited, hit);
        taken.behind = behind;
        taken.rest = (begun == Begin::Later).then_some(Rest(image));
        taken
    }
}

/// The way of a sandbox to the commit that its session wants.
pub struct Behind {
    source: Arc<dyn Source>,
    repo: RepoPath,
    branch: String,
    have: String,
    wanted: String,
    pack: PathBuf,
}

impl Behind {
    /// The commit it is at.
    #[must_use]
    pub fn have(&self) -> &str {
        &self.have
    }

    /// Has the missing objects sent into the clone, and then moves the work tree, with a detached `HEAD`. May be tried again after an error.
    ///
    /// # Errors
    /// When the commits are not to be had, do not fit the clone, or the sandbox ends.
    pub async fn bring(&self, sandbox: &Sandbox, by: Bringing) -> Result<(), PoolError> {
        self.source.delta(&self.repo, &self.have, &self.wanted, &self.pack).await?;
        let to = Move { directory: "/workspace", branch: &self.branch, commit: &self.wanted };
        let brought = bring(sandbox, &to, &self.pack, by).await;
        fs::remove_file(&self.pack)?;
        Ok(brought?)
    }
}

/// What an image wants running beside a session and that has not been begun.
pub struct Rest(Arc<Image>);

impl Rest {
    /// Begins it.
    #[must_use]
    pub fn begin(self, sandbox: &Sandbox) -> Services {
        let services = Services::start(sandbox.clone(), &self.0.recipe.services, &self.0.env);
        tokio::spawn(start(sandbox.clone(), self.0));
        services
    }
}

/// When the services and the start steps of an image are begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// As soon as the sandbox is there.
    Now,
    /// Once the session that takes it has it at its commit.
    Later,
}

/// Runs the start steps one after the other; their output goes where the services' does.
async fn start(sandbox: Sandbox, image: Arc<Image>) {
    for (number, step) in image.recipe.start.iter().enumerate() {
        let script =
            format!("mkdir -p {LOG_FOLDER}; exec >{LOG_FOLDER}/start-{}.log 2>&1; {}", number + 1, step.script);
        let spec = ExecSpec::shell(script).cwd(directory(step)).timeout_ms(u64::from(step.seconds_max) * 1000);
        let spec = variables(&image, step).fold(spec, |spec, (name, value)| spec.env(name, value));
        match sandbox.exec(&spec).await {
            Ok(collected) if collected.ended.status.success() => {}
            Ok(collected) => {
                tracing::info!(target = %image.target, step = %step.name, status = ?collected.ended.status, "a start step failed");
            }
            // The sandbox has ended.
            Err(_) => return,
        }
    }
}

fn variables<'a>(image: &'a Image, step: &'a Step) -> impl Iterator<Item = (&'a String, &'a String)> {
    image.env.iter().chain(&step.env)
}

/// A sandbox that a session has taken over. The session ends it.
pub struct Taken {
    /// The sandbox. Its border has not been taken; until it is served, connections from inside wait.
    pub sandbox: Sandbox,
    /// The image it is over. Kept from being collected as long as this lives.
    pub lease: Lease,
    /// The commit of `/workspace`, with a detached `HEAD`.
    pub commit: String,
    /// Those of the other repositories.
    pub beside: Vec<BesideAt>,
    /// Its services, which are being started or run already.
    pub services: Services,
    /// How long it took to make.
    pub prepared: Prepared,
    /// How long the session waited for it.
    pub waited: Duration,
    /// Whether one was there.
    pub hit: Hit,
    /// The way to the commit that was asked for; `None` where it is there already.
    pub behind: Option<Behind>,
    /// What has to be begun once it is there; `None` where it has been begun.
    pub rest: Option<Rest>,
    /// The start steps; ends when all have run.
    pub starting: JoinHandle<()>,
    place: Unclaimed,
}

/// Whether a sandbox was there when it was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// One that was warmed for this person.
    Warmed,
    /// One that waited for anybody.
    Waiting,
    /// None: it was made now.
    Missed,
}

impl Taken {
    /// Where its files are ([`SandboxSpec::session_dir`]).
    #[must_use]
    pub fn session_dir(&self) -> PathBuf {
        self.place.directory().join(FILES)
    }

    /// From now on the session's directory stays, also after a restart; the session removes its parent when it is deleted. To be called when the session
    /// has durably written down where it is: until then a kill of hangar takes the directory away.
    ///
    /// # Errors
    /// When the directory cannot be changed.
    pub fn keep(&mut self) -> io::Result<()> {
        self.place.claim()
    }
}

/// The directory of a sandbox that no session has yet.
struct Unclaimed {
    directory: PathBuf,
    claimed: bool,
}

impl Unclaimed {
    fn new(folder: &Path, name: &str) -> io::Result<Self> {
        let directory = folder.join(name);
        fs::create_dir_all(&directory)?;
        File::create(directory.join(UNCLAIMED))?;
        Ok(Self { directory, claimed: false })
    }

    fn directory(&self) -> &Path {
        &self.directory
    }

    fn claim(&mut self) -> io::Result<()> {
        fs::remove_file(self.directory.join(UNCLAIMED))?;
        File::open(&self.directory)?.sync_all()?;
        self.claimed = true;
        Ok(())
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if self.claimed {
            return;
        }
        let directory = std::mem::take(&mut self.directory);
        let remove = move || {
            if let Err(error) = fs::remove_dir_all(&directory) {
                tracing::warn!(path = %directory.display(), %error, "what a waiting sandbox left cannot be removed");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Removes what a killed hangar's unclaimed sandboxes left; those of sessions stay.
pub(super) fn sweep(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let directory = entry?.path();
        if directory.join(UNCLAIMED).exists() {
            fs::remove_dir_all(directory)?;
        }
    }
    Ok(())
}
