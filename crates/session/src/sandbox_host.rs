//! A session's sandbox: made when first needed, shared by turns, diffs and pull requests, put away when idle.
//!
//! ```text
//!   absent ──get()──▶ preparing ──▶ ready ──put_away()──▶ absent        files stay in the session's folder throughout
//!                        │            └──── it died ────▶ failed ──get()──▶ preparing
//!                        └─── cannot ──▶ failed
//! ```

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex as StdMutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use hangar_agent::{
    acp::HookDoor,
    gateway::{Gateway, GatewayToken},
};
use hangar_forge::{
    Access, ForgeUser,
    broker::{Broker, BrokerReport, Grant, RepoGrant},
};
use hangar_image::{Bringing, PoolError, Taken, Target};
use hangar_network::{Behalf, Inner, Rule};
use hangar_protocol::{
    ChildFiles, Person, Refusal, RefusalCode, SessionState, TurnId, UserId,
    event::SandboxPhase,
    guest::BORDER_HOST,
    state::{Place as Destination, SnapshotState},
};
use hangar_sandbox::{
    Exec, ExecSpec, Life, Root, Sandbox, SandboxSpec,
    layers::{InUse, is_changed, snapshots},
};
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{millis, now_ms},
    decide::Report,
    driver::Message,
    file_watch,
    floor::{Floor, FloorError, blocking},
    gateway::{self, GATEWAY_PATH, HOOKS_PATH, ModelGateway, SessionGateway},
    ground::{self, Due, Ground, GroundError},
    outbound::{Open, Plan},
    ports::Ports,
    pull_request::branch_name,
    reads::Reads,
    snapshots::Snapshots,
    started::Started,
    steps::SessionStep,
    sync::{self, Sync, Synced, Then, Wanted},
};

/// Reports of the broker that may wait for the session. When it is full, a push waits and a refusal is not reported.
const BROKER_REPORTS_MAX: usize = 32;
/// How long hangar's own git commands inside a sandbox may take.
pub(crate) const SCRIPT_TIMEOUT_MS: u64 = 120_000;
/// Output of hangar's own commands that is kept for a refusal's words.
pub(crate) const SCRIPT_OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// See the module's documentation.
pub(crate) struct SandboxHost {
    shared: Arc<Shared>,
}

struct Shared {
    ports: Arc<Ports>,
    state: Facts,
    folder: PathBuf,
    inbox: mpsc::WeakSender<Message>,
    snapshots: Snapshots,
    /// The commit that its workspace begins at.
    base_commit: StdMutex<String>,
    /// Places that people opened for this session.
    allowed: StdMutex<Vec<Destination>>,
    /// The session's last rewind: its files follow it before a sandbox is made, if they have not yet.
    due: StdMutex<Option<Due>>,
    live: Mutex<Option<Live>>,
    up: AtomicBool,
    /// In whose name branches move at the forge: the author of the turn.
    pusher: watch::Sender<Option<UserId>>,
    /// Where the hooks of an external agent's program ask.
    hooks: HookDoor,
}

/// What a sandbox needs to know of its session. None of it ever changes.
struct Facts {
    session: hangar_protocol::SessionId,
    repo: hangar_protocol::RepoPath,
    base_branch: String,
    branch: String,
    owner: UserId,
    /// The commit pushed last before the task began. Where the workspace is gone (a restored session), it is made anew from there.
    pushed: Option<String>,
    /// A sandbox was made before the task began.
    worked: bool,
    /// It is a fork: its workspace may be on the branch of another session.
    forked: bool,
}

/// What commands find in their environment beside the image's own.
type Env = Arc<BTreeMap<String, String>>;

/// A sandbox, what its commands find in their environment beside the image's own, and when its workspace can be written.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) sandbox: Sandbox,
    pub(crate) env: Env,
    /// Until the sync is in, the workspace can be read alone.
    pub(crate) synced: Synced,
    /// What was read until then.
    pub(crate) reads: Arc<Reads>,
    /// Its border, for what hangar asks on its behalf.
    pub(crate) behalf: Behalf,
    /// Somebody who used it found that it has ended.
    pub(crate) gone: Arc<AtomicBool>,
}

/// What is known of a workspace before its sandbox is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workspace {
    /// Whether the session's branch was begun in it, it says itself.
    Unknown,
    /// It was kept before: whatever git's head is, somebody left it so.
    Begun,
}

/// A sandbox that runs, with what serves it.
struct Live {
    place: Place,
    network: Open,
    serving: CancellationToken,
    /// Empty until the workspace is at its commit.
    _started: Arc<OnceLock<Started>>,
    /// A sync that has not been begun.
    sync: Option<Sync>,
    /// Its layers are not collected while it runs.
    _layers: Vec<InUse>,
}

