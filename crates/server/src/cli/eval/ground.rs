//! Where tasks lie: two repositories of the server, and a branch of them for each task and each check. Everything goes there by plain `git push`.
//!
//! Checks have a repository of their own, as a session can fetch all branches of its repository.

use std::{fs, io, path::Path};

use hangar_client::Client;
use hangar_protocol::{
    RepoPath, SessionId,
    api::{NewRepo, RepoInfo},
};
use tempfile::TempDir;
use tokio::process::Command;

use super::{
    package::{self, run},
    task::Task,
};
use crate::cli::ended::Failure;

/// The repository whose branches are tasks.
const TASKS: &str = "eval/tasks";
/// The repository whose branches are checks, while they run.
const CHECKS: &str = "eval/checks";
/// When and by whom its commits were made: always the same, so that the same files are the same commit.
const MADE: [(&str, &str); 6] = [
    ("GIT_AUTHOR_NAME", "hangar eval"),
    ("GIT_AUTHOR_EMAIL", "eval@hangar.invalid"),
    ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z"),
    ("GIT_COMMITTER_NAME", "hangar eval"),
    ("GIT_COMMITTER_EMAIL", "eval@hangar.invalid"),
    ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z"),
];
/// Letters of a commit that tell one state of a task from another.
const SHORT: usize = 12;

/// The two repositories of a server.
pub(super) struct Ground {
    tasks: RepoInfo,
    checks: RepoInfo,
    /// What git is told on the way there, by its environment: neither the token nor anything else is seen in a list of processes.
    settings: Vec<(String, String)>,
}

/// A branch of one of them.
pub(super) struct Branch {
    /// Its repository.
    pub(super) repo: RepoPath,
    /// Its name.
    pub(super) name: String,
}

impl Ground {
    /// Finds both repositories, or makes them.
    pub(super) async fn prepare(client: &Client, token: &str) -> Result<Self, Failure> {
        let mut settings = vec![
            ("http.extraHeader".to_owned(), format!("Authorization: Bearer {token}")),
            ("credential.helper".to_owned(), String::new()),
        ];
        if client.is_local() {
            settings.push(("http.proxy".to_owned(), String::new()));
        }
        Ok(Self { tasks: repository(client, TASKS).await?, checks: repository(client, CHECKS).await?, settings })
    }

    /// Brings a task in: its package with its own changes, on a branch that has its name.
    pub(super) async fn bring_in(&self, task: &Task) -> Result<(Branch, Tree), String> {
        let tree = Tree::of(task).await?;
        let branch = self.push(&self.tasks, &tree, &format!("task/{}", task.name), &task.name).await?;
        Ok((branch, tree))
    }

    /// Brings a check in, under a name that no other has.
    pub(super) async fn bring_check(&self, tree: &Tree, name: &str) -> Result<Branch, String> {
        self.push(&self.checks, tree, &format!("check/{name}"), "A check").await
    }

    /// Takes a branch of a check away again.
    pub(super) async fn remove_check(&self, branch: &Branch) -> Result<(), String> {
        self.remove(&self.checks, &branch.name).await
    }

    /// Takes the branch of a session away that worked on a task, if it pushed one: the next one could fetch it.
    pub(super) async fn remove_work(&self, session: &SessionId, branch: &str) -> Result<(), String> {
        self.remove(&self.tasks, branch).await.map_err(|why| format!("the branch of session {session}: {why}"))
    }

    async fn remove(&self, repo: &RepoInfo, branch: &str) -> Result<(), String> {
        let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
        self.git(scratch.path(), &["init", "--quiet"]).await?;
        let ask = ["push", "--quiet", &repo.clone_url, &format!(":refs/heads/{branch}")];
        self.git(scratch.path(), &ask).await.map(drop)
    }

    /// Commits a tree on top of the repository's first commit, and pushes it.
    async fn push(&self, repo: &RepoInfo, tree: &Tree, name: &str, message: &str) -> Result<Branch, String> {
        let git = async |arguments: &[&str]| self.git(tree.path(), arguments).await;
        git(&["init", "--quiet"]).await?;
        // Files are taken as they are, whatever the package's own attributes say.
        fs::create_dir_all(tree.path().join(".git/info"))
            .and_then(|()| fs::write(tree.path().join(".git/info/attributes"), "* -text -eol -filter -ident\n"))
            .map_err(|error| error.to_string())?;
        git(&["add", "--all", "--force", "."]).await?;
        let made = git(&["write-tree"]).await?;
        git(&["fetch", "--quiet", "--depth", "1", &repo.clone_url, &repo.default_branch]).await?;
        let commit = git(&["commit-tree", made.trim(), "-p", "FETCH_HEAD", "-m", message]).await?;
        let commit = commit.trim();
        let name = format!("{name}-{}", &commit[..SHORT.min(commit.len())]);
        git(&["push", "--quiet", &repo.clone_url, &format!("{commit}:refs/heads/{name}")]).await?;
        Ok(Branch { repo: repo.repo.clone(), name })
    }

    async fn git(&self, directory: &Path, arguments: &[&str]) -> Result<String, String> {
        let mut git = Command::new("git");
        git.arg("-C").arg(directory).args(["-c", "core.autocrlf=false", "-c", "core.hooksPath=/dev/null"]);
        git.args(arguments).envs(MADE).env("GIT_TERMINAL_PROMPT", "0");
        git.env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (number, (key, value)) in self.settings.iter().enumerate() {
            git.env(format!("GIT_CONFIG_KEY_{number}"), key).env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        run(&mut git).await
    }
}

async fn repository(client: &Client, name: &str) -> Result<RepoInfo, Failure> {
    let repo: RepoPath = name.parse()?;
    match client.repos().await?.into_iter().find(|known| known.repo == repo) {
        Some(known) => Ok(known),
        None => Ok(client.add_repo(&NewRepo { repo, source: None }).await?),
    }
}

/// The files of a task or a check, in a folder that goes with it.
pub(super) struct Tree(TempDir);

impl Tree {
    /// The package as the agent is given it.
    pub(super) async fn of(task: &Task) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("hangar-eval-").tempdir().map_err(|error| error.to_string())?;
        package::unpack(&task.about.package, &task.about.without, folder.path()).await?;
        let tree = Self(folder);
        tree.put_all(task.below("files")).map_err(|error| error.to_string())?;
        if let Some(patch) = task.file("before.patch") {
            let scratch = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
            fs::write(scratch.path(), patch).map_err(|error| error.to_string())?;
            let mut git = Command::new("git");
            git.args(["apply", "--whitespace=nowarn"]).arg(scratch.path()).current_dir(tree.path());
            // Not a part of whatever repository the folder may lie in.
            run(git.env("GIT_CEILING_DIRECTORIES", std::env::temp_dir())).await?;
        }
        Ok(tree)
    }

    /// Where its files are.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Adds files, or puts others in their place.
    pub(super) fn put_all<'a>(&self, files: impl Iterator<Item = (&'a str, &'a [u8])>) -> io::Result<()> {
        for (path, content) in files {
            self.put(path, content)?;
        }
        Ok(())
    }

    /// Adds a file, or puts another in its place.
    pub(super) fn put(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let place = self.path().join(path);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(place, content)
    }
}
