//! The backend `namespace`: Linux namespaces over the host's kernel.
//!
//! A sandbox is made in two steps, so that the first is taken ahead of need: a **slot** (`slot.rs`) is a process in
//! all its namespaces in which everything is prepared that does not depend on what it will be used for; a **claim** mounts the layers of one image
//! as one overlay, sends it, upon which the guest moves in and locks itself down.

pub(crate) mod base;
mod body;
pub(crate) mod cgroup;
pub(crate) mod launcher;
pub(crate) mod mounts;
mod pool;
pub(crate) mod process;
pub(crate) mod rights;
mod rotate;
pub(crate) mod skeleton;
pub(crate) mod slot;
mod snapshot;

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{PermissionsExt, chown},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use hangar_protocol::guest::{
    Account, Order,
    setup::{DATA, RootSource},
};
use rustix::fs::{FlockOperation, flock};

use self::{
    base::Base,
    body::NamespaceBody,
    cgroup::{Cgroups, Group},
    launcher::{Launcher, Stage},
    mounts::{IdMap, View},
    pool::Pool,
    rights::Rights,
    rotate::{Footing, stacked},
    skeleton::Skeleton,
    slot::{Ids, Slot, Talk},
};
use crate::{
    backend::{Backend, BackendKind, Capabilities, Made, SlotCounts},
    border::Border,
    error::Error,
    ids::IdRange,
    layers::{self, LayerStore, Snapshot, chain},
    random,
    spec::{Base as BaseKind, EngineConfig, Limits, SandboxSpec},
    steps::Step,
};

/// How long ending waits for the launcher to give back its control group.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries at that.
const CLOSE_PAUSE: Duration = Duration::from_millis(5);

/// See the module's documentation.
pub(crate) struct Namespace {
    inner: Arc<Inner>,
}

struct Inner {
    rights: Rights,
    data_dir: PathBuf,
    layers: LayerStore,
    launcher: Launcher,
    /// Mounts roots while the launcher is busy with slots.
    mounter: Launcher,
    guest: OwnedFd,
    base: Base,
    skeleton: Skeleton,
    cgroups: Cgroups,
    numbers: Numbers,
    maps: Mutex<HashMap<usize, Arc<IdMap>>>,
    /// What the launcher's next process will be born into.
    cradle: Mutex<Option<Cradle>>,
    pool: Pool,
    /// Held as long as the backend lives.
    _lock: File,
}

impl Namespace {
    /// Opens the state directory and removes what a killed engine left behind.
    pub(crate) async fn open(config: &EngineConfig) -> Result<Self, Error> {
        let rights = Rights::detect();
        let prepared = tokio::task::spawn_blocking({
            let config = config.clone();
            move || Prepared::new(&config, rights)
        });
        let prepared = prepared.await.map_err(|error| Error::Setup(error.to_string()))??;
        let launcher = Launcher::start("hangar-launcher", prepared.state.join("stage"), rights).await?;
        let mounter = Launcher::start("hangar-mounter", prepared.state.join("stage"), rights).await?;
        if let Some(reason) = prepared.cgroups.missing() {
            tracing::warn!(%reason, "sandboxes run without limits on memory, processor and processes; see `hangar doctor`");
        }
        let inner = Inner {
            rights,
            data_dir: prepared.data_dir,
            layers: prepared.layers,
            launcher,
            mounter,
            guest: prepared.guest,
            base: prepared.base,
            skeleton: prepared.skeleton,
            cgroups: prepared.cgroups,
            numbers: Numbers::default(),
            maps: Mutex::default(),
            cradle: Mutex::new(None),
            pool: Pool::new(config.slots),
            _lock: prepared.lock,
        };
        let inner = Arc::new(inner);
        inner.prepare_cradle();
        pool::keep_filled(&inner);
        Ok(Self { inner })
    }
}

impl Backend for Namespace {
    fn capabilities(&self) -> Capabilities {
        let limits = self.inner.cgroups.missing().is_none();
        Capabilities {
            kind: BackendKind::Namespace,
            rootless: matches!(self.inner.rights, Rights::Rootless),
            pause: self.inner.cgroups.can_freeze(),
            snapshot: true,
            fork: true,
            late_bound: true,
            border: true,
            layers: true,
            limits,
        }
    }

    fn slots(&self) -> SlotCounts {
        self.inner.pool.counts()
    }

