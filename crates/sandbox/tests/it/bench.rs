//! A workbench for tests: an engine and a clone of its own, and sandboxes over it.

use std::{path::PathBuf, process::Command};

use hangar_sandbox::{Collected, Engine, EngineConfig, ExecSpec, Limits, Sandbox, SandboxSpec};
use tempfile::TempDir;

/// An engine with a directory of its own. Everything goes when this is dropped.
pub(crate) struct Bench {
    pub engine: Engine,
    pub directory: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let clone = directory.path().join("clone");
        std::fs::create_dir_all(clone.join("src")).unwrap();
        std::fs::write(clone.join("README.md"), "hello\n").unwrap();
        std::fs::write(clone.join("src/lib.rs"), "pub fn one() -> u32 {\n    1\n}\n").unwrap();
        std::fs::write(clone.join(".gitignore"), "/target\nnode_modules\n").unwrap();
        let engine = Engine::new(EngineConfig::new(directory.path().join("state"))).await.unwrap();
        Self { engine, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn spec(&self, name: &str) -> SandboxSpec {
        SandboxSpec::new(name, self.path("clone"), self.path("sessions").join(name))
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
            let done = Command::new("git").args(arguments).current_dir(self.path("clone")).status().unwrap();
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