/// How files were kept as they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// A snapshot was asked for; its event, or a warning, follows.
    Taken,
    /// No sandbox runs and nothing was changed since the last snapshot.
    AsTheyWere,
    /// There never was a sandbox.
    NeverBegun,
}

/// How a command of hangar's own ended.
pub(crate) struct Ran {
    /// It returned 0.
    pub(crate) ok: bool,
    /// Its output, at most as much as asked for.
    pub(crate) stdout: Vec<u8>,
    /// Its errors, likewise.
    pub(crate) stderr: Vec<u8>,
    /// There was more output.
    pub(crate) cut: bool,
}

/// How a script ended, in words.
pub(crate) struct Script {
    /// It returned 0.
    pub(crate) ok: bool,
    /// What it said, output and errors.
    pub(crate) output: String,
}

impl SandboxHost {
    pub(crate) fn new(
        ports: Arc<Ports>,
        state: &SessionState,
        folder: PathBuf,
        inbox: mpsc::WeakSender<Message>,
    ) -> Self {
        let facts = Facts {
            session: state.id.clone(),
            repo: state.repo.clone(),
            base_branch: state.base_branch.clone(),
            branch: state.branch.clone(),
            owner: state.owner.clone(),
            pushed: state.pushed.clone(),
            forked: state.forked_from.is_some()
                || state.parent.as_ref().is_some_and(|parent| parent.files == ChildFiles::Workspace),
            worked: matches!(state.sandbox, SandboxPhase::Syncing | SandboxPhase::Ready)
                || state.image.is_some()
                || state.pushed.is_some()
                || !state.snapshots.is_empty(),
        };
        Self {
            shared: Arc::new(Shared {
                snapshots: Snapshots::new(folder.clone(), Arc::clone(&ports.layers), inbox.clone()),
                base_commit: StdMutex::new(state.base_commit.clone()),
                allowed: StdMutex::new(state.allowed.clone()),
                hooks: HookDoor::default(),
                due: StdMutex::new(due(state)),
                ports,
                state: facts,
                folder,
                inbox,
                live: Mutex::new(None),
                up: AtomicBool::new(false),
                pusher: watch::Sender::new(None),
            }),
        }
    }

    /// Whether a sandbox runs.
    pub(crate) fn is_up(&self) -> bool {
        self.shared.up.load(Ordering::Acquire)
    }