    fn make<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Made, Error>> {
        Box::pin(async {
            let slot = match (self.inner.rights, spec.account) {
                // Without root the one id a slot has is the agent's.
                (Rights::Rootless, Account::Builder) => None,
                (Rights::Root, _) | (Rights::Rootless, Account::Agent) => self.inner.pool.take(),
            };
            let slot = match slot {
                Some(slot) => slot,
                None => self.inner.slot(spec.account).await?,
            };
            self.inner.claim(slot, spec.clone()).await
        })
    }

    fn close(&self) {
        self.inner.pool.close();
        let began = std::time::Instant::now();
        loop {
            let (done, left) = std::sync::mpsc::channel();
            self.inner.leave_cradle();
            self.inner.launcher.post(move |_| {
                // Whoever waited may have given up.
                let _ = done.send(());
            });
            // An error means that the queue was full or the thread is gone; then the next start sweeps.
            let _ = left.recv_timeout(CLOSE_PATIENCE);
            // A slot that was just being made, and the place that was prepared for it, take a moment to be cleared away.
            if self.inner.cgroups.remove_roots() || began.elapsed() > CLOSE_PATIENCE {
                return;
            }
            std::thread::sleep(CLOSE_PAUSE);
        }
    }
}

/// A control group and a number in which nobody lives yet.
struct Cradle {
    number: Number,
    group: Group,
    /// On version 2 of control groups.
    directory: Option<OwnedFd>,
}

/// A slot that is ready. When it is dropped, the process goes first.
struct Ready {
    talk: Talk,
    border: Border,
    body: NamespaceBody,
}

/// Has the launcher's thread leave the group of the last slot, when dropped.
struct MovesOn<'a>(&'a Arc<Inner>);

impl Drop for MovesOn<'_> {
    fn drop(&mut self) {
        self.0.prepare_cradle();
    }
}

impl Inner {
    /// Makes a slot and waits until it is ready.
    async fn slot(self: &Arc<Self>, account: Account) -> Result<Ready, Error> {
        let inner = Arc::clone(self);
        // Also when nobody waits for the slot any more: until it moves on, the launcher's thread keeps the slot's group from being removed.
        let moves_on = MovesOn(self);
        let started = self.launcher.run(move |_| inner.start(account)).await?;
        drop(moves_on);
        let Started { socket, network, body } = started;
        let talk = Talk::new(socket)?;
        let border = talk.staged(network).await?;
        Step::SlotStaged.done();
        self.pool.count_made();
        Ok(Ready { talk, border, body })
    }

    /// Starts a slot. On the launcher's thread.
    fn start(&self, account: Account) -> Result<Started, Error> {
        let Cradle { number, group, directory } = self.cradle()?;
        let ids = match self.rights {
            Rights::Root => Ids::Range(IdRange::of(number.value)),
            Rights::Rootless => Ids::Single(account),
        };
        let start = || {
            let (stage, mounts) = self.base.stage(account)?;
            let slot = Slot::start(&self.guest, ids, self.rights, directory.as_ref().map(AsFd::as_fd))?;
            slot.order(&Order::Stage(stage), &mounts)?;
            Step::SlotOrdered.done();
            let network = format!("/proc/{}/ns/net", slot.process.pid());
            let network = OwnedFd::from(File::open(&network).map_err(Error::host(network))?);
            let view = match self.rights {
                Rights::Root => Some(View::new(&self.data_dir, &*self.map(number.value)?)?),
                Rights::Rootless => None,
            };
            Step::SlotViewed.done();
            Ok((slot, network, view))
        };
        match start() {
            Ok((Slot { process, socket }, network, view)) => {
                Ok(Started { socket, network, body: NamespaceBody::new(process, group, number, view) })
            }
            Err(error) => {
                // This thread lives in the group, which could not be removed otherwise.
                group.leave();
                Err(error)
            }
        }
    }

    /// The launcher's thread moves on, so that the next slot finds its group ready.
    fn prepare_cradle(self: &Arc<Self>) {
        if !self.cgroups.carries() {
            return;
        }
        let inner = Arc::downgrade(self);
        self.launcher.post(move |_| {
            let Some(inner) = inner.upgrade() else { return };
            let made = inner.cradle();
            match made {
                Ok(cradle) => *inner.cradle.lock().unwrap_or_else(PoisonError::into_inner) = Some(cradle),
                Err(error) => tracing::warn!(%error, "no control group could be made ahead"),
            }
        });
    }

