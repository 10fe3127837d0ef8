//! The sync of a session's first sandbox: it is brought to the commit the session begins at, while the agent reads already.
//!
//! ```text
//!   taken from the pool, behind ──hold──▶ under way ──▶ in ──▶ writable, services begin
//!                                │            └─ cannot ──▶ failed: the sandbox is made anew, and everybody waits for git
//!                                └─ cannot be held: everybody waits until it is in, as where there is nothing to sync
//! ```
//!
//! Meanwhile the workspace is read only at its mount, for everything in the sandbox. Objects are fetched first; the work tree changes in one short step of git's at the end, which
//! runs in the one process that can write. Whatever writes waits here, so that it need not fail there.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hangar_image::{Behind, Bringing, Lease, Rest, Services, alone};
use hangar_protocol::{Refusal, RefusalCode, event::SandboxPhase};
use hangar_sandbox::{ExecSpec, Hold, Sandbox};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::millis,
    decide::Report,
    driver::Message,
    file_watch,
    reads::Reads,
    sandbox_host::{SCRIPT_OUTPUT_BYTES_MAX, SCRIPT_TIMEOUT_MS, collect, sandbox_refusal},
    started::{Beside, Started},
};

/// How long something that writes waits for the sync. Git inside has five minutes for each of its parts.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// How far it is.
#[derive(Clone, Debug)]
enum Stage {
    UnderWay,
    In(Option<Beside>),
    Failed(Refusal),
}

/// The sync as those see it who wait for it. A cheap handle.
#[derive(Clone)]
pub(crate) struct Synced(watch::Receiver<Stage>);

impl Synced {
    /// There was nothing to wait for.
    pub(crate) fn already(beside: Option<Beside>) -> Self {
        Self(watch::Sender::new(Stage::In(beside)).subscribe())
    }

    /// Whether it is still to come.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(*self.0.borrow(), Stage::UnderWay)
    }

    /// Whether the workspace is the session's: what is in it may be kept.
    pub(crate) fn is_in(&self) -> bool {
        matches!(*self.0.borrow(), Stage::In(_))
    }

    /// Whether it could not be done.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(*self.0.borrow(), Stage::Failed(_))
    }

    /// Waits until it is in or has failed.
    pub(crate) async fn settled(&self) {
        // An error means that nobody works on it any more.
        drop(self.0.clone().wait_for(|stage| !matches!(stage, Stage::UnderWay)).await);
    }

    /// Waits until the workspace can be written, but not for ever. Returns what runs beside commands.
    pub(crate) async fn wait(&self) -> Result<Option<Beside>, Refusal> {
        let mut stage = self.0.clone();
        let settled = stage.wait_for(|stage| !matches!(stage, Stage::UnderWay));
        match tokio::time::timeout(WAIT_MAX, settled).await {
            Err(_elapsed) => Err(late()),
            Ok(Err(_)) => Err(ended()),
            Ok(Ok(stage)) => match &*stage {
                Stage::In(beside) => Ok(beside.clone()),
                Stage::Failed(refusal) => Err(refusal.clone()),
                Stage::UnderWay => Err(ended()),
            },
        }
    }
}

fn late() -> Refusal {
    Refusal::new(
        RefusalCode::Unavailable,
        format!("The sync with the base branch has not come to its end within {} s.", WAIT_MAX.as_secs()),
        "Files can be read meanwhile; try again to change some.",
    )
}

fn ended() -> Refusal {
    Refusal::new(RefusalCode::Unavailable, "The sandbox was put away before the sync was in.", "Try again.")
}

/// Holds a workspace; `false` where it cannot be, and so has to be brought up to date before anybody has it.
pub(crate) async fn hold(sandbox: &Sandbox) -> bool {
    match sandbox.hold().await {
        Ok(Hold::Held) => true,
        Ok(Hold::InUse) => {
            tracing::info!("a workspace is being written to, and so not held during its sync");
            false
        }
        Err(hangar_sandbox::Error::Unsupported { .. }) => false,
        Err(error) => {
            tracing::warn!(%error, "a workspace is not held during its sync");
            false
        }
    }
}

/// What is begun once the workspace is at its commit.
pub(crate) enum Then {
    /// These run already.
    Running(Services),
    /// Nothing runs yet.
    Begin(Rest),
}

/// A sync that is to be done, in a sandbox whose workspace is held.
pub(crate) struct Sync {
    sandbox: Sandbox,
    wanted: Wanted,
    serving: CancellationToken,
    /// Set when the sandbox is to be made anew.
    gone: Arc<AtomicBool>,
    /// What the agent reads meanwhile.
    reads: Arc<Reads>,
    /// Filled when it is in.
    started: Arc<OnceLock<Started>>,
    inbox: mpsc::WeakSender<Message>,
    stage: watch::Sender<Stage>,
}

