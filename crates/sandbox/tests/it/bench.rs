//! A workbench for tests: an engine and a clone of its own, and sandboxes over it.

use std::{path::PathBuf, process::Command};

use hangar_sandbox::{Collected, Engine, EngineConfig, ExecSpec, Limits, Root, Sandbox, SandboxSpec, adopt};
use tempfile::TempDir;

/// An engine with a directory of its own. Everything goes when this is dropped.
pub(crate) struct Bench {
    pub engine: Engine,
    pub directory: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::on(|_| {}).await.unwrap()
    }

    /// One with other settings; an error where this machine lacks what they ask for.
    pub(crate) async fn on(change: impl FnOnce(&mut EngineConfig)) -> Result<Self, hangar_sandbox::Error> {
        let directory = TempDir::new().unwrap();
        let clone = directory.path().join("layer/workspace");
        std::fs::create_dir_all(clone.join("src")).unwrap();
        std::fs::write(clone.join("README.md"), "hello\n").unwrap();
        std::fs::write(clone.join("src/lib.rs"), "pub fn one() -> u32 {\n    1\n}\n").unwrap();
        std::fs::write(clone.join(".gitignore"), "/target\nnode_modules\n").unwrap();
        let mut config = EngineConfig::new(directory.path());
        // Slots made ahead have tests of their own; here every control group is that of a sandbox.
        config.slots = 0;
        change(&mut config);
        let engine = Engine::new(config).await?;
        Ok(Self { engine, directory })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn spec(&self, name: &str) -> SandboxSpec {
        adopt(&self.path("layer/workspace")).unwrap();
        SandboxSpec::new(name, Root::host(vec![self.path("layer")]), self.path("sessions").join(name))
    }

    pub(crate) async fn sandbox(&self, name: &str) -> Sandbox {
        self.engine.create(self.spec(name)).await.unwrap()
    }

    pub(crate) async fn limited(&self, name: &str, change: impl FnOnce(&mut Limits)) -> Sandbox {
        let mut spec = self.spec(name);
        change(&mut spec.limits);
        self.engine.create(spec).await.unwrap()
    }

    /// Makes the clone a git repository with one commit.
    pub(crate) fn with_git(&self) {
        for arguments in [
            vec!["init", "-q", "-b", "main"],
            vec!["add", "."],
            vec!["-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-q", "-m", "first"],
        ] {
            let done = Command::new("git").args(arguments).current_dir(self.path("layer/workspace")).status().unwrap();
            assert!(done.success());
        }
    }
}

/// Runs a script and returns what it said, whatever its exit code.
pub(crate) async fn run(sandbox: &Sandbox, script: &str) -> Collected {
    sandbox.exec(&ExecSpec::shell(script)).await.unwrap()
}

/// Runs a script that must succeed, and returns its standard output.
pub(crate) async fn output(sandbox: &Sandbox, script: &str) -> String {
    let done = run(sandbox, script).await;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.ended.status.success(),
        "{script}\n{text}\n{}\n{:?}",
        String::from_utf8_lossy(&done.stderr),
        done.ended
    );
    text
}

tokio::task_local! {
    /// How many times as long as usual "soon" is for what runs within.
    pub(crate) static SLOWNESS: u32;
}

/// How many times as long as usual something may take: on a machine that says so (`HANGAR_TEST_SLOWNESS`, which `scripts/cgroup2.sh` sets where processors are
/// emulated), and by what runs it.
pub(crate) fn slowness() -> u32 {
    let machine = std::env::var("HANGAR_TEST_SLOWNESS").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    SLOWNESS.try_with(|times| *times).unwrap_or(1) * machine
}

/// Waits for something that must happen soon.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let patience = std::time::Duration::from_secs(60) * slowness();
    tokio::time::timeout(patience, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {patience:?}"))
}

/// Waits until a condition outside of any channel holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    soon(what, async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A process of the host's view.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub pid: i32,
    pub parent: i32,
    pub name: String,
    pub state: char,
}

/// All processes of the machine.
pub(crate) fn processes() -> Vec<Seen> {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (before, after) = stat.rsplit_once(')')?;
            let name = before.split_once('(')?.1.to_owned();
            let mut fields = after.split_whitespace();
            let state = fields.next()?.chars().next()?;
            Some(Seen { pid, parent: fields.next()?.parse().ok()?, name, state })
        })
        .collect()
}

/// The guest of the sandbox with this name, found by what its own root says.
pub(crate) fn guest(name: &str) -> Option<Seen> {
    processes().into_iter().filter(|seen| seen.name == "hangar-guest").find(|seen| {
        let hostname = std::fs::read_to_string(format!("/proc/{}/root/etc/hostname", seen.pid));
        hostname.is_ok_and(|hostname| hostname.trim() == name)
    })
}

/// This process and all below it.
pub(crate) fn tree(root: i32) -> Vec<Seen> {
    let all = processes();
    let mut found: Vec<Seen> = all.iter().filter(|seen| seen.pid == root).cloned().collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|seen| seen.pid) {
        found.extend(all.iter().filter(|seen| seen.parent == parent).cloned());
        next += 1;
    }
    found
}

/// Another engine over the same directory, as soon as the first has let go of it.
pub(crate) async fn engine_again(directory: &std::path::Path) -> Engine {
    engine_with_slots(directory, hangar_sandbox::SLOTS_DEFAULT).await
}

/// The same with so many slots made ahead.
pub(crate) async fn engine_with_slots(directory: &std::path::Path, slots: usize) -> Engine {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        match Engine::new(EngineConfig { slots, ..EngineConfig::new(directory) }).await {
            Err(hangar_sandbox::Error::StateDirInUse(_)) if tokio::time::Instant::now() < deadline => {
                tokio::task::yield_now().await;
            }
            other => return other.unwrap(),
        }
    }
}
