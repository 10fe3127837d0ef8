//! Something to work on.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use crate::program::Ran;

const README: &str = "# tiny\n\nIt greets.\n";
const GREET: &str = "#!/bin/sh\necho \"Hello, ${1:-world}.\"\n";
const TEST: &str = "#!/bin/sh\nset -e\ntest \"$(./greet.sh)\" = \"Hello, world.\"\ntest \"$(./greet.sh you)\" = \"Hello, you.\"\necho \"2 tests passed\"\n";
const AGENTS: &str = "Run ./test.sh before you commit.\n";

/// Writes a small project with a program and a test of its own into `parent/tiny`.
///
/// # Panics
/// When the disk does not take it.
#[must_use]
pub fn tiny_repository(parent: &Path) -> PathBuf {
    let directory = parent.join("tiny");
    fs::create_dir(&directory).expect("a directory for the repository");
    for (name, text, mode) in [
        ("README.md", README, 0o644),
        ("greet.sh", GREET, 0o755),
        ("test.sh", TEST, 0o755),
        ("AGENTS.md", AGENTS, 0o644),
    ] {
        let path = directory.join(name);
        fs::write(&path, text).expect("a file of the repository");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
    }
    directory
}

/// The messages of a branch's commits at the forge, newest first, cloned by stock git.
///
/// # Panics
/// When it cannot be cloned.
pub async fn messages_of(clone_url: &str, token: &str, branch: &str, scratch: &Path) -> Vec<String> {
    let log = log_of(clone_url, token, branch, scratch, "%B%x00").await;
    log.split('\0').map(str::trim).filter(|message| !message.is_empty()).map(str::to_owned).collect()
}

/// The commits of a branch as `name <address>: subject`, newest first, read by stock git from a clone URL with a token.
pub async fn commits_of(clone_url: &str, token: &str, branch: &str, scratch: &Path) -> Vec<String> {
    let log = log_of(clone_url, token, branch, scratch, "%an <%ae>: %s").await;
    log.lines().map(str::to_owned).collect()
}

async fn log_of(clone_url: &str, token: &str, branch: &str, scratch: &Path, format: &str) -> String {
    let directory = tempfile::tempdir_in(scratch).expect("a directory for a clone");
    let url = clone_url.replacen("://", &format!("://x:{token}@"), 1);
    let mut git = Command::new("git");
    git.args(["clone", "--quiet", "--bare", "--branch", branch, &url]).arg(directory.path());
    let _ = Ran::of(git.env("GIT_TERMINAL_PROMPT", "0").env("HOME", scratch)).await.well();
    let mut git = Command::new("git");
    git.arg("-C").arg(directory.path()).args(["log", "--topo-order", &format!("--format={format}"), branch]);
    Ran::of(git.env("HOME", scratch)).await.well()
}
