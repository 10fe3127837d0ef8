//! A session's sandbox: made when first needed, shared by turns, diffs and pull requests, put away when idle.
//!
//! ```text
//!   absent ──get()──▶ preparing ──▶ ready ──put_away()──▶ absent        files stay in the session's folder throughout
//!                        │            └──── it died ────▶ failed ──get()──▶ preparing
//!                        └─── cannot ──▶ failed
//! ```

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use hangar_forge::{
    Access, ForgeUser,
    broker::{Broker, BrokerReport, Grant, RepoGrant, serve_border},
};
use hangar_protocol::{
    Person, Refusal, RefusalCode, SessionState, UserId,
    event::SandboxPhase,
    guest::{BORDER_HOST, BORDER_PORT},
};
use hangar_sandbox::{ExecSpec, Life, Root, Sandbox, SandboxSpec};
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::millis, decide::Report, driver::Message, file_watch, images, ports::Ports, pull_request::branch_name,
};

/// Reports of the broker that may wait for the session. When it is full, a push waits and a refusal is not reported.
const BROKER_REPORTS_MAX: usize = 32;
/// How long hangar's own git commands inside a sandbox may take.
const SCRIPT_TIMEOUT_MS: u64 = 120_000;
/// Output of hangar's own commands that is kept for a refusal's words.
const SCRIPT_OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// See the module's documentation.
pub(crate) struct SandboxHost {
    shared: Arc<Shared>,
}

struct Shared {
    ports: Arc<Ports>,
    state: Facts,
    folder: PathBuf,
    inbox: mpsc::WeakSender<Message>,
    live: Mutex<Option<Live>>,
    up: AtomicBool,
    /// In whose name branches move at the forge: the author of the turn.
    pusher: watch::Sender<Option<UserId>>,
}

/// What a sandbox needs to know of its session. None of it ever changes.
struct Facts {
    session: hangar_protocol::SessionId,
    repo: hangar_protocol::RepoPath,
    base_commit: String,
    branch: String,
    owner: UserId,
}

