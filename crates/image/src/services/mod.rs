//! What a repository needs running: started in order, asked whether it is ready, started again when it falls, and ended in the opposite order.
//!
//! ```text
//!   waiting ──▶ starting ──healthy──▶ ready ──ended by itself──▶ starting   (restart, at growing intervals)
//!                  │                    └───────────────────────▶ ended     (no restart, or too often)
//!                  └── not ready in time ──▶ failed
//! ```

mod health;
mod supervise;

use std::{collections::BTreeMap, sync::Arc};

use hangar_sandbox::Sandbox;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::recipe::Service;
use supervise::{Supervised, supervise};

/// Where logs of services are, inside.
pub const LOG_FOLDER: &str = "/home/agent/.hangar/services";

/// The services of one sandbox. They are asked to end when this is dropped; [`stop`](Self::stop) does so in order and waits.
pub struct Services {
    names: Vec<String>,
    states: watch::Receiver<Vec<ServiceState>>,
    stop: CancellationToken,
    /// Ends them all at once, in no order.
    dropped: CancellationToken,
    running: JoinHandle<()>,
}

/// How a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceState {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub phase: ServicePhase,
    /// How often it was started again.
    pub restarts: u32,
}

/// How far a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServicePhase {
    /// Services before it are not ready yet.
    Waiting,
    /// It runs and is not ready yet.
    Starting,
    /// It is ready.
    Ready,
    /// It ended by itself and stays so: how.
    Ended(String),
    /// It did not become ready, or cannot be run: why.
    Failed(String),
    /// It was ended by hangar.
    Stopped,
}

impl Services {
    /// Begins to start them and returns at once. Each one waits until those before it are ready or have failed.
    #[must_use]
    pub fn start(sandbox: Sandbox, services: &[Service], env: &BTreeMap<String, String>) -> Self {
        let first = services
            .iter()
            .map(|service| ServiceState { name: service.name.clone(), phase: ServicePhase::Waiting, restarts: 0 })
            .collect();
        let (states, seen) = watch::channel(first);
        let stop = CancellationToken::new();
        let names = services.iter().map(|service| service.name.clone()).collect();
        let dropped = CancellationToken::new();
        let all =
            All { sandbox, env: env.clone(), states: Arc::new(states), stop: stop.clone(), dropped: dropped.clone() };
        let running = tokio::spawn(all.run(services.to_vec()));
        Self { names, states: seen, stop, dropped, running }
    }

    /// Their names, in the order of starting.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How they are; changes with them.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<Vec<ServiceState>> {
        self.states.clone()
    }

    /// Waits until every service is ready, has ended or has failed. Returns whether none failed.
    pub async fn settled(&self) -> bool {
        let mut states = self.states.clone();
        let settled = |states: &Vec<ServiceState>| states.iter().all(|state| state.phase.is_settled());
        match states.wait_for(settled).await {
            Ok(states) => !states.iter().any(|state| matches!(state.phase, ServicePhase::Failed(_))),
            Err(_) => false,
        }
    }

    /// Whether every service is ready, has ended or has failed.
    pub(crate) fn are_settled(&self) -> bool {
        self.states.borrow().iter().all(|state| state.phase.is_settled())
    }

    /// Waits until one of them is ready, has ended or has failed.
    pub(crate) async fn settled_one(&self, name: &str) -> ServicePhase {
        let mut states = self.states.clone();
        let one =
            |states: &[ServiceState]| states.iter().find(|state| state.name == name).map(|state| state.phase.clone());
        match states.wait_for(|states| one(states).is_none_or(|phase| phase.is_settled())).await {
            Ok(states) => one(&states).unwrap_or(ServicePhase::Stopped),
            Err(_) => ServicePhase::Stopped,
        }
    }

    /// Asks them to end, the last started first, and waits for that. Those that do not listen are killed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // An error means that the task panicked; its commands were killed with it.
        let _ = (&mut self.running).await;
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.dropped.cancel();
        self.running.abort();
    }
}

impl ServicePhase {
    /// Whether nothing more is to be waited for: it is ready, has ended or has failed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Waiting | Self::Starting => false,
            Self::Ready | Self::Ended(_) | Self::Failed(_) | Self::Stopped => true,
        }
    }
}

/// What the starting of all of them works with.
struct All {
    sandbox: Sandbox,
    env: BTreeMap<String, String>,
    states: Arc<watch::Sender<Vec<ServiceState>>>,
    stop: CancellationToken,
    dropped: CancellationToken,
}

impl All {
    async fn run(self, services: Vec<Service>) {
        let mut started: Vec<(JoinHandle<()>, CancellationToken)> = Vec::new();
        for (place, service) in services.into_iter().enumerate() {
            let own_stop = self.dropped.child_token();
            let supervised = Supervised {
                sandbox: self.sandbox.clone(),
                service,
                env: self.env.clone(),
                states: Arc::clone(&self.states),
                place,
                stop: own_stop.clone(),
            };
            started.push((tokio::spawn(supervise(supervised)), own_stop));
            let mut seen = self.states.subscribe();
            tokio::select! {
                _ = seen.wait_for(|states| states.get(place).is_none_or(|state| state.phase.is_settled())) => {}
                () = self.stop.cancelled() => break,
            }
        }
        self.stop.cancelled().await;
        while let Some((task, own_stop)) = started.pop() {
            own_stop.cancel();
            let _ = task.await;
        }
        self.states.send_modify(|states| {
            for state in states.iter_mut().filter(|state| state.phase == ServicePhase::Waiting) {
                state.phase = ServicePhase::Stopped;
            }
        });
    }
}
