//! What an image wants running in a sandbox that starts from it: services, and the steps of every start. A session waits for neither.

use std::collections::BTreeMap;

use hangar_image::{
    Lease, Services,
    recipe::{Shell, Step},
};
use hangar_sandbox::{ExecSpec, Sandbox};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{decide::Report, driver::Message, floor::Floor};

/// Output of a step that is kept for a warning's words.
const OUTPUT_BYTES_MAX: usize = 2 * 1024;

/// Services that run in a sandbox, and the image it is over, which is not collected meanwhile. They end with it.
pub(crate) struct Started {
    _services: Option<Services>,
    _lease: Option<Lease>,
}

impl Started {
    /// What the pool has started already.
    pub(crate) fn before(services: Services, lease: Lease) -> Self {
        Self { _services: Some(services), _lease: Some(lease) }
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
        Self { _services: services, _lease: None }
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
