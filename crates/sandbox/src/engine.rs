//! Makes sandboxes.

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, watch};

use crate::{
    backend::{Backend, BackendKind, Body, Capabilities, Made, SlotCounts},
    backends::{docker::Docker, gvisor::Gvisor, vm::Vm},
    error::Error,
    guard::{self, Guard, stands},
    keeper::{Activity, Health, Keeper},
    link::Link,
    namespace::{Namespace, rights::Rights},
    sandbox::Sandbox,
    spec::{EngineConfig, SANDBOXES_MAX, SandboxSpec},
    steps::Step,
};

/// Longest name of a sandbox; it is a host name inside.
const NAME_CHARS_MAX: usize = 60;

/// Makes sandboxes on this machine. A cheap handle; the sandboxes live as long as one handle to the engine or to any of them.
#[derive(Clone)]
pub struct Engine {
    backend: Arc<dyn Backend>,
    places: Arc<Semaphore>,
    sandboxes_max: usize,
}

impl Engine {
    /// Opens the backend and removes what a killed engine left behind.
    ///
    /// # Errors
    /// When the data directory cannot be used or another engine has it, or the machine lacks what the backend needs.
    pub async fn new(config: EngineConfig) -> Result<Self, Error> {
        let backend: Arc<dyn Backend> = match config.backend {
            BackendKind::Namespace => Arc::new(Namespace::open(&config).await?),
            BackendKind::Gvisor => Arc::new(Gvisor::open(&config).await?),
            BackendKind::Docker => Arc::new(Docker::open(&config).await?),
            BackendKind::Vm => Arc::new(Vm::open(&config).await?),
        };
        let sandboxes_max = config.sandboxes_max.clamp(1, SANDBOXES_MAX);
        Ok(Self { backend, places: Arc::new(Semaphore::new(sandboxes_max)), sandboxes_max })
    }

    /// What the backend can do on this machine.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    /// How many unclaimed slots stand ready, and how well they served.
    #[must_use]
    pub fn slots(&self) -> SlotCounts {
        self.backend.slots()
    }

    /// Makes a session's directories, so that the first claim over them finds them. Not needed: a claim makes what is missing. Blocks.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn lay_out(&self, session_dir: &std::path::Path) -> Result<(), Error> {
        crate::namespace::session(session_dir, Rights::detect()).map(drop)
    }

    /// Takes away what the engine itself has on the machine. For a program that ends and does not wait until every task with a
    /// handle has been dropped; every sandbox must have been destroyed before, and none can be made afterwards.
    pub fn close(&self) {
        self.backend.close();
    }

    /// Makes a sandbox and waits until it answers: claims a slot where one is ready, else makes one.
    ///
    /// Cancel-safe: dropping the future leaves nothing behind.
    ///
    /// # Errors
    /// When there are too many, when a directory cannot be used, or when the kernel lacks something.
    pub async fn create(&self, mut spec: SandboxSpec) -> Result<Sandbox, Error> {
        if stands(Guard::Names) {
            check_name(&spec.name)?;
        }
        spec.limits = guard::standing(spec.limits);
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Error::TooMany(self.sandboxes_max))?;
        let Made { reader, writer, body, border } = self.backend.make(&spec).await?;
        let link = Link::start(reader, writer);
        let (health, health_seen) = watch::channel(Health::default());
        let (activity, kill) = (Arc::<Activity>::default(), Arc::new(Notify::new()));
        let body: Arc<dyn Body> = Arc::from(body);
        let keeper = Keeper {
            link: link.clone(),
            body: Arc::clone(&body),
            limits: spec.limits,
            activity: Arc::clone(&activity),
            health,
            kill: Arc::clone(&kill),
            place,
        };
        tokio::spawn(keeper.run());
        Step::ClaimKept.done();
        let weak = Arc::downgrade(&body);
        Ok(Sandbox::new(link, health_seen, weak, activity, kill, border, Arc::clone(&self.backend)))
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let fits = !name.is_empty()
        && name.len() <= NAME_CHARS_MAX
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !name.starts_with('-');
    if fits { Ok(()) } else { Err(Error::BadName(name.into())) }
}