    /// What was prepared, or a new one. On the launcher's thread.
    fn cradle(&self) -> Result<Cradle, Error> {
        if let Some(ready) = self.cradle.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(ready);
        }
        let number = self.numbers.take();
        let group = self.cgroups.create(&format!("{}", number.value), &Limits::default())?;
        Step::SlotGroupMade.done();
        let directory = group.carry()?;
        Step::SlotGroupEntered.done();
        // Nobody needs to wait for this either.
        if let Rights::Root = self.rights {
            self.map(number.value)?;
        }
        Step::SlotRangeMapped.done();
        Ok(Cradle { number, group, directory })
    }

    /// Gives back what was prepared: the launcher's thread lives in it, so it must go first.
    fn leave_cradle(&self) {
        let cradle = self.cradle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(cradle) = cradle {
            self.launcher.post(move |_| {
                cradle.group.leave();
                drop(cradle);
            });
        }
    }

    /// The id mapping of this number's range.
    fn map(&self, number: usize) -> Result<Arc<IdMap>, Error> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(map) = maps.get(&number) {
            return Ok(Arc::clone(map));
        }
        let map = Arc::new(IdMap::from_disk(IdRange::of(number))?);
        maps.insert(number, Arc::clone(&map));
        Ok(map)
    }

    /// Makes a slot this sandbox.
    async fn claim(self: &Arc<Self>, slot: Ready, spec: SandboxSpec) -> Result<Made, Error> {
        let Ready { talk, border, mut body } = slot;
        let orders = talk.orders()?;
        let inner = Arc::clone(self);
        let body = self.mounter.run(move |stage| {
            body.limit(&spec.limits)?;
            Step::ClaimLimited.done();
            inner.session(&spec)?;
            Step::ClaimSessionMade.done();
            let lower = inner.lower(&spec)?;
            let stack = stacked(inner.own_layers(&spec.session_dir)?, &lower);
            Step::RestoreFound.done();
            let (root, mounts) = inner.root(&spec, &stack, &body, stage)?;
            Step::ClaimMounted.done();
            let claim = inner.base.claim(&spec, root);
            let footing = Footing {
                session: spec.session_dir.clone(),
                session_below: inner.below(&spec.session_dir)?,
                lower,
                one: Mutex::default(),
                attach: claim.attach.clone(),
            };
            orders.give(&Order::Claim(claim), &mounts)?;
            Step::ClaimOrdered.done();
            body.settle(footing, Arc::clone(&inner));
            Ok(body)
        });
        let body = body.await?;
        let (reader, writer) = talk.claimed().await?.into_split();
        Step::ClaimAttached.done();
        Ok(Made { reader: Box::new(reader), writer: Box::new(writer), body: Box::new(body), border: Some(border) })
    }

    /// The root: mounted here as root, described for the guest to mount otherwise.
    fn root(
        &self,
        spec: &SandboxSpec,
        lower: &[PathBuf],
        body: &NamespaceBody,
        stage: &Stage,
    ) -> Result<(RootSource, Vec<OwnedFd>), Error> {
        let session = self.below(&spec.session_dir)?;
        match body.view() {
            Some(view) => Ok((RootSource::Sent, vec![view.overlay(lower, &session, &stage.directory)?])),
            None => {
                for layer in spec.root.layers.iter() {
                    fs::metadata(layer).map_err(Error::host(layer))?;
                }
                let inside = |path: &Path| Path::new(DATA).join(path).to_string_lossy().into_owned();
                let source = RootSource::Overlay {
                    lower: lower.iter().map(|layer| inside(layer)).collect(),
                    upper: inside(&session.join("upper")),
                    work: inside(&session.join("work")),
                };
                Ok((source, vec![]))
            }
        }
    }

    /// The layers asked for from the data directory on, topmost first, and what every root needs.
    fn lower(&self, spec: &SandboxSpec) -> Result<Vec<PathBuf>, Error> {
        let skeleton = match spec.root.base {
            BaseKind::Host => &self.skeleton.host,
            BaseKind::Tree => &self.skeleton.tree,
        };
        spec.root.layers.iter().chain([skeleton]).map(|layer| self.below(layer)).collect()
    }

    /// A session's own snapshots from the data directory on, topmost first, as they lie on disk now.
    fn own_layers(&self, session_dir: &Path) -> Result<Vec<PathBuf>, Error> {
        let mut own = Vec::new();
        for snapshot in layers::snapshots(session_dir)? {
            let tree = match snapshot {
                Snapshot::Tree(tree) => tree,
                Snapshot::Layer(id) => {
                    self.layers.verify(&id)?;
                    self.layers.tree(&id)
                }
            };
            own.push(self.below(&tree)?);
        }
        Ok(own)
    }

    /// A path from the data directory on.
    fn below(&self, path: &Path) -> Result<PathBuf, Error> {
        below(&self.data_dir, path)
    }

    /// Makes what is missing of a session's directory, and sweeps what an interrupted snapshot left.
    fn session(&self, spec: &SandboxSpec) -> Result<(), Error> {
        session(&spec.session_dir, self.rights).map(drop)
    }
}

