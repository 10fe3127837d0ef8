//! Where the cases are tried: an engine, a sandbox with the helper inside, and canaries on the host.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use hangar_sandbox::{Account, BackendKind, Collected, Error, ExecSpec, ExitStatus, Limits, Sandbox};
use tempfile::TempDir;

use super::{
    canaries::Canaries,
    case::{Case, Group, How, Who},
    elsewhere::{self, Answer},
    planted,
};
use crate::{
    bench::{Bench, slowness},
    conformance::place::machine_kernel,
};

/// Where the helper lies inside.
const ATTEMPT: &str = "/tmp/attempt";

/// The helper, compiled once for all tests.
static HELPER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let directory = TempDir::new().unwrap();
    let program = directory.path().join("attempt");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/security/attempt.rs");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let done = Command::new(compiler)
        .args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o"])
        .args([program.as_os_str(), source.as_ref()])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read(program).unwrap()
});

pub(crate) struct Arena {
    pub bench: Bench,
    pub sandbox: Sandbox,
    pub account: Account,
    pub kind: BackendKind,
    pub canaries: Canaries,
}

/// How a case went: `Err` says what was seen instead.
pub(crate) struct Outcome {
    pub id: &'static str,
    pub result: Result<(), String>,
}

impl Arena {
    pub(crate) async fn new(group: Group, account: Account) -> Self {
        let found = Self::on(BackendKind::Namespace, Path::new("/nonexistent"), group, account).await;
        found.unwrap_or_else(|error| panic!("{error}"))
    }

    /// On a backend; an error where this machine lacks its program.
    pub(crate) async fn on(kind: BackendKind, docker: &Path, group: Group, account: Account) -> Result<Self, Error> {
        let bench = Bench::on(|config| {
            config.backend = kind;
            config.docker_socket = docker.to_owned();
            config.machine_kernel = machine_kernel();
            let shown = config.data_dir.join("shown");
            std::fs::create_dir_all(&shown).unwrap();
            config.own_source = Some(shown);
        });
        let bench = bench.await?;
        let canaries = Canaries::place();
        let name = format!("{group:?}-{account:?}").to_lowercase();
        planted::in_layer(&bench.path("layer"), &canaries);
        let sandbox = make(&bench, account, &canaries, &name, |_| {}).await;
        Ok(Self { bench, sandbox, account, kind, canaries })
    }

    /// Ends the sandbox and takes away what the backend has on the machine.
    pub(crate) async fn close(self) {
        self.sandbox.destroy().await;
        drop(self.sandbox);
        self.bench.engine.close();
    }

    /// A further sandbox of the same account, with the helper inside.
    pub(crate) async fn another(&self, name: &str, change: impl FnOnce(&mut Limits)) -> Sandbox {
        make(&self.bench, self.account, &self.canaries, name, change).await
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.bench.path(name)
    }

    /// Runs all cases of a group that this account is in.
    pub(crate) async fn run(&mut self, group: Group) -> Vec<Outcome> {
        let account = self.account;
        let cases = || {
            group.cases().iter().filter(move |case| match case.who {
                Who::Both => true,
                Who::Agent => account == Account::Agent,
            })
        };
        let mut outcomes = self.run_calls(cases()).await;
        record(account, &outcomes);
        for case in cases() {
            let other = elsewhere::answer(self.kind, self.account, case.id);
            let result = match (case.how, other) {
                (How::Call(..), _) => continue,
                (How::Script(script, says), other) => {
                    let says = if let Some(Answer::Says(other)) = other { other } else { says };
                    let said = self.script(script).await;
                    if said == says { Ok(()) } else { Err(format!("said {said:?}, not {says:?}")) }
                }
                (How::Scene(scene), other) => seen(in_time(scene(self)).await, other),
            };
            outcomes.push(Outcome { id: case.id, result });
            record(account, &outcomes[outcomes.len() - 1..]);
            self.revive().await;
        }
        outcomes
    }

    /// A case that has ended the sandbox says nothing about those behind it.
    async fn revive(&mut self) {
        if tokio::time::timeout(patience(), self.sandbox.ping()).await.is_ok_and(|answer| answer.is_ok()) {
            return;
        }
        let again = make(&self.bench, self.account, &self.canaries, "again", |_| {}).await;
        std::mem::replace(&mut self.sandbox, again).destroy().await;
    }

