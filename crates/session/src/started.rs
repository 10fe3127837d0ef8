//! What an image wants running in a sandbox that starts from it: services, and the steps of every start. A session waits for neither; only its first command
//! gives the services a moment, because a test suite without its database says nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hangar_image::{
    Lease, ServiceState, Services,
    recipe::{Shell, Step},
};
use hangar_sandbox::{ExecSpec, Sandbox};
use tokio::{
    sync::{OnceCell, mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{decide::Report, driver::Message, floor::Floor};

/// Output of a step that is kept for a warning's words.
const OUTPUT_BYTES_MAX: usize = 2 * 1024;

/// How long the first command waits for services that are being started.
const SERVICES_WAIT_MAX: Duration = Duration::from_secs(10);

/// Services that run in a sandbox, and the image it is over, which is not collected meanwhile. They end with it.
pub(crate) struct Started {
    services: Option<Services>,
    _lease: Option<Lease>,
}

/// The services of a sandbox as its commands find them. A cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    states: watch::Receiver<Vec<ServiceState>>,
    /// Filled when the services are there, or were waited for long enough.
    waited: Arc<OnceCell<()>>,
}

impl Beside {
    /// Waits until the services are there; once in a sandbox, and at most [`SERVICES_WAIT_MAX`]. Returns the names of those that are still being started.
    pub(crate) async fn wait(&self) -> Vec<String> {
        let mut states = self.states.clone();
        let settled = |states: &Vec<ServiceState>| states.iter().all(|state| state.phase.is_settled());
        // An error: the time is over, or the services have ended. Neither is to be waited for.
        let once = async { drop(timeout(SERVICES_WAIT_MAX, states.wait_for(settled)).await) };
        self.waited.get_or_init(|| once).await;
        let states = self.states.borrow();
        states.iter().filter(|state| !state.phase.is_settled()).map(|state| state.name.clone()).collect()
    }
}

impl Started {
    /// What the pool has started already.
    pub(crate) fn before(services: Services, lease: Lease) -> Self {
        Self { services: Some(services), _lease: Some(lease) }
    }

    /// Begins to start everything and returns at once.
    pub(crate) fn begin(
        sandbox: &Sandbox,
        floor: &Floor,
        env: &BTreeMap<String, String>,
        inbox: mpsc::WeakSender<Message>,
        serving: CancellationToken,
    ) -> Self {
        let services = (!floor.services.is_empty()).then(|| Services::start(sandbox.clone(), &floor.services, env));
        if !floor.start.is_empty() {
            let (sandbox, steps) = (sandbox.clone(), floor.start.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = run(&sandbox, &steps, &inbox) => {}
                    () = serving.cancelled() => {}
                }
            });
        }
        Self { services, _lease: None }
    }

    /// The services, if there are any.
    pub(crate) fn beside(&self) -> Option<Beside> {
        let services = self.services.as_ref()?;
        Some(Beside { states: services.states(), waited: Arc::default() })
    }
}

/// One after the other; one that fails is a warning, and the next begins all the same.
async fn run(sandbox: &Sandbox, steps: &[Step], inbox: &mpsc::WeakSender<Message>) {
    for step in steps {
        let failure = match carry_out(sandbox, step).await {
            Ok(None) => continue,
            Ok(Some(said)) => said,
            // The sandbox is gone, and with it the reason to start anything.
            Err(hangar_sandbox::Error::Gone) => return,
            Err(error) => error.to_string(),
        };
        let text = format!("The start step “{}” of the repository's image failed: {failure}", step.name);
        let Some(inbox) = inbox.upgrade() else { return };
        drop(inbox.send(Message::Report(Report::Warning { text })).await);
    }
}

/// `None` when it succeeded, else what it said.
async fn carry_out(sandbox: &Sandbox, step: &Step) -> Result<Option<String>, hangar_sandbox::Error> {
    let script = match step.shell {
        Shell::Strict => format!("set -eo pipefail\n{}", step.script),
        Shell::Plain => step.script.clone(),
    };
    let mut spec = ExecSpec::shell(script).timeout_ms(u64::from(step.seconds_max) * 1_000);
    if !step.directory.is_empty() {
        spec = spec.cwd(&step.directory);
    }
    let spec = step.env.iter().fold(spec, |spec, (name, value)| spec.env(name, value));
    let done = sandbox.exec_stream(&spec).await?.collect(OUTPUT_BYTES_MAX).await?;
    if done.ended.status.success() {
        return Ok(None);
    }
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let last = said.trim().lines().last().unwrap_or_default();
    Ok(Some(format!("{:?}; {last}", done.ended.status)))
}