    /// A turn of this author begins: the sandbox is made while the model is thinking.
    pub(crate) fn prepare_for(&self, author: UserId) {
        self.shared.pusher.send_replace(Some(author));
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move { shared.prepare().await });
    }

    /// A person lets a sandbox that has failed be made once more, over a workspace that begins where this state says.
    pub(crate) fn make_again(&self, state: &SessionState) {
        self.shared.base_commit.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&state.base_commit);
        *self.shared.due.lock().unwrap_or_else(PoisonError::into_inner) = due(state);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let failed = shared.live.lock().await.take_if(|live| !live.runs());
            if let Some(failed) = failed {
                failed.end().await;
            }
            shared.prepare().await;
        });
    }

    /// The sandbox, made if there is none.
    pub(crate) async fn get(&self) -> Result<Place, Refusal> {
        self.shared.get().await
    }

    /// What the model is to be told of the sandbox that runs; each piece once.
    pub(crate) fn news(&self) -> Option<String> {
        // While a sandbox is being made there is no news of it; the next call asks again.
        self.shared.live.try_lock().ok()?.as_ref()?.place.reads.news()
    }

    /// Where the hooks of an external agent's program ask, whichever sandbox it runs in.
    pub(crate) fn hooks(&self) -> HookDoor {
        self.shared.hooks.clone()
    }

    /// Keeps the files as they are after a turn, if a sandbox runs. Answers at once; whoever asks for the sandbox next waits until its files are frozen.
    pub(crate) fn keep_after(&self, turn: TurnId) {
        let shared = Arc::clone(&self.shared);
        let promise = shared.snapshots.promise();
        tokio::spawn(async move {
            shared.sync_settled().await;
            let live = shared.live.lock().await;
            if let Some(live) = live.as_ref().filter(|live| live.is_kept()) {
                shared.snapshots.take(&live.place.sandbox, Some(turn), promise).await;
            }
        });
    }

    /// Keeps the files as they are now. Where they were changed and no sandbox runs (hangar was killed), one is made for it.
    pub(crate) async fn keep_now(&self) -> Result<Kept, Refusal> {
        let shared = &self.shared;
        let folder = shared.folder.clone();
        let changed = blocking(move || match Floor::read(&folder)? {
            Some(floor) => Ok(Some(is_changed(&floor.files(&folder))?)),
            None => Ok(None),
        });
        let changed = changed.await?;
        if changed == Some(true) {
            self.get().await?.synced.wait().await?;
        }
        let promise = shared.snapshots.promise();
        let live = shared.live.lock().await;
        if let Some(live) = live.as_ref().filter(|live| live.is_kept()) {
            shared.snapshots.take(&live.place.sandbox, None, promise).await;
            return Ok(Kept::Taken);
        }
        Ok(if changed.is_some() { Kept::AsTheyWere } else { Kept::NeverBegun })
    }

    /// Waits until every snapshot that was asked for is told.
    pub(crate) async fn snapshots_told(&self) {
        self.shared.snapshots.told().await;
    }

    /// What the files were made of when the last of `wanted` had been taken.
    pub(crate) async fn ground_at(&self, wanted: Vec<SnapshotState>) -> Result<Ground, GroundError> {
        let still = self.shared.snapshots.still().await;
        let (folder, store) = (self.shared.folder.clone(), Arc::clone(&self.shared.ports.layers));
        let found = tokio::task::spawn_blocking(move || {
            let _still = still;
            ground::at(&folder, &store, &wanted)
        });
        found.await.unwrap_or_else(|error| Err(FloorError::from(std::io::Error::other(error)).into()))
    }

    /// The session was taken back: its files follow, before anybody has a sandbox over them again.
    pub(crate) fn take_back(&self, state: &SessionState) {
        *self.shared.due.lock().unwrap_or_else(PoisonError::into_inner) = due(state);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let mut live = shared.live.lock().await;
            if let Some(live) = live.take() {
                live.end().await;
            }
            shared.up.store(false, Ordering::Release);
            if let Err(refusal) = shared.settle().await {
                tracing::error!(session = %shared.state.session, %refusal, "the files could not follow a rewind yet");
            }
        });
    }

    /// Opens the network towards a place, for the sandbox that runs and for those to come.
    pub(crate) fn allow(&self, place: Destination) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let live = shared.live.lock().await;
            if let Some(live) = live.as_ref() {
                live.network.allow(&place);
            }
            shared.allowed.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        });
    }

    /// Keeps the files, then ends the sandbox, if one runs.
    pub(crate) async fn put_away(&self) {
        if let Some(live) = self.shared.live.lock().await.take() {
            if live.is_kept() {
                let promise = self.shared.snapshots.promise();
                self.shared.snapshots.take(&live.place.sandbox, None, promise).await;
            }
            live.end().await;
            SessionStep::SandboxPutAway.done();
        }
        self.shared.up.store(false, Ordering::Release);
    }

    /// Runs a shell script of hangar's own in the workspace and keeps what it says.
    pub(crate) async fn script(&self, script: &str, env: Vec<(String, String)>) -> Result<Script, Refusal> {
        let ran = self.run(script, env, SCRIPT_OUTPUT_BYTES_MAX).await?;
        let mut output = String::from_utf8_lossy(&ran.stdout).into_owned();
        output.push_str(&String::from_utf8_lossy(&ran.stderr));
        Ok(Script { ok: ran.ok, output })
    }

    /// Runs a shell script of hangar's own in the workspace.
    pub(crate) async fn run(&self, script: &str, env: Vec<(String, String)>, bytes_max: usize) -> Result<Ran, Refusal> {
        let Place { sandbox, env: usual, synced, .. } = self.get().await?;
        synced.wait().await?;
        let env = usual.iter().map(|(name, value)| (name.clone(), value.clone())).chain(env).collect();
        run(&sandbox, script, env, bytes_max).await.map_err(|error| sandbox_refusal(&error))
    }
}

impl Shared {
    async fn prepare(&self) {
        if let Err(refusal) = self.get().await {
            tracing::warn!(session = %self.state.session, %refusal, "no sandbox");
        }
    }