/// A path from the data directory on.
pub(crate) fn below(data_dir: &Path, path: &Path) -> Result<PathBuf, Error> {
    if let Ok(rest) = path.strip_prefix(data_dir) {
        return Ok(rest.to_owned());
    }
    // The same place by another name, perhaps.
    let real = fs::canonicalize(path).map_err(Error::host(path))?;
    let outside = |_| Error::Outside { path: path.to_owned(), data_dir: data_dir.to_owned() };
    real.strip_prefix(data_dir).map(Path::to_owned).map_err(outside)
}

/// Makes what is missing of a session's directory, and sweeps what an interrupted snapshot left. Returns the directory of its changes.
pub(crate) fn session(directory: &Path, rights: Rights) -> Result<PathBuf, Error> {
    if !directory.is_dir() {
        fs::create_dir_all(directory).map_err(Error::host(directory))?;
        // What is below belongs to ids that own nothing; still nobody else on the host needs to read it.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(Error::host(directory))?;
    }
    chain::sweep(directory)?;
    let upper = directory.join("upper");
    for directory in [&upper, &directory.join("work")] {
        if directory.is_dir() {
            continue;
        }
        fs::create_dir(directory).map_err(Error::host(directory))?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).map_err(Error::host(directory))?;
        match rights {
            Rights::Root => {
                let root = IdRange::DISK.first;
                chown(directory, Some(root), Some(root)).map_err(Error::host(directory))?;
            }
            Rights::Rootless => {}
        }
    }
    // An overlay that was not taken down in order leaves a mark by which the next one refuses to be mounted; what is in the files is
    // whatever the kernel had, as it would be without the mark.
    let mark = directory.join("work/work/incompat");
    if mark.exists() {
        fs::remove_dir_all(&mark).map_err(Error::host(mark))?;
    }
    Ok(upper)
}

/// What the launcher hands over.
struct Started {
    socket: std::os::unix::net::UnixStream,
    network: OwnedFd,
    body: NamespaceBody,
}

/// What is found and made before the launcher starts.
pub(crate) struct Prepared {
    pub lock: File,
    pub layers: LayerStore,
    pub data_dir: PathBuf,
    pub state: PathBuf,
    pub cgroups: Cgroups,
    pub base: Base,
    pub skeleton: Skeleton,
    pub guest: OwnedFd,
}

impl Prepared {
    pub(crate) fn new(config: &EngineConfig, rights: Rights) -> Result<Self, Error> {
        let state = config.state_dir();
        fs::create_dir_all(&state).map_err(Error::host(&state))?;
        let data_dir = fs::canonicalize(&config.data_dir).map_err(Error::host(&config.data_dir))?;
        let state = fs::canonicalize(&state).map_err(Error::host(&state))?;
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
        match rights {
            Rights::Root => fs::create_dir_all(&stage).map_err(Error::host(&stage))?,
            Rights::Rootless => {}
        }
        Ok(Self {
            lock,
            layers: LayerStore::open(&data_dir)?,
            skeleton: Skeleton::write(&state.join("skeleton"), rights, &config.toolchains)?,
            base: Base::host(rights, &data_dir, &config.toolchains),
            data_dir,
            state,
            cgroups,
            guest: slot::guest_program()?,
        })
    }
}

/// Names the engine of this state directory, also after a restart.
pub(crate) fn engine_id(state: &Path) -> Result<String, Error> {
    let path = state.join("engine-id");
    match fs::read_to_string(&path) {
        Ok(id) if id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => return Ok(id),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::host(path)(error)),
    }
    let id: String = random::hex().chars().take(12).collect();
    fs::write(&path, &id).map_err(Error::host(&path))?;
    Ok(id)
}

/// Numbers of slots, each with its id range. Given out lowest first and taken back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    taken: Arc<Mutex<BTreeSet<usize>>>,
}

/// A number that is given back when dropped.
#[derive(Debug)]
pub(crate) struct Number {
    value: usize,
    numbers: Numbers,
}

impl Number {
    pub(crate) const fn value(&self) -> usize {
        self.value
    }
}

impl Numbers {
    pub(crate) fn take(&self) -> Number {
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
