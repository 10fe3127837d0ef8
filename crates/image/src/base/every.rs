//! Every kind of base for builds of images.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use hangar_sandbox::{Engine, SandboxSpec, toolchains::Toolchain};
use rustix::fs::{CWD, Mode, OFlags, openat};
use tokio::sync::mpsc;

use crate::{
    Bases, BuildLog, Outside, SetupNetwork,
    base::{
        BaseError, BaseMaker, Debian, Made, Note, Notes, Variant,
        dockerfile::{DOCKERFILE_BYTES_MAX, Dockerfile, Room, Rooms},
    },
    image::{BaseKind, BaseUsed},
    oci::{
        Owners, beneath,
        layer::merged::{Lies, Merged},
    },
    recipe::BaseChoice,
};

/// Notes on their way to the log. A program that says more at once than the log takes in loses some of it; it never waits.
const NOTES_MAX: usize = 4096;

/// Makes bases of every kind: what a build of images is given.
pub struct EveryBase {
    maker: BaseMaker,
    engine: Engine,
    outside: Arc<dyn Outside>,
    host: BaseUsed,
}

impl EveryBase {
    /// Bases by `maker`, over this machine with these toolchains. Instructions of Dockerfiles run in sandboxes of `engine`, with the network that
    /// `outside` serves.
    #[must_use]
    pub fn new(maker: BaseMaker, engine: Engine, outside: Arc<dyn Outside>, toolchains: &[Toolchain]) -> Self {
        Self { maker, engine, outside, host: crate::host(toolchains) }
    }

    async fn make(
        &self,
        choice: &BaseChoice,
        checkout: &Path,
        network: SetupNetwork,
        notes: &Notes,
    ) -> Result<BaseUsed, BaseError> {
        let made = match choice {
            BaseChoice::Host => return Ok(self.host.clone()),
            BaseChoice::Debian { suite, packages } => self.maker.debian(&debian(suite, packages), notes).await?,
            BaseChoice::Pull { reference } => self.maker.pull(reference, notes).await?,
            BaseChoice::Archive { path } => {
                let file = open(checkout, path)?;
                self.maker.archive(file, path, "", notes).await?
            }
            BaseChoice::Dockerfile { path, context, target, args } => {
                let wanted = Dockerfile {
                    name: path.clone(),
                    text: text(checkout, path)?,
                    ignore: ignore(checkout, path, context),
                    context: directory(checkout, context)?,
                    target: target.clone(),
                    args: args.clone(),
                };
                let rooms = Served { engine: &self.engine, outside: &self.outside, network };
                self.maker.dockerfile(&wanted, &rooms, notes).await?
            }
        };
        let Made { name, digest, layers, config } = made;
        Ok(BaseUsed { kind: BaseKind::Tree, name, digest: digest.hex(), layers, env: config.env })
    }
}

#[async_trait]
impl Bases for EveryBase {
    async fn digest(&self, choice: &BaseChoice) -> Result<Option<String>, crate::BaseError> {
        let digest = match choice {
            BaseChoice::Host => return Ok(Some(self.host.digest.clone())),
            BaseChoice::Debian { suite, packages } => self.maker.debian_digest(&debian(suite, packages)),
            BaseChoice::Pull { reference } => self.maker.pull_digest(reference).await,
            BaseChoice::Archive { .. } | BaseChoice::Dockerfile { .. } => return Ok(None),
        };
        digest.map(|digest| Some(digest.hex())).map_err(|error| crate::BaseError(error.to_string()))
    }

    async fn prepare(
        &self,
        choice: &BaseChoice,
        checkout: &Path,
        network: SetupNetwork,
        log: &BuildLog,
    ) -> Result<BaseUsed, crate::BaseError> {
        let (tell, mut told) = mpsc::channel(NOTES_MAX);
        let notes: Notes = Arc::new(move |note| {
            let _ = tell.try_send(note);
        });
        let write = |note: Note| match note {
            Note::Step(step) => log.say(&step),
            Note::Warning(warning) => log.say(&format!("note: {warning}")),
            Note::Output(bytes) => log.add(&bytes),
        };
        let making = self.make(choice, checkout, network, &notes);
        tokio::pin!(making);
        let made = loop {
            tokio::select! {
                made = &mut making => break made,
                Some(note) = told.recv() => write(note),
            }
        };
        while let Ok(note) = told.try_recv() {
            write(note);
        }
        made.map_err(|error| crate::BaseError(error.to_string()))
    }
}

fn debian(suite: &str, packages: &[String]) -> Debian {
    Debian { suite: suite.to_owned(), variant: Variant::Minbase, packages: packages.to_vec() }
}

/// Opens a file of somebody's repository; no link leads anywhere.
fn open(checkout: &Path, path: &str) -> Result<File, BaseError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, checkout, flags, Mode::empty()).map_err(BaseError::host(checkout))?;
    let missing = |_| {
        BaseError::unfit(
            format!("there is no file `{path}` in the repository"),
            "correct the recipe's path (links are not followed)",
        )
    };
    let file = File::from(beneath(&root, Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK).map_err(missing)?);
    match file.metadata() {
        Ok(meta) if meta.is_file() => Ok(file),
        Ok(_) | Err(_) => Err(BaseError::unfit(format!("`{path}` is no file"), "correct the recipe's path")),
    }
}

fn text(checkout: &Path, path: &str) -> Result<String, BaseError> {
    let mut text = String::new();
    let most = DOCKERFILE_BYTES_MAX as u64 + 1;
    open(checkout, path)?.take(most).read_to_string(&mut text).map_err(BaseError::host(path))?;
    Ok(text)
}

/// `<Dockerfile>.dockerignore`, or else the context's.
fn ignore(checkout: &Path, dockerfile: &str, context: &str) -> String {
    let own = text(checkout, &format!("{dockerfile}.dockerignore"));
    let general = || text(checkout, &Path::new(context).join(".dockerignore").to_string_lossy());
    own.or_else(|_| general()).unwrap_or_default()
}

/// A directory of somebody's repository, by a path that no link is on.
fn directory(checkout: &Path, path: &str) -> Result<PathBuf, BaseError> {
    let files = Merged::open(&[checkout.to_owned()], Owners::detect()).map_err(BaseError::host(checkout))?;
    let led = files.follow(Path::new(path)).map_err(BaseError::host(path))?;
    match led.lies {
        Some(Lies::Directory(_)) => Ok(checkout.join(led.path)),
        Some(Lies::Other { .. }) | None => Err(BaseError::unfit(
            format!("there is no directory `{path}` in the repository"),
            "correct the recipe's `context`",
        )),
    }
}

/// Sandboxes with the network of a set-up.
struct Served<'a> {
    engine: &'a Engine,
    outside: &'a Arc<dyn Outside>,
    network: SetupNetwork,
}

#[async_trait]
impl Rooms for Served<'_> {
    async fn open(&self, spec: SandboxSpec) -> Result<Room, hangar_sandbox::Error> {
        let sandbox = self.engine.create(spec).await?;
        let serving: Box<dyn Send + Sync> = match sandbox.border() {
            Some(border) => Box::new(self.outside.serve_setup(border, self.network.clone())),
            // A backend without borders has no network at all.
            None => Box::new(()),
        };
        Ok(Room { sandbox, serving })
    }
}