    /// All single system calls in one go: the helper gives each a process of its own.
    async fn run_calls(&self, cases: impl Iterator<Item = &'static Case>) -> Vec<Outcome> {
        let expected = |id, error: i32| match elsewhere::answer(self.kind, self.account, id) {
            None | Some(Answer::Says(_) | Answer::Sees(_)) => format!("errno {error}"),
            Some(Answer::Errno(other)) => format!("errno {other}"),
            Some(Answer::Allowed) => "ok".to_owned(),
        };
        let calls: Vec<(&'static str, &str, String)> = cases
            .filter_map(|case| match case.how {
                How::Call(line, error) => Some((case.id, line, expected(case.id, error))),
                How::Script(..) | How::Scene(_) => None,
            })
            .collect();
        let lines: String = calls.iter().map(|(id, line, _)| format!("{id}\t{}\n", line.replace(' ', "\t"))).collect();
        self.sandbox.write("/tmp/lines", lines.as_bytes()).await.unwrap();
        let said = self.script(&format!("{ATTEMPT} /tmp/lines")).await;
        let answers: Vec<(&str, &str)> = said.lines().filter_map(|line| line.split_once(' ')).collect();
        calls
            .iter()
            .map(|(id, _, expected)| {
                let told = || format!("{UNKNOWN}: {}", said.lines().last().unwrap_or_default());
                let found = answers.iter().find(|(name, _)| name == id);
                let answer = found.map_or_else(told, |(_, answer)| (*answer).to_owned());
                let result = if answer == *expected { Ok(()) } else { Err(format!("{answer}, not {expected}")) };
                Outcome { id, result }
            })
            .collect()
    }

    /// What a script prints, its last line end taken off; for scripts that may fail.
    pub(crate) async fn script(&self, script: &str) -> String {
        said(&self.sandbox, script).await
    }

    /// What the helper says.
    pub(crate) async fn attempt(&self, arguments: &str) -> String {
        self.script(&format!("{ATTEMPT} {arguments}")).await
    }
}

async fn make(
    bench: &Bench,
    account: Account,
    canaries: &Canaries,
    name: &str,
    change: impl FnOnce(&mut Limits),
) -> Sandbox {
    let mut spec = bench.spec(name);
    spec.account = account;
    change(&mut spec.limits);
    let sandbox = bench.engine.create(spec).await.unwrap();
    sandbox.write_mode(ATTEMPT, &HELPER, 0o755).await.unwrap();
    planted::in_sandbox(&sandbox, canaries).await;
    sandbox
}

pub(crate) async fn said(sandbox: &Sandbox, script: &str) -> String {
    // A sandbox that has ended is a result as well: the case that expects an answer names what it saw.
    let spec = planted::in_command(ExecSpec::shell(script).timeout_ms(u64::try_from(patience().as_millis()).unwrap()));
    let Collected { stdout, stderr, ended, .. } = match sandbox.exec(&spec).await {
        Ok(collected) => collected,
        Err(error) => return format!("({error})"),
    };
    let said = String::from_utf8_lossy(&stdout).trim_end().to_owned();
    // A script that was killed has not said everything.
    match ended.status {
        ExitStatus::Code(code) if code < 100 => said,
        ExitStatus::Code(_) | ExitStatus::Signal(_) => {
            format!("{said} ({ended:?}, {})", String::from_utf8_lossy(&stderr))
        }
    }
}

/// Begins what is said of a call that was not made: nothing is known about it.
const UNKNOWN: &str = "unknown";
/// How long one case may take where everything takes its usual time.
const PATIENCE: Duration = Duration::from_secs(60);

fn patience() -> Duration {
    PATIENCE * slowness()
}

async fn in_time(scene: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let patience = patience();
    let late = |_| Err(format!("it was not done within {patience:?}"));
    tokio::time::timeout(patience, scene).await.unwrap_or_else(late)
}

/// What a scene saw, against what it is expected to see on this backend.
fn seen(result: Result<(), String>, other: Option<Answer>) -> Result<(), String> {
    match (result, other) {
        (Err(seen), Some(Answer::Sees(words))) if seen.starts_with(words) => Ok(()),
        (Err(seen), Some(Answer::Sees(words))) => Err(format!("{seen}, not {words}…")),
        (Ok(()), Some(Answer::Sees(words))) => Err(format!("it holds as it should, and no longer sees {words:?}")),
        (result, None | Some(Answer::Errno(_) | Answer::Allowed | Answer::Says(_))) => result,
    }
}

/// Fails with what is not as it should be.
pub(crate) fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Results of every case, when somebody asked for them (`HANGAR_SECURITY_RESULTS`, a file that is appended to).
pub(crate) fn record(account: Account, outcomes: &[Outcome]) {
    static FILE: Mutex<()> = Mutex::new(());
    let Some(path) = std::env::var_os("HANGAR_SECURITY_RESULTS") else { return };
    let _one_at_a_time = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = std::fs::read_to_string(&path).unwrap_or_default();
    for outcome in outcomes {
        let result = outcome.result.as_ref().map_or_else(|seen| format!("FAILED {seen:?}"), |()| "held".into());
        text.push_str(&format!("{}\t{account:?}\t{result}\n", outcome.id));
    }
    std::fs::write(path, text).unwrap();
}
