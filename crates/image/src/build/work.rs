//! The sandbox of one build: made over the layers below, remade when a step needs another account, frozen at the end.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use hangar_sandbox::{
    Account as SandboxAccount, Engine, Error, Guarantee, Limits, Root, Sandbox, SandboxSpec,
    layers::{About, Kind, LayerId, LayerStore},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{failure::BuildFailure, place::Place, run::Room};
use crate::{
    log::BuildLog,
    outside::{Outside, Serving, SetupNetwork},
    recipe::{Account, Step},
    steps::BuildStep,
};

/// How often everything is killed before a snapshot that still found something running is given up.
const KILLS_MAX: u32 = 5;
/// Where in its directory a sandbox's changes are; see [`SandboxSpec::session_dir`].
const UPPER: &str = "upper";
/// Between two of them.
const KILL_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What a build's sandbox is made with.
pub(super) struct Plan<'a> {
    pub(super) engine: &'a Engine,
    pub(super) outside: &'a Arc<dyn Outside>,
    pub(super) network: SetupNetwork,
    pub(super) name: String,
    pub(super) root: Root,
    pub(super) base_env: BTreeMap<String, String>,
    pub(super) limits: Limits,
    pub(super) log: &'a BuildLog,
    pub(super) deadline: Instant,
    pub(super) cancel: &'a CancellationToken,
}

/// A build's sandbox.
pub(super) struct Work<'a> {
    plan: Plan<'a>,
    session_dir: PathBuf,
    pub(super) sandbox: Sandbox,
    account: Account,
    _serving: Serving,
    /// The environment of its steps, once it is known.
    pub(super) env: BTreeMap<String, String>,
}

impl<'a> Work<'a> {
    pub(super) async fn begin(plan: Plan<'a>, place: &Place) -> Result<Self, BuildFailure> {
        let session_dir = place.path("sandbox");
        let account = Account::Agent;
        let (sandbox, serving) = open(&plan, &session_dir, account).await?;
        BuildStep::SandboxMade.done();
        Ok(Self { plan, session_dir, sandbox, account, _serving: serving, env: BTreeMap::new() })
    }

    /// Runs a step as whoever it asks for. Changing that ends every process; files stay.
    pub(super) async fn run(&mut self, step: &Step) -> Result<(), BuildFailure> {
        self.become_account(step.account).await?;
        let Plan { log, deadline, cancel, .. } = &self.plan;
        let room = Room { sandbox: &self.sandbox, env: &self.env, log, deadline: *deadline, cancel };
        room.run(step).await
    }

    pub(super) async fn become_account(&mut self, account: Account) -> Result<(), BuildFailure> {
        if self.account == account {
            return Ok(());
        }
        self.sandbox.destroy().await;
        let (sandbox, serving) = open(&self.plan, &self.session_dir, account).await?;
        (self.sandbox, self._serving, self.account) = (sandbox, serving, account);
        Ok(())
    }

    /// Ends everything inside and makes what has changed a layer.
    pub(super) async fn freeze(self, store: &Arc<LayerStore>, label: String) -> Result<LayerId, BuildFailure> {
        let failed = |error: &dyn std::fmt::Display| BuildFailure::passing("freeze the layer", error);
        self.sandbox.kill_all().await.map_err(|error| failed(&error))?;
        BuildStep::AllKilled.done();
        let tree = if self.plan.engine.capabilities().snapshot {
            self.snapshot().await?
        } else {
            // What the sandbox has written lies there, and with the sandbox's end every process is gone.
            self.session_dir.join(UPPER)
        };
        BuildStep::LayerFrozen.done();
        self.sandbox.destroy().await;
        BuildStep::SandboxEnded.done();
        let store = Arc::clone(store);
        let sealed = tokio::task::spawn_blocking(move || store.seal(&tree, About::new(Kind::Image, label))).await;
        let sealed = sealed.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        BuildStep::LayerSealed.done();
        Ok(sealed)
    }

    async fn snapshot(&self) -> Result<PathBuf, BuildFailure> {
        let failed = |error: &dyn std::fmt::Display| BuildFailure::passing("freeze the layer", error);
        for _ in 0..KILLS_MAX {
            let frozen = self.sandbox.snapshot().await.map_err(|error| failed(&error))?;
            match frozen.guarantee {
                Guarantee::Quiescent => return Ok(frozen.tree),
                // A process was being born while the others were killed.
                Guarantee::Frozen => tokio::time::sleep(KILL_AGAIN_AFTER).await,
            }
            self.sandbox.kill_all().await.map_err(|error| failed(&error))?;
        }
        Err(failed(&"processes in the sandbox cannot be ended; the layer would be torn"))
    }

    /// Ends it without a layer.
    pub(super) async fn abandon(self) {
        self.sandbox.destroy().await;
    }
}

async fn open(
    plan: &Plan<'_>,
    session_dir: &std::path::Path,
    account: Account,
) -> Result<(Sandbox, Serving), BuildFailure> {
    let mut spec = SandboxSpec::new(plan.name.clone(), plan.root.clone(), session_dir);
    spec.limits = plan.limits;
    spec.env = plan.base_env.clone();
    spec.account = match account {
        Account::Agent => SandboxAccount::Agent,
        Account::Root => SandboxAccount::Builder,
    };
    let sandbox = plan.engine.create(spec).await.map_err(|error| failure_of(&error))?;
    let serving = match sandbox.border() {
        Some(border) => plan.outside.serve_setup(border, plan.network.clone()),
        // A backend without borders has no network at all.
        None => Serving::until_dropped(()),
    };
    Ok((sandbox, serving))
}

fn failure_of(error: &Error) -> BuildFailure {
    BuildFailure::passing("make a sandbox", error)
}