    async fn get(&self) -> Result<Place, Refusal> {
        let mut live = self.live.lock().await;
        if let Some(known) = live.as_ref() {
            if known.runs() {
                return Ok(known.place.clone());
            }
            let unsynced = known.place.synced.has_failed();
            if let Some(dead) = live.take() {
                dead.end().await;
            }
            // A sync that failed has said so itself.
            if !unsynced {
                self.tell(SandboxPhase::Failed, "It ended unexpectedly. The workspace's files are kept.", 0).await;
            }
        }
        let began = Instant::now();
        self.tell(SandboxPhase::Preparing, "", 0).await;
        SessionStep::SandboxAnnounced.done();
        match self.make().await {
            Ok(mut made) => {
                SessionStep::SandboxMade.done();
                let (place, sync) = (made.place.clone(), made.sync.take());
                *live = Some(made);
                self.up.store(true, Ordering::Release);
                let phase = if sync.is_some() { SandboxPhase::Syncing } else { SandboxPhase::Ready };
                self.tell(phase, "", millis(began.elapsed())).await;
                SessionStep::SandboxReady.done();
                if let Some(sync) = sync {
                    sync.spawn();
                }
                Ok(place)
            }
            Err(refusal) => {
                self.up.store(false, Ordering::Release);
                self.tell(SandboxPhase::Failed, &refusal.to_string(), millis(began.elapsed())).await;
                Err(refusal)
            }
        }
    }

    fn base_commit(&self) -> String {
        self.base_commit.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a sync that is under way is in or has failed.
    async fn sync_settled(&self) {
        let synced = self.live.lock().await.as_ref().map(|live| live.place.synced.clone());
        if let Some(synced) = synced {
            synced.settled().await;
        }
    }

    /// Lets the files follow the last rewind. Nobody has a sandbox over them.
    async fn settle(&self) -> Result<(), Refusal> {
        let Some(due) = self.due.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return Ok(()) };
        let (folder, store) = (self.folder.clone(), Arc::clone(&self.ports.layers));
        let still = self.snapshots.still().await;
        let settled = tokio::task::spawn_blocking(move || {
            let _still = still;
            ground::settle(&folder, &store, &due)
        });
        let settled = settled.await.unwrap_or_else(|error| Err(FloorError::from(std::io::Error::other(error)).into()));
        settled.map_err(|error| ground_refusal(&error))
    }

    async fn make(&self) -> Result<Live, Refusal> {
        self.settle().await?;
        let folder = self.folder.clone();
        let found = blocking(move || {
            let Some(floor) = Floor::read(&folder)? else { return Ok(None) };
            let kept = !snapshots(&floor.files(&folder))?.is_empty();
            Ok(Some((floor, if kept { Workspace::Begun } else { Workspace::Unknown })))
        });
        match found.await? {
            Some((floor, workspace)) => self.again(floor, workspace).await,
            None => self.first().await,
        }
    }

    /// The session's first sandbox: one that the pool has, over the newest image; without an image, one over a clone of the commit.
    async fn first(&self) -> Result<Live, Refusal> {
        if self.state.worked {
            self.report(Report::Warning { text: self.lost_workspace() }).await;
        }
        match self.take().await {
            Ok(Some(taken)) => return self.take_over(taken).await,
            Ok(None) => {}
            // A clone does as well; it only takes longer.
            Err(error) => tracing::warn!(session = %self.state.session, %error, "no sandbox over the image"),
        }
        let floor = Floor::of_clone(self.base_commit());
        let (folder, written) = (self.folder.clone(), floor.clone());
        blocking(move || written.write(&folder)).await?;
        self.again(floor, Workspace::Unknown).await
    }

    /// One that the pool has: at the session's commit, or with its workspace held until it is.
    async fn take(&self) -> Result<Option<Taken>, PoolError> {
        let target = Target::of(self.state.repo.clone());
        let commit = self.base_commit();
        let taken = self.ports.pool.take_as_it_is(target, self.state.owner.as_str(), commit).await?;
        let Some(mut taken) = taken else { return Ok(None) };
        if let Some(behind) = &taken.behind {
            if sync::hold(&taken.sandbox).await {
                return Ok(Some(taken));
            }
            if let Err(error) = behind.bring(&taken.sandbox, Bringing::Open).await {
                taken.sandbox.destroy().await;
                return Err(error);
            }
            taken.behind = None;
        }
        if let Some(rest) = taken.rest.take() {
            taken.services = rest.begin(&taken.sandbox);
        }
        Ok(Some(taken))
    }

    /// The session worked before and nothing says on which files: it comes from a backup.
    fn lost_workspace(&self) -> String {
        let from = match &self.state.pushed {
            Some(commit) => format!("the commit that was pushed last, {commit}"),
            None => format!("the commit the session began at, {}", self.base_commit()),
        };
        format!("The workspace's files are not here: the session was restored from a backup. It goes on from {from}.")
    }

