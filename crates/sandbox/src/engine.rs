//! Makes sandboxes.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::fs::{FlockOperation, flock};
use tokio::sync::{Notify, Semaphore, watch};

use crate::{
    base::{self, Base},
    cgroup::{Cgroups, Group},
    error::Error,
    keeper::{Activity, Health, Keeper},
    launcher::Launcher,
    link::Link,
    rights::Rights,
    sandbox::Sandbox,
    slot::{self, Claimed, IdRange, Slot},
    spec::{EngineConfig, SANDBOXES_MAX, SandboxSpec},
};

/// Longest name of a sandbox; it is a host name inside.
const NAME_CHARS_MAX: usize = 60;

/// Makes sandboxes on this machine. A cheap handle; the sandboxes live as long as one handle to the engine or to any of them.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    rights: Rights,
    launcher: Launcher,
    guest: Arc<OwnedFd>,
    base: Arc<Base>,
    cgroups: Cgroups,
    places: Arc<Semaphore>,
    sandboxes_max: usize,
    numbers: Numbers,
    /// Held as long as the engine lives.
    _lock: File,
}

impl Engine {
    /// Opens the state directory and removes what a killed engine left behind.
    ///
    /// # Errors
    /// When the directory cannot be used or another engine has it, or the kernel refuses a mount namespace.
    pub async fn new(config: EngineConfig) -> Result<Self, Error> {
        let rights = Rights::detect();
        let prepared = tokio::task::spawn_blocking(move || Prepared::new(&config, rights));
        let Prepared { lock, cgroups, base, guest, stage, sandboxes_max } =
            prepared.await.map_err(|error| Error::Setup(error.to_string()))??;
        let launcher = Launcher::start(stage, rights).await?;
        if let Some(reason) = cgroups.missing() {
            tracing::warn!(%reason, "sandboxes run without limits on memory, processor and processes; see `hangar doctor`");
        }
        let inner = Inner {
            rights,
            launcher,
            guest: Arc::new(guest),
            base: Arc::new(base),
            cgroups,
            places: Arc::new(Semaphore::new(sandboxes_max)),
            sandboxes_max,
            numbers: Numbers::default(),
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Which way of making sandboxes this engine uses.
    #[must_use]
    pub fn rights(&self) -> Rights {
        self.inner.rights
    }

    /// Takes away what the engine itself has on the machine. For a program that ends and does not wait until every task with a
    /// handle has been dropped; every sandbox must have been destroyed before, and none can be made afterwards.
    pub fn close(&self) {
        self.inner.cgroups.remove_roots();
    }

    /// Makes a sandbox and waits until it answers. Takes some 10 to 50 ms.
    ///
    /// Cancel-safe: dropping the future leaves nothing behind.
    ///
    /// # Errors
    /// When there are too many, when a directory cannot be used, or when the kernel lacks something.
    pub async fn create(&self, spec: SandboxSpec) -> Result<Sandbox, Error> {
        check_name(&spec.name)?;
        let inner = &self.inner;
        let place = Arc::clone(&inner.places).try_acquire_owned().map_err(|_| Error::TooMany(inner.sandboxes_max))?;
        let number = inner.numbers.take();
        let range = IdRange::of(number.value);
        let group_name = format!("{}-{}", number.value, spec.name);
        let (guest, base, cgroups) = (Arc::clone(&inner.guest), Arc::clone(&inner.base), inner.cgroups.clone());
        let (rights, limits, session_dir) = (inner.rights, spec.limits, spec.session_dir.clone());
        let made = inner.launcher.run(move |stage| {
            let group = cgroups.create(&group_name, &spec.limits)?;
            let ids = match rights {
                Rights::Root => Some(range),
                Rights::Rootless => None,
            };
            let slot = Slot::new(&guest, ids, rights, |pid| group.enrol(pid))?;
            let (setup, mounts) = base.setup(&spec, rights, range, &stage.directory)?;
            let claimed = slot.claim(&setup, &mounts)?;
            Ok(Made { claimed, group })
        });
        let Made { claimed: Claimed { process, socket, border }, group } = made.await?;
        let connect = || -> io::Result<_> {
            socket.set_nonblocking(true)?;
            border.set_nonblocking(true)?;
            Ok((tokio::net::UnixStream::from_std(socket)?, tokio::net::TcpListener::from_std(border)?))
        };
        let (socket, border) = connect().map_err(Error::kernel("talk to the sandbox"))?;
        let link = Link::start(socket);
        let (health, health_seen) = watch::channel(Health::default());
        let (activity, kill, group) = (Arc::<Activity>::default(), Arc::new(Notify::new()), Arc::new(group));
        let keeper = Keeper {
            link: link.clone(),
            process,
            group: Arc::clone(&group),
            limits,
            session_dir,
            activity: Arc::clone(&activity),
            health,
            kill: Arc::clone(&kill),
            number,
            place,
        };
        tokio::spawn(keeper.run());
        Ok(Sandbox::new(link, health_seen, Arc::downgrade(&group), activity, kill, border, Arc::clone(inner)))
    }
}

/// A claimed slot and its group. Dropped together, the process goes first.
struct Made {
    claimed: Claimed,
    group: Group,
}

/// What is found and made before the launcher starts.
struct Prepared {
    lock: File,
    cgroups: Cgroups,
    base: Base,
    guest: OwnedFd,
    stage: PathBuf,
    sandboxes_max: usize,
}

impl Prepared {
    fn new(config: &EngineConfig, rights: Rights) -> Result<Self, Error> {
        let state = &config.state_dir;
        fs::create_dir_all(state).map_err(Error::host(state))?;
        let state = fs::canonicalize(state).map_err(Error::host(state))?;
        let lock_path = state.join("engine.lock");
        let lock = File::create(&lock_path).map_err(Error::host(&lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::StateDirInUse(state)),
            other => other.map_err(Error::host(&lock_path))?,
        }
        let id = engine_id(&state)?;
        let cgroups = Cgroups::detect(&id);
        cgroups.sweep(&id);
        let stage = state.join("stage");
        if let Rights::Root = rights {
            fs::create_dir_all(&stage).map_err(Error::host(&stage))?;
        }
        Ok(Self {
            lock,
            cgroups,
            base: Base::host(&config.toolchains),
            guest: slot::guest_program()?,
            stage,
            sandboxes_max: config.sandboxes_max.clamp(1, SANDBOXES_MAX),
        })
    }
}

/// Names the engine of this state directory, also after a restart.
fn engine_id(state: &Path) -> Result<String, Error> {
    let path = state.join("engine-id");
    match fs::read_to_string(&path) {
        Ok(id) if id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => return Ok(id),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::host(path)(error)),
    }
    let id: String = base::random_hex().chars().take(12).collect();
    fs::write(&path, &id).map_err(Error::host(&path))?;
    Ok(id)
}

fn check_name(name: &str) -> Result<(), Error> {
    let fits = !name.is_empty()
        && name.len() <= NAME_CHARS_MAX
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !name.starts_with('-');
    if fits { Ok(()) } else { Err(Error::BadName(name.into())) }
}

/// Numbers of sandboxes, each with its id range. Given out lowest first and taken back.
#[derive(Clone, Debug, Default)]
struct Numbers {
    taken: Arc<Mutex<BTreeSet<usize>>>,
}

/// A number that is given back when dropped.
#[derive(Debug)]
pub(crate) struct Number {
    value: usize,
    numbers: Numbers,
}

impl Numbers {
    fn take(&self) -> Number {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // There are never more sandboxes than places, so this ends.
        let value = (0..).find(|number| !taken.contains(number)).unwrap_or(0);
        taken.insert(value);
        Number { value, numbers: self.clone() }
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.numbers.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.value);
    }
}
