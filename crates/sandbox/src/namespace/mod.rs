//! The backend `namespace`: Linux namespaces over the host's kernel.
//!
//! A sandbox is made in two steps, so that the first is taken ahead of need: a **slot** (`slot.rs`) is a process in
//! all its namespaces in which everything is prepared that does not depend on what it will be used for, forked from the **nursery** (`nursery.rs`); a **claim** mounts the
//! layers of one image as one overlay, sends it, upon which the guest moves in and locks itself down.

pub(crate) mod base;
pub(crate) mod berth;
mod body;
pub(crate) mod cgroup;
mod hold;
pub(crate) mod launcher;
pub(crate) mod mounts;
mod nursery;
mod pool;
pub(crate) mod process;
pub(crate) mod rights;
mod rotate;
pub(crate) mod skeleton;
pub(crate) mod slot;
mod snapshot;
mod sweep;

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::{self, File},
    io,
    os::{
        fd::OwnedFd,
        unix::{fs::DirBuilderExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use hangar_protocol::guest::{
    Account, Order,
    setup::{DATA, RootSource},
};
use rustix::fs::{FlockOperation, IFlags, flock, ioctl_getflags, ioctl_setflags};

use self::{
    base::Base,
    berth::{Berth, Berths, Numbers},
    body::NamespaceBody,
    cgroup::Cgroups,
    launcher::{Launcher, Mounter, Stage},
    mounts::IdMaps,
    nursery::Nursery,
    pool::Pool,
    rights::Rights,
    rotate::{Footing, stacked},
    skeleton::Skeleton,
    slot::{Orders, Slot, Talk},
};
use crate::{
    backend::{Backend, BackendKind, Capabilities, Made, SlotCounts},
    border::Border,
    error::Error,
    ids::IdRange,
    layers::{self, LayerStore, Snapshot, chain, chain::Facts},
    random,
    spec::{Base as BaseKind, EngineConfig, SandboxSpec},
    steps::Step,
};

/// Descriptors that a sandbox takes: its process, its sockets, its border.
const DESCRIPTORS_EACH: usize = 20;
/// How long ending waits for what was just being made.
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
    mounter: Mounter,
    guest: OwnedFd,
    base: Base,
    skeleton: Skeleton,
    cgroups: Cgroups,
    numbers: Numbers,
    maps: IdMaps,
    /// Where slots are forked. Locked on the launcher's thread, and at the end.
    nurseries: Mutex<HashMap<Account, Nursery>>,
    berths: Berths,
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
        make_room_for_descriptors(&prepared.lock, config.sandboxes_max);
        let launcher = Launcher::start("hangar-launcher", prepared.state.join("stage"), rights).await?;
        let mounter = Mounter::start(prepared.state.join("stage"), rights).await?;
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
            maps: IdMaps::default(),
            nurseries: Mutex::default(),
            berths: Berths::start().await?,
            pool: Pool::new(config.slots),
            _lock: prepared.lock,
        };
        let inner = Arc::new(inner);
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
            hold: hold::is_possible(self.inner.rights),
        }
    }

    fn slots(&self) -> SlotCounts {
        self.inner.pool.counts()
    }

    fn make<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Made, Error>> {
        Box::pin(async {
            // Builds of images are no hurry: slots that wait are the agent's.
            if let Account::Agent = spec.account {
                while let Some(slot) = self.inner.pool.take() {
                    match self.inner.claim(slot, spec.clone()).await {
                        // It was dying already; what was made for it serves the next.
                        Err(Error::GuestEnded(_)) => {}
                        other => return other,
                    }
                }
            }
            self.inner.cold(spec.clone()).await
        })
    }

    fn close(&self) {
        self.inner.pool.close();
        let nurseries = std::mem::take(&mut *self.inner.nurseries());
        // Waits for their end.
        drop(nurseries);
        self.inner.berths.close();
        let began = std::time::Instant::now();
        // A slot that was just being made takes a moment to be cleared away.
        while !self.inner.cgroups.remove_roots() && began.elapsed() < CLOSE_PATIENCE {
            std::thread::sleep(CLOSE_PAUSE);
        }
    }
}

