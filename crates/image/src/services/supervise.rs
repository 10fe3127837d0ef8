//! One service, from its first start to its end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hangar_sandbox::{Ended, Error, Exec, ExecSpec, ExitStatus, Sandbox, Signal};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    LOG_FOLDER, ServicePhase, ServiceState,
    health::{ASK_AGAIN_FIRST, ASK_AGAIN_MAX, is_ready},
};
use crate::{
    build::run::directory,
    recipe::{Restart, Service, Step},
};

/// Before it is started again: at first, and at most.
const RESTART_AFTER_FIRST: Duration = Duration::from_millis(500);
const RESTART_AFTER_MAX: Duration = Duration::from_secs(30);
/// A service that ran so long is healthy again: the next wait is the first one.
const RAN_WELL: Duration = Duration::from_secs(60);
/// Started again so often in a row without running well, it stays ended.
const RESTARTS_IN_A_ROW_MAX: u32 = 8;
/// How long a service that was asked to end may take.
const END_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) struct Supervised {
    pub(super) sandbox: Sandbox,
    pub(super) service: Service,
    pub(super) env: BTreeMap<String, String>,
    pub(super) states: Arc<watch::Sender<Vec<ServiceState>>>,
    pub(super) place: usize,
    pub(super) stop: CancellationToken,
}

pub(super) async fn supervise(this: Supervised) {
    let (mut in_a_row, mut wait) = (0, RESTART_AFTER_FIRST);
    loop {
        let began = Instant::now();
        let said = match this.once().await {
            After::Stopped => return this.tell(ServicePhase::Stopped),
            After::NotReady => {
                let seconds = this.service.ready_seconds_max;
                return this.tell(ServicePhase::Failed(format!(
                    "it was not ready within {seconds} s; its log is {LOG_FOLDER}/{}.log",
                    this.service.name
                )));
            }
            After::Gone(error) => return this.tell(ServicePhase::Failed(error.to_string())),
            After::Ended(ended) => {
                let again = match (this.service.restart, ended.status.success()) {
                    (Restart::Always, _) | (Restart::OnFailure, false) => true,
                    (Restart::OnFailure, true) | (Restart::Never, _) => false,
                };
                if !again {
                    return this.tell(ServicePhase::Ended(words(ended.status)));
                }
                words(ended.status)
            }
        };
        if began.elapsed() >= RAN_WELL {
            (in_a_row, wait) = (0, RESTART_AFTER_FIRST);
        }
        in_a_row += 1;
        if in_a_row > RESTARTS_IN_A_ROW_MAX {
            return this.tell(ServicePhase::Failed(format!(
                "it ended {RESTARTS_IN_A_ROW_MAX} times in a row ({said}); its log is {LOG_FOLDER}/{}.log",
                this.service.name
            )));
        }
        tokio::select! {
            () = sleep(wait) => wait = (wait * 2).min(RESTART_AFTER_MAX),
            () = this.stop.cancelled() => return this.tell(ServicePhase::Stopped),
        }
        let place = this.place;
        this.states.send_modify(|states| states.iter_mut().skip(place).take(1).for_each(|state| state.restarts += 1));
    }
}

/// How one run of it was over.
enum After {
    Ended(Ended),
    NotReady,
    Stopped,
    Gone(Error),
}

impl Supervised {
    async fn once(&self) -> After {
        self.tell(ServicePhase::Starting);
        let mut exec = match self.sandbox.exec_stream(&self.spec(&self.service.run, &self.logged())).await {
            Ok(exec) => exec,
            Err(error) => return After::Gone(error),
        };
        let ready = async {
            let limit = Duration::from_secs(u64::from(self.service.ready_seconds_max));
            if timeout(limit, self.become_ready()).await.is_err() {
                return After::NotReady;
            }
            self.tell(ServicePhase::Ready);
            std::future::pending().await
        };
        tokio::select! {
            // What ended is told before what became ready: a command that fails at once is not ready.
            biased;
            ended = exec.wait() => match ended {
                Ok(ended) => After::Ended(ended),
                Err(error) => After::Gone(error),
            },
            () = self.stop.cancelled() => {
                self.end(exec).await;
                After::Stopped
            }
            // Dropping the command kills it.
            after = ready => after,
        }
    }

    async fn become_ready(&self) {
        let mut wait = ASK_AGAIN_FIRST;
        // A service that is ready as soon as it runs is given the time to fail at once.
        sleep(wait).await;
        while !is_ready(&self.sandbox, &self.service.health, &self.env).await {
            sleep(wait).await;
            wait = (wait * 2).min(ASK_AGAIN_MAX);
        }
    }

    /// Asks it to end; a command that does not is killed by being dropped.
    async fn end(&self, mut exec: Exec) {
        match &self.service.stop {
            Some(step) => drop(self.sandbox.exec(&self.spec(step, &step.script).kill_leftovers()).await),
            None => drop(exec.signal(Signal::Terminate).await),
        }
        if timeout(END_TIMEOUT, exec.wait()).await.is_err() {
            tracing::info!(service = %self.service.name, "a service did not end when asked and was killed");
        }
    }

    /// Its output goes to its log inside, which begins anew with each start.
    fn logged(&self) -> String {
        let (name, script) = (&self.service.name, &self.service.run.script);
        format!("mkdir -p {LOG_FOLDER}; exec >{LOG_FOLDER}/{name}.log 2>&1; {script}")
    }

    fn spec(&self, step: &Step, script: &str) -> ExecSpec {
        let spec = ExecSpec::shell(script).cwd(directory(step));
        self.env.iter().chain(&step.env).fold(spec, |spec, (name, value)| spec.env(name, value))
    }

    fn tell(&self, phase: ServicePhase) {
        let place = self.place;
        self.states.send_modify(|states| {
            for state in states.iter_mut().skip(place).take(1) {
                state.phase.clone_from(&phase);
            }
        });
    }
}

fn words(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("exit code {code}"),
        ExitStatus::Signal(signal) => format!("signal {signal}"),
    }
}