    /// Makes a sandbox of the pool this session's.
    async fn take_over(&self, mut taken: Taken) -> Result<Live, Refusal> {
        let image = Arc::clone(taken.lease.image());
        let floor = Floor::of_image(&image).in_pool(&taken.session_dir());
        let (folder, written) = (self.folder.clone(), floor.clone());
        blocking(move || written.write(&folder)).await?;
        taken.keep().map_err(|error| kept_refusal(&error))?;
        let age_ms = now_ms().saturating_sub(image.built_at_ms);
        let (id, commit) = (image.id.to_string(), image.commit.clone());
        self.report(Report::ImageChosen { image: id, commit, age_ms }).await;
        let plan = self.plan(&floor)?;
        let (folder, store, held) = (self.folder.clone(), Arc::clone(&self.ports.layers), floor.clone());
        let layers = blocking(move || held.hold(&folder, &store)).await?;
        let Taken { sandbox, lease, services, behind, rest, .. } = taken;
        if let Some(behind) = behind {
            let then = rest.map_or(Then::Running(services), Then::Begin);
            let env = self.branch_env(Workspace::Unknown);
            let wanted = Wanted { behind, script: BEGIN_BRANCH, env, then, lease };
            return self.read_first(sandbox, plan, layers, wanted).await;
        }
        // It keeps a process ready for a sync, which would count as one of the sandbox's own.
        sandbox.sync_over().await.map_err(|error| sandbox_refusal(&error))?;
        let started = move |_: &Sandbox, _| Started::before(services, lease);
        self.furnished(sandbox, plan, layers, Workspace::Unknown, started).await
    }

    /// A sandbox that can be read at once, and is written to when the sync is in.
    async fn read_first(
        &self,
        sandbox: Sandbox,
        plan: Plan,
        layers: Vec<InUse>,
        wanted: Wanted,
    ) -> Result<Live, Refusal> {
        let serving = CancellationToken::new();
        match self.open(&sandbox, plan, serving.clone()).await {
            Ok((network, env)) => {
                let sync = Sync::new(wanted, sandbox.clone(), serving.clone(), self.inbox.clone());
                let (behalf, gone) = (network.behalf(), sync.gone());
                let place = Place { sandbox, env, synced: sync.synced(), reads: sync.reads(), behalf, gone };
                Ok(Live { place, network, serving, _started: sync.started(), sync: Some(sync), _layers: layers })
            }
            Err(refusal) => {
                serving.cancel();
                sandbox.destroy().await;
                Err(refusal)
            }
        }
    }

    /// A sandbox over what the session's files stand on.
    async fn again(&self, floor: Floor, workspace: Workspace) -> Result<Live, Refusal> {
        let (layers, root) = self.ground(&floor).await?;
        let plan = self.plan(&floor)?;
        let mut spec = SandboxSpec::new(self.state.session.to_string(), root, floor.files(&self.folder));
        spec.env.extend(floor.env.clone());
        let sandbox = self.ports.engine.create(spec).await.map_err(|error| sandbox_refusal(&error))?;
        let inbox = self.inbox.clone();
        let begin = move |sandbox: &Sandbox, serving: CancellationToken| {
            Started::begin(sandbox, &floor, &floor.env, inbox, serving)
        };
        self.furnished(sandbox, plan, layers, workspace, begin).await
    }

    fn plan(&self, floor: &Floor) -> Result<Plan, Refusal> {
        let rules: Vec<Rule> = floor.network.iter().filter_map(|rule| rule.parse().ok()).collect();
        let allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Plan::new(&self.ports.outbound, &rules, &allowed)
    }

    async fn furnished(
        &self,
        sandbox: Sandbox,
        plan: Plan,
        layers: Vec<InUse>,
        workspace: Workspace,
        start: impl FnOnce(&Sandbox, CancellationToken) -> Started,
    ) -> Result<Live, Refusal> {
        let serving = CancellationToken::new();
        match self.furnish(&sandbox, plan, workspace, serving.clone()).await {
            Ok((network, env)) => {
                let started = start(&sandbox, serving.clone());
                let place = Place {
                    sandbox,
                    env,
                    synced: Synced::already(started.beside()),
                    reads: Arc::default(),
                    behalf: network.behalf(),
                    gone: Arc::default(),
                };
                let started = Arc::new(OnceLock::from(started));
                Ok(Live { place, network, serving, _started: started, sync: None, _layers: layers })
            }
            Err(refusal) => {
                serving.cancel();
                sandbox.destroy().await;
                Err(refusal)
            }
        }
    }

    /// The layers, held and checked.
    async fn ground(&self, floor: &Floor) -> Result<(Vec<InUse>, Root), Refusal> {
        if floor.image.is_none() {
            let Ports { clones, forge, .. } = &*self.ports;
            let clone = clones.prepared(forge, &self.state.repo, &floor.commit).await?;
            return Ok((Vec::new(), Root::host(vec![clone])));
        }
        let (floor, folder, store) = (floor.clone(), self.folder.clone(), Arc::clone(&self.ports.layers));
        blocking(move || {
            let held = floor.hold(&folder, &store)?;
            Ok((held, floor.root(&store)?))
        })
        .await
    }