/// A sandbox that runs, with what serves it.
struct Live {
    sandbox: Sandbox,
    serving: CancellationToken,
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
            base_commit: state.base_commit.clone(),
            branch: state.branch.clone(),
            owner: state.owner.clone(),
        };
        Self {
            shared: Arc::new(Shared {
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
        tokio::spawn(async move {
            if let Err(refusal) = shared.get().await {
                tracing::warn!(session = %shared.state.session, %refusal, "no sandbox");
            }
        });
    }

    /// The sandbox, made if there is none.
    pub(crate) async fn get(&self) -> Result<Sandbox, Refusal> {
        self.shared.get().await
    }

    /// Ends the sandbox, if one runs. The files stay.
    pub(crate) async fn put_away(&self) {
        if let Some(live) = self.shared.live.lock().await.take() {
            live.end().await;
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
        let sandbox = self.get().await?;
        run(&sandbox, script, env, bytes_max).await.map_err(|error| sandbox_refusal(&error))
    }
}

impl Shared {
    async fn get(&self) -> Result<Sandbox, Refusal> {
        let mut live = self.live.lock().await;
        if let Some(known) = live.as_ref() {
            if known.runs() {
                return Ok(known.sandbox.clone());
            }
            if let Some(dead) = live.take() {
                dead.end().await;
            }
            self.tell(SandboxPhase::Failed, "It ended unexpectedly. The workspace's files are kept.", 0).await;
        }
        let began = Instant::now();
        self.tell(SandboxPhase::Preparing, "A sandbox is being made.", 0).await;
        match self.make().await {
            Ok(made) => {
                let sandbox = made.sandbox.clone();
                *live = Some(made);
                self.up.store(true, Ordering::Release);
                self.tell(SandboxPhase::Ready, "The sandbox is ready.", millis(began.elapsed())).await;
                Ok(sandbox)
            }
            Err(refusal) => {
                self.up.store(false, Ordering::Release);
                self.tell(SandboxPhase::Failed, &refusal.to_string(), millis(began.elapsed())).await;
                Err(refusal)
            }
        }
    }

    async fn make(&self) -> Result<Live, Refusal> {
        let layer = images::prepared(&self.ports, &self.state.repo, &self.state.base_commit).await?;
        let name = self.state.session.to_string();
        let spec = SandboxSpec::new(name, Root::host(vec![layer]), self.folder.join("files"));
        let sandbox = self.ports.engine.create(spec).await.map_err(|error| sandbox_refusal(&error))?;
        let live = Live { sandbox, serving: CancellationToken::new() };
        match self.furnish(&live).await {
            Ok(()) => Ok(live),
            Err(refusal) => {
                live.end().await;
                Err(refusal)
            }
        }
    }

    /// Opens the border, checks out the session's branch, and begins to watch the files.
    async fn furnish(&self, live: &Live) -> Result<(), Refusal> {
        self.open_border(live).await?;
        let branch = &self.state.branch;
        let script = format!("git symbolic-ref --quiet HEAD >/dev/null || git switch --quiet --create '{branch}'");
        let switched = run(&live.sandbox, &script, Vec::new(), SCRIPT_OUTPUT_BYTES_MAX).await;
        let switched = switched.map_err(|error| sandbox_refusal(&error))?;
        if !switched.ok {
            return Err(Refusal::new(
                RefusalCode::Unavailable,
                format!("The session's branch cannot be made: {}", String::from_utf8_lossy(&switched.stderr).trim()),
                "Start a new session; if it happens again, the repository is damaged.",
            ));
        }
        file_watch::spawn(live.sandbox.clone(), self.inbox.clone(), live.serving.clone());
        Ok(())
    }

    async fn open_border(&self, live: &Live) -> Result<(), Refusal> {
        let repo = self.state.repo.to_string().parse();
        let repo = repo.map_err(|error| crate::forge_words::forge_refusal(&hangar_forge::ForgeError::Name(error)))?;
        let branch = branch_name(&self.state.branch)?;
        let grant = Grant { session: self.state.session.to_string(), repos: vec![RepoGrant { repo, branch }] };
        let (reports, inbox) = mpsc::channel(BROKER_REPORTS_MAX);
        let pusher = self.follow_pusher(live.serving.clone()).await?;
        let broker = Broker::new(self.ports.forge.clone(), grant, pusher, reports);
        // The other sockets go with the border: what is not served is refused at once.
        let Some(listener) = live.sandbox.border().and_then(|mut border| border.take(BORDER_PORT)) else {
            return Err(Refusal::new(RefusalCode::Internal, "The sandbox's border is in use already.", ""));
        };
        let serving = live.serving.clone();
        tokio::spawn(async move {
            if let Err(error) = serve_border(listener, broker, serving.cancelled_owned()).await {
                tracing::error!(%error, "a sandbox's border failed");
            }
        });
        tokio::spawn(tell_pushes(inbox, self.inbox.clone()));
        Ok(())
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
        let report = Report::Sandbox { phase, detail: detail.to_owned(), duration_ms };
        if let Some(inbox) = self.inbox.upgrade() {
            // A session that has ended does not need to know.
            drop(inbox.send(Message::Report(report)).await);
        }
    }
}

impl Live {
    fn runs(&self) -> bool {
        matches!(self.sandbox.health().borrow().life, Life::Running)
    }

    async fn end(self) {
        self.serving.cancel();
        self.sandbox.destroy().await;
    }
}

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
pub(crate) fn origin_url(repo: &hangar_protocol::RepoPath) -> String {
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
    let collected = sandbox.exec_stream(&spec).await?.collect(bytes_max).await?;
    Ok(Ran {
        ok: collected.ended.status.success(),
        stdout: collected.stdout,
        stderr: collected.stderr,
        cut: collected.dropped_bytes > 0,
    })
}

/// A sandbox's error as a refusal.
pub(crate) fn sandbox_refusal(error: &hangar_sandbox::Error) -> Refusal {
    let code = match error {
        hangar_sandbox::Error::TooMany(_) | hangar_sandbox::Error::Busy => RefusalCode::TooMany,
        hangar_sandbox::Error::TooLarge { .. } => RefusalCode::TooLarge,
        hangar_sandbox::Error::Kernel { .. }
        | hangar_sandbox::Error::Setup(_)
        | hangar_sandbox::Error::Host { .. }
        | hangar_sandbox::Error::StateDirInUse(_)
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
        hangar_sandbox::Error::Outside { .. } => "A directory of the sandbox is not below the data directory.".into(),
        other => format!("{other}."),
    };
    tracing::warn!(%error, "a sandbox did not do what it was asked");
    Refusal::new(code, words, "")
}