/// A slot that is ready. When it is dropped, the process goes first.
struct Ready {
    talk: Talk,
    border: Border,
    body: NamespaceBody,
}

impl Inner {
    /// Makes a slot and waits until it is ready.
    async fn slot(self: &Arc<Self>, account: Account) -> Result<Ready, Error> {
        let (mut talk, body) = self.born(account).await?;
        let border = talk.staged(body.process()?).await?;
        self.staged();
        Ok(Ready { talk, border, body })
    }

    /// Starts a slot.
    async fn born(self: &Arc<Self>, account: Account) -> Result<(Talk, NamespaceBody), Error> {
        let berth = self.berth().await?;
        let inner = Arc::clone(self);
        let (socket, body) = self.launcher.run(move |_| inner.bear(account, berth)).await?;
        self.make_berth_ahead();
        Ok((Talk::new(socket)?, body))
    }

    /// Forks a slot. On the launcher's thread.
    fn bear(&self, account: Account, berth: Berth) -> Result<(UnixStream, NamespaceBody), Error> {
        let Berth { number, group, entry, view } = berth;
        let mut nurseries = self.nurseries();
        let nursery = self.nursery(&mut nurseries, account)?;
        let mapping = match self.rights {
            Rights::Root => nursery::range(IdRange::of(number.value())),
            Rights::Rootless => nursery::single(account),
        };
        let Slot { process, socket } = nursery.bear(account, mapping, self.base.ids(), &entry)?;
        // From here on it is ended with the body, whatever fails.
        let body = NamespaceBody::new(process, group, number, view);
        Step::SlotBorn.done();
        Ok((socket, body))
    }

    fn staged(&self) {
        Step::SlotStaged.done();
        self.pool.count_made();
    }