    /// Opens the border, brings the session's branch to where it begins, and starts to watch the files.
    async fn furnish(
        &self,
        sandbox: &Sandbox,
        plan: Plan,
        workspace: Workspace,
        serving: CancellationToken,
    ) -> Result<(Open, Env), Refusal> {
        let opened = self.open(sandbox, plan, serving.clone()).await?;
        let switched = run(sandbox, BEGIN_BRANCH, self.branch_env(workspace), SCRIPT_OUTPUT_BYTES_MAX).await;
        let switched = switched.map_err(|error| sandbox_refusal(&error))?;
        if !switched.ok {
            return Err(Refusal::new(
                RefusalCode::Unavailable,
                format!("The session's branch cannot be made: {}", String::from_utf8_lossy(&switched.stderr).trim()),
                "Start a new session; if it happens again, the repository is damaged.",
            ));
        }
        file_watch::spawn(sandbox.clone(), self.inbox.clone(), serving);
        Ok(opened)
    }

    /// Opens the border, with the model gateway behind it where it is offered: also what commands find in their environment then.
    async fn open(&self, sandbox: &Sandbox, plan: Plan, serving: CancellationToken) -> Result<(Open, Env), Refusal> {
        plan.furnish(sandbox).await.map_err(|error| sandbox_refusal(&error))?;
        let token = match self.ports.gateway {
            ModelGateway::Offered => Some(GatewayToken::random()),
            ModelGateway::Off => None,
        };
        let mut env = plan.env().clone();
        env.extend(token.iter().flat_map(gateway::environment));
        Ok((self.open_border(sandbox, plan, token, serving).await?, Arc::new(env)))
    }

    /// What [`BEGIN_BRANCH`] asks for.
    fn branch_env(&self, workspace: Workspace) -> Vec<(String, String)> {
        let base_commit = self.base_commit();
        let env = [
            ("HANGAR_BRANCH", self.state.branch.as_str()),
            ("HANGAR_BASE_BRANCH", self.state.base_branch.as_str()),
            ("HANGAR_BASE_COMMIT", base_commit.as_str()),
            ("HANGAR_PUSHED", self.state.pushed.as_deref().unwrap_or_default()),
            ("HANGAR_FORKED", if self.state.forked { "1" } else { "" }),
            ("HANGAR_BEGUN", if workspace == Workspace::Begun { "1" } else { "" }),
        ];
        env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    async fn open_border(
        &self,
        sandbox: &Sandbox,
        plan: Plan,
        token: Option<GatewayToken>,
        serving: CancellationToken,
    ) -> Result<Open, Refusal> {
        let repo = self.state.repo.to_string().parse();
        let repo = repo.map_err(|error| crate::forge_words::forge_refusal(&hangar_forge::ForgeError::Name(error)))?;
        let branch = branch_name(&self.state.branch)?;
        let grant = Grant { session: self.state.session.to_string(), repos: vec![RepoGrant { repo, branch }] };
        let (reports, inbox) = mpsc::channel(BROKER_REPORTS_MAX);
        let pusher = self.follow_pusher(serving.clone()).await?;
        let broker = Broker::new(self.ports.forge.clone(), grant, pusher, reports);
        let Some(border) = sandbox.border() else {
            return Err(Refusal::new(RefusalCode::Internal, "The sandbox's border is in use already.", ""));
        };
        let outside = self.ports.outbound.outside.clone();
        let mut routes = broker.router();
        if let Some(token) = token {
            let host = Arc::new(SessionGateway::new(self.state.session.clone(), self.inbox.clone()));
            let gateway = Gateway::new(self.ports.models.clone(), token, host);
            routes = routes.nest(GATEWAY_PATH, gateway.router()).nest(HOOKS_PATH, self.hooks.router());
        }
        let inner = Inner::new(routes);
        let open = plan.serve(border, outside, inner, self.inbox.clone(), serving);
        tokio::spawn(tell_pushes(inbox, self.inbox.clone()));
        open.map_err(|error| {
            tracing::error!(%error, "a sandbox's border failed");
            Refusal::new(RefusalCode::Unavailable, "The sandbox's network cannot be served.", "See the server's log.")
        })
    }

    /// The forge's view of whoever the sandbox works for at the moment.
    async fn follow_pusher(&self, serving: CancellationToken) -> Result<watch::Receiver<ForgeUser>, Refusal> {
        let mut wanted = self.pusher.subscribe();
        let first = wanted.borrow_and_update().clone().unwrap_or_else(|| self.state.owner.clone());
        let first = self.ports.people.forge_user(&first).await?;
        let (sender, receiver) = watch::channel(ForgeUser { ceiling: Access::Write, ..first });
        let ports = Arc::clone(&self.ports);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = serving.cancelled() => return,
                    changed = wanted.changed() => if changed.is_err() { return },
                }
                let Some(user) = wanted.borrow_and_update().clone() else { continue };
                match ports.people.forge_user(&user).await {
                    Ok(user) => drop(sender.send_replace(ForgeUser { ceiling: Access::Write, ..user })),
                    // The last one stays: pushes are checked against the session's grant in any case.
                    Err(refusal) => tracing::warn!(%user, %refusal, "the forge does not know the turn's author"),
                }
            }
        });
        Ok(receiver)
    }

    async fn tell(&self, phase: SandboxPhase, detail: &str, duration_ms: u32) {
        self.report(Report::Sandbox { phase, detail: detail.to_owned(), duration_ms }).await;
    }

    async fn report(&self, report: Report) {
        if let Some(inbox) = self.inbox.upgrade() {
            // A session that has ended does not need to know.
            drop(inbox.send(Message::Report(report)).await);
        }
    }
}