/// What is wanted of it.
pub(crate) struct Wanted {
    /// The way to the commit.
    pub(crate) behind: Behind,
    /// Puts the session's branch there, with this environment.
    pub(crate) script: &'static str,
    pub(crate) env: Vec<(String, String)>,
    /// What comes afterwards.
    pub(crate) then: Then,
    /// The image it is over.
    pub(crate) lease: Lease,
}

impl Sync {
    pub(crate) fn new(
        wanted: Wanted,
        sandbox: Sandbox,
        serving: CancellationToken,
        inbox: mpsc::WeakSender<Message>,
    ) -> Self {
        Self {
            sandbox,
            wanted,
            serving,
            gone: Arc::default(),
            reads: Arc::default(),
            started: Arc::default(),
            inbox,
            stage: watch::Sender::new(Stage::UnderWay),
        }
    }

    /// For those who wait for it.
    pub(crate) fn synced(&self) -> Synced {
        Synced(self.stage.subscribe())
    }

    /// What the agent reads meanwhile.
    pub(crate) fn reads(&self) -> Arc<Reads> {
        Arc::clone(&self.reads)
    }

    /// Set when the sandbox is to be made anew.
    pub(crate) fn gone(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.gone)
    }

    /// Filled when it is in.
    pub(crate) fn started(&self) -> Arc<OnceLock<Started>> {
        Arc::clone(&self.started)
    }

    /// Does it, beside everything else. To be called once the session has been told that it is under way.
    pub(crate) fn spawn(self) {
        tokio::spawn(async move {
            let serving = self.serving.clone();
            tokio::select! {
                () = serving.cancelled() => {}
                () = self.run() => {}
            }
        });
    }

    async fn run(self) {
        let began = Instant::now();
        let brought = self.bring().await;
        let Self { sandbox, wanted: Wanted { then, lease, .. }, serving, gone, started, inbox, stage, reads: _ } = self;
        match brought {
            Ok(()) => {
                file_watch::spawn(sandbox.clone(), inbox.clone(), serving);
                let services = match then {
                    Then::Running(services) => services,
                    Then::Begin(rest) => rest.begin(&sandbox),
                };
                let beside = started.get_or_init(|| Started::before(services, lease)).beside();
                tell(&inbox, SandboxPhase::Ready, "", began.elapsed()).await;
                stage.send_replace(Stage::In(beside));
            }
            Err(refusal) => {
                tell(&inbox, SandboxPhase::Failed, &refusal.to_string(), began.elapsed()).await;
                gone.store(true, Ordering::Release);
                stage.send_replace(Stage::Failed(refusal));
            }
        }
    }

    async fn bring(&self) -> Result<(), Refusal> {
        let refused = |what: String| {
            tracing::warn!(%what, "a sync failed");
            Refusal::new(
                RefusalCode::Unavailable,
                format!("The sync with the base branch failed: {what}."),
                "Nothing was changed. The next call tries it again from the repository itself; `hangar retry` does at once, or lets the session begin at its image's commit.",
            )
        };
        self.wanted.behind.bring(&self.sandbox, Bringing::Held).await.map_err(|error| refused(error.to_string()))?;
        let spec = ExecSpec::shell(self.wanted.script).timeout_ms(SCRIPT_TIMEOUT_MS);
        let spec = self.wanted.env.iter().fold(spec, |spec, (name, value)| spec.env(name, value));
        let exec = self.sandbox.sync_stream(&alone(spec)).await.map_err(|error| sandbox_refusal(&error))?;
        let ran = collect(exec, SCRIPT_OUTPUT_BYTES_MAX).await.map_err(|error| sandbox_refusal(&error))?;
        if !ran.ok {
            return Err(refused(String::from_utf8_lossy(&ran.stderr).trim().to_owned()));
        }
        // Nobody could write until now: what differs is the sync's doing.
        if let Err(error) = self.reads.compare(&self.sandbox, self.wanted.behind.have()).await {
            tracing::warn!(%error, "what the sync changed under the agent's eyes cannot be named");
        }
        self.sandbox.release().await.map_err(|error| sandbox_refusal(&error))
    }
}

async fn tell(inbox: &mpsc::WeakSender<Message>, phase: SandboxPhase, detail: &str, took: Duration) {
    // A session that has ended does not need to know.
    let Some(inbox) = inbox.upgrade() else { return };
    drop(
        inbox
            .send(Message::Report(Report::Sandbox { phase, detail: detail.to_owned(), duration_ms: millis(took) }))
            .await,
    );
}