    fn nurseries(&self) -> MutexGuard<'_, HashMap<Account, Nursery>> {
        self.nurseries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nursery for this account, started where there is none or it has died.
    fn nursery<'a>(
        &self,
        nurseries: &'a mut HashMap<Account, Nursery>,
        account: Account,
    ) -> Result<&'a Nursery, Error> {
        let account = match self.rights {
            // What slots have in common is the same for both.
            Rights::Root => Account::Agent,
            Rights::Rootless => account,
        };
        if nurseries.get(&account).is_some_and(Nursery::has_ended) {
            nurseries.remove(&account);
        }
        match nurseries.entry(account) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(place) => {
                let (stage, mounts) = self.base.stage(account)?;
                let nursery = Nursery::start(&self.guest, self.rights, account, stage, &mounts)?;
                Step::NurseryStarted.done();
                Ok(place.insert(nursery))
            }
        }
    }

    /// Makes a slot this sandbox.
    async fn claim(self: &Arc<Self>, slot: Ready, spec: SandboxSpec) -> Result<Made, Error> {
        let Ready { talk, border, body } = slot;
        let body = self.order(talk.orders()?, body, spec).await?;
        made(talk, border, body).await
    }

    /// Makes a sandbox where no slot is ready. Its root is mounted while the slot is getting ready, which finds its order then.
    async fn cold(self: &Arc<Self>, spec: SandboxSpec) -> Result<Made, Error> {
        let (mut talk, body) = self.born(spec.account).await?;
        let (orders, process) = (talk.orders()?, body.process()?);
        let (border, body) = match tokio::join!(talk.staged(process), self.order(orders, body, spec)) {
            // Each ends the other: a guest that fails takes no orders, and one whose root cannot be mounted is ended. The cause is the other's.
            (Err(failed), Err(Error::GuestEnded(_))) | (Err(failed), Ok(_)) | (_, Err(failed)) => return Err(failed),
            (Ok(border), Ok(body)) => (border, body),
        };
        self.staged();
        made(talk, border, body).await
    }

    /// Mounts the root and orders the slot to move in.
    async fn order(
        self: &Arc<Self>,
        orders: Orders,
        mut body: NamespaceBody,
        spec: SandboxSpec,
    ) -> Result<NamespaceBody, Error> {
        let inner = Arc::clone(self);
        let job = move |stage: &Stage| {
            let claim = inner.base.claim(&spec);
            let attach = claim.attach.clone();
            // The guest gets ready while its root is being mounted.
            orders.give(&Order::Claim(claim), &[])?;
            Step::ClaimOrdered.done();
            body.limit(&spec.limits)?;
            Step::ClaimLimited.done();
            inner.session(&spec)?;
            Step::ClaimSessionMade.done();
            let lower = inner.lower(&spec)?;
            let stack = stacked(inner.own_layers(&spec.session_dir)?, &lower);
            Step::RestoreFound.done();
            let (root, mounts) = inner.root(&spec, &stack, &body, stage)?;
            Step::ClaimMounted.done();
            let footing = Footing {
                session: spec.session_dir.clone(),
                session_below: inner.below(&spec.session_dir)?,
                lower,
                one: Mutex::default(),
                attach,
            };
            orders.give(&Order::Root(root), &mounts)?;
            Step::ClaimRootGiven.done();
            body.settle(footing, Arc::clone(&inner));
            Ok(body)
        };
        self.mounter.run_claim(job).await
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
        if let Some(parent) = directory.parent() {
            fs::create_dir_all(parent).map_err(Error::host(parent))?;
            spread(parent);
        }
        // What is below belongs to ids that own nothing; still nobody else on the host needs to read it.
        fs::DirBuilder::new().mode(0o700).create(directory).map_err(Error::host(directory))?;
    }
    chain::sweep(directory)?;
    let owner = match rights {
        Rights::Root => Some((IdRange::DISK.first, IdRange::DISK.first)),
        Rights::Rootless => None,
    };
    let upper = directory.join(chain::UPPER);
    for part in [&upper, &directory.join(chain::WORK)] {
        if !part.is_dir() {
            chain::make_part(directory, part, &Facts { mode: 0o755, owner })?;
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

/// Has the kernel make this process's table of descriptors large enough for so many sandboxes. It grows by itself, but each time every thread that opens something waits for
/// a grace period of the kernel (fs/file.c, `expand_fdtable`): about 10 ms, in the middle of somebody's claim.
fn make_room_for_descriptors(any: &File, sandboxes: usize) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let last = u64::try_from(sandboxes * DESCRIPTORS_EACH).unwrap_or(u64::MAX).min(limit.saturating_sub(1));
    // Where it fails, the table grows by itself.
    drop(i32::try_from(last).map(|last| rustix::io::fcntl_dupfd_cloexec(any, last)));
}

/// Tells the file system that what is in this directory has nothing to do with each other (`chattr +T`). ext4 then gives each a place of its own for its files
/// instead of searching one place for all; where many come and go, that search is most of what an overlay's mount takes. Other file systems need no such hint.
fn spread(directory: &Path) {
    let Ok(directory) = File::open(directory) else { return };
    let Ok(flags) = ioctl_getflags(&directory) else { return };
    if !flags.contains(IFlags::TOPDIR) {
        // A hint that cannot be given costs time only.
        let _ = ioctl_setflags(&directory, flags | IFlags::TOPDIR);
    }
}

/// Waits until the slot is a sandbox.
async fn made(talk: Talk, border: Border, body: NamespaceBody) -> Result<Made, Error> {
    let (reader, writer) = talk.claimed().await?;
    Step::ClaimAttached.done();
    Ok(Made { reader: Box::new(reader), writer: Box::new(writer), body: Box::new(body), border: Some(border) })
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
        let nothing = state.join("nothing");
        fs::create_dir_all(&nothing).map_err(Error::host(&nothing))?;
        let own_source = config.own_source.as_deref();
        Ok(Self {
            lock,
            layers: LayerStore::open(&data_dir)?,
            skeleton: Skeleton::write(&state.join("skeleton"), rights, own_source, &config.toolchains)?,
            base: Base::host(rights, &data_dir, &nothing, own_source, &config.toolchains),
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