/// The rewind that the files of a session in this state have followed, or have to. Where a session was let begin at its image's commit, that is one to before
/// everything: what a sync left half done is gone.
fn due(state: &SessionState) -> Option<Due> {
    let Some(rewound) = &state.rewound else {
        return state.base_changed.map(|seq| Due { seq, snapshots: Vec::new() });
    };
    let snapshots = ground::up_to_turn(&state.snapshots, rewound.to_turn)?;
    Some(Due { seq: rewound.seq, snapshots: snapshots.to_vec() })
}

/// Why the files of some turn cannot be had, for people.
pub(crate) fn ground_refusal(error: &GroundError) -> Refusal {
    tracing::error!(%error, "the files of an earlier turn cannot be had");
    Refusal::new(
        RefusalCode::Unavailable,
        format!("The files of that turn cannot be had: {error}."),
        "Nothing was changed. Another turn's may be there.",
    )
}

impl Live {
    fn runs(&self) -> bool {
        !self.place.gone.load(Ordering::Acquire) && matches!(self.place.sandbox.health().borrow().life, Life::Running)
    }

    /// Whether its files are the session's, and so are kept. Those of a sync that is not in are the image's and git's.
    fn is_kept(&self) -> bool {
        self.runs() && self.place.synced.is_in()
    }

    async fn end(self) {
        self.serving.cancel();
        self.place.sandbox.destroy().await;
    }
}

/// Brings a fresh workspace to the commit the session begins at, on its branch. One that has a branch was begun before. What was pushed already
/// is only missing in the workspace of a restored session, which goes on from there.
///
/// A git that was killed here, with its sandbox, may have left the lock of the index, which every later git stumbles over.
///
/// A fork has its source's workspace: its branch gets the fork's name, with all that was committed to it and nothing else touched.
const BEGIN_BRANCH: &str = "set -e\n\
    rm -f \"$(git rev-parse --git-path index.lock)\"\n\
    if head=$(git symbolic-ref --quiet --short HEAD); then\n\
        case \"$HANGAR_FORKED:$head\" in\n\
            \"1:$HANGAR_BRANCH\" | \"1:$HANGAR_BRANCH\"/*) ;;\n\
            1:hangar/*)\n\
                if git branch --move \"$HANGAR_BRANCH\" 2>/dev/null; then\n\
                    git branch --unset-upstream 2>/dev/null || true\n\
                fi;;\n\
        esac\n\
        exit 0\n\
    fi\n\
    if [ -n \"$HANGAR_BEGUN\" ]; then exit 0; fi\n\
    if [ \"$(git rev-parse HEAD)\" != \"$HANGAR_BASE_COMMIT\" ]; then\n\
        git cat-file -e \"$HANGAR_BASE_COMMIT^{commit}\" 2>/dev/null || git fetch --quiet origin \"$HANGAR_BASE_BRANCH\"\n\
        git cat-file -e \"$HANGAR_BASE_COMMIT^{commit}\" 2>/dev/null || git fetch --quiet origin \"$HANGAR_BASE_COMMIT\"\n\
        git reset --quiet --hard \"$HANGAR_BASE_COMMIT\"\n\
    fi\n\
    if [ -n \"$HANGAR_PUSHED\" ]; then\n\
        git cat-file -e \"$HANGAR_PUSHED^{commit}\" 2>/dev/null || git fetch --quiet origin \"$HANGAR_PUSHED\" || true\n\
        if git cat-file -e \"$HANGAR_PUSHED^{commit}\" 2>/dev/null; then git reset --quiet --hard \"$HANGAR_PUSHED\"; fi\n\
    fi\n\
    git switch --quiet --create \"$HANGAR_BRANCH\"\n";

async fn tell_pushes(mut reports: mpsc::Receiver<BrokerReport>, inbox: mpsc::WeakSender<Message>) {
    while let Some(report) = reports.recv().await {
        let report = match report {
            BrokerReport::Pushed { branch, old, new, .. } => Report::Pushed {
                branch: branch.to_string(),
                old: (!old.is_zero()).then(|| old.to_string()),
                new: new.to_string(),
            },
            BrokerReport::Refused { what, why } => Report::PushRefused { reason: format!("{what}: {why}") },
        };
        let Some(inbox) = inbox.upgrade() else { return };
        drop(inbox.send(Message::Report(report)).await);
    }
}

/// The address by which git inside a sandbox reaches its repository.
#[must_use]
pub fn origin_url(repo: &hangar_protocol::RepoPath) -> String {
    format!("http://{BORDER_HOST}/{repo}.git")
}

/// The environment that makes a commit this person's.
pub(crate) fn commit_env(person: &Person) -> Vec<(String, String)> {
    ["AUTHOR", "COMMITTER"]
        .iter()
        .flat_map(|role| {
            [(format!("GIT_{role}_NAME"), person.name.clone()), (format!("GIT_{role}_EMAIL"), person.email.clone())]
        })
        .collect()
}

async fn run(
    sandbox: &Sandbox,
    script: &str,
    env: Vec<(String, String)>,
    bytes_max: usize,
) -> Result<Ran, hangar_sandbox::Error> {
    let spec = ExecSpec::shell(script).timeout_ms(SCRIPT_TIMEOUT_MS).kill_leftovers();
    let spec = env.into_iter().fold(spec, |spec, (name, value)| spec.env(name, value));
    let exec = sandbox.exec_stream(&spec).await?;
    collect(exec, bytes_max).await
}

/// Waits for the end of a command of hangar's own.
pub(crate) async fn collect(exec: Exec, bytes_max: usize) -> Result<Ran, hangar_sandbox::Error> {
    let collected = exec.collect(bytes_max).await?;
    Ok(Ran {
        ok: collected.ended.status.success(),
        stdout: collected.stdout,
        stderr: collected.stderr,
        cut: collected.dropped_bytes > 0,
    })
}

fn kept_refusal(error: &std::io::Error) -> Refusal {
    tracing::error!(%error, "a sandbox of the pool cannot be taken over");
    Refusal::new(
        RefusalCode::Unavailable,
        "The session's files cannot be kept.",
        "Free space in hangar's data directory.",
    )
}

/// A sandbox's error as a refusal.
pub(crate) fn sandbox_refusal(error: &hangar_sandbox::Error) -> Refusal {
    let code = match error {
        hangar_sandbox::Error::TooMany(_) | hangar_sandbox::Error::Busy => RefusalCode::TooMany,
        hangar_sandbox::Error::TooLarge { .. } => RefusalCode::TooLarge,
        hangar_sandbox::Error::Kernel { .. }
        | hangar_sandbox::Error::Setup(_)
        | hangar_sandbox::Error::GuestEnded(_)
        | hangar_sandbox::Error::Host { .. }
        | hangar_sandbox::Error::DiskFull { .. }
        | hangar_sandbox::Error::StateDirInUse(_)
        | hangar_sandbox::Error::Layer(_)
        | hangar_sandbox::Error::BadName(_)
        | hangar_sandbox::Error::Outside { .. }
        | hangar_sandbox::Error::Unsupported { .. }
        | hangar_sandbox::Error::Gone
        | hangar_sandbox::Error::Guest(_)
        | hangar_sandbox::Error::Protocol => RefusalCode::Unavailable,
    };
    // The host's paths are for the server's log, not for a session that many people read.
    let words = match error {
        hangar_sandbox::Error::Host { source, .. } => format!("A directory of the sandbox cannot be used: {source}."),
        hangar_sandbox::Error::DiskFull { .. } => {
            "The disk that holds hangar's data is full. Free some space and try again; nothing was lost.".into()
        }
        hangar_sandbox::Error::Outside { .. } => "A directory of the sandbox is not below the data directory.".into(),
        other => format!("{other}."),
    };
    tracing::warn!(%error, "a sandbox did not do what it was asked");
    Refusal::new(code, words, "")
}
