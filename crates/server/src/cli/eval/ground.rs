//! Where tasks lie: a repository of the server for each, with an image, so that sessions begin with its files; and one for all checks,
//! a branch each. Everything goes there by plain `git push`.
//!
//! Checks have a repository of their own, as a session can fetch all branches of its repository.

use std::{fs, io, path::Path, time::Duration};

use hangar_client::Client;
use hangar_protocol::{
    RepoPath,
    api::{BuildStatus, NewRepo, RepoInfo},
};
use tempfile::TempDir;
use tokio::process::Command;

use super::{
    package::{self, run},
    task::Task,
};
use crate::cli::ended::Failure;

/// Whose the repositories of tasks are; each is called like its task.
const OWNER: &str = "eval";
/// The repository whose branches are checks, while they run.
const CHECKS: &str = "eval-checks/all";
/// What tools of the three registries leave behind: no part of anybody's work.
const IGNORED: &str = "/target\nnode_modules/\n__pycache__/\n*.pyc\n";
/// The recipe of an image: nothing but the files. What it left open hangar would look up in the package, and install.
const RECIPE: (&str, &str) =
    (".hangar/environment.toml", "setup = [\"true\"]\nwarm = [\"true\"]\nschedule = \"on-demand\"\n");
/// Longest that an image may take, and between two looks at it.
const IMAGE_MAX: Duration = Duration::from_secs(300);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// When and by whom its commits were made: always the same, so that the same files are the same commit.
const MADE: [(&str, &str); 6] = [
    ("GIT_AUTHOR_NAME", "hangar eval"),
    ("GIT_AUTHOR_EMAIL", "eval@hangar.invalid"),
    ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z"),
    ("GIT_COMMITTER_NAME", "hangar eval"),
    ("GIT_COMMITTER_EMAIL", "eval@hangar.invalid"),
    ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z"),
];

/// The repositories of a server.
pub(super) struct Ground {
    client: Client,
    checks: RepoInfo,
    /// What git is told on the way there, by its environment: neither the token nor anything else is seen in a list of processes.
    settings: Vec<(String, String)>,
}

/// A task that is there.
pub(super) struct Place {
    repo: RepoInfo,
    /// Its files.
    pub(super) tree: Tree,
}

impl Place {
    /// Its repository.
    pub(super) fn repo(&self) -> RepoPath {
        self.repo.repo.clone()
    }
}

/// A check that is there.
pub(super) struct Branch {
    /// Its repository.
    pub(super) repo: RepoPath,
    /// Its name.
    pub(super) name: String,
}

impl Ground {
    /// Finds the repository of checks, or makes it.
    pub(super) async fn prepare(client: &Client, token: &str) -> Result<Self, Failure> {
        let mut settings = vec![
            ("http.extraHeader".to_owned(), format!("Authorization: Bearer {token}")),
            ("credential.helper".to_owned(), String::new()),
        ];
        if client.is_local() {
            settings.push(("http.proxy".to_owned(), String::new()));
        }
        let checks = repository(client, CHECKS.parse()?).await?;
        Ok(Self { client: client.clone(), checks, settings })
    }

    /// Brings a task in: its package with its own changes is the default branch of a repository, of which there is an image.
    /// Says why not where that cannot be done.
    pub(super) async fn bring_in(&self, task: &Task) -> Result<Place, String> {
        let tree = Tree::of(task).await?;
        let named: RepoPath = format!("{OWNER}/{}", task.name).parse().map_err(words)?;
        let repo = repository(&self.client, named).await.map_err(words)?;
        let commit =
            self.commit(&repo, &tree, &format!("{} {}", task.about.package.name, task.about.package.version)).await?;
        self.push(&repo, tree.path(), &format!("{commit}:refs/heads/{}", repo.default_branch)).await?;
        let built = tokio::time::timeout(IMAGE_MAX, self.build(&repo, &commit)).await;
        built.map_err(|_| format!("its image took longer than {} s", IMAGE_MAX.as_secs()))??;
        Ok(Place { repo, tree })
    }

    /// Brings a check in, on a branch of this name.
    pub(super) async fn bring_check(&self, tree: &Tree, name: &str) -> Result<Branch, String> {
        let name = format!("check/{name}");
        let commit = self.commit(&self.checks, tree, "A check").await?;
        self.push(&self.checks, tree.path(), &format!("{commit}:refs/heads/{name}")).await?;
        Ok(Branch { repo: self.checks.repo.clone(), name })
    }

    /// Takes a branch of a check away again.
    pub(super) async fn remove_check(&self, branch: &Branch) -> Result<(), String> {
        self.remove(&self.checks, &branch.name).await
    }

    /// Takes a branch away that a session pushed: the next session on this task could fetch it.
    pub(super) async fn remove_work(&self, place: &Place, branch: &str) -> Result<(), String> {
        self.remove(&place.repo, branch).await
    }

    async fn remove(&self, repo: &RepoInfo, branch: &str) -> Result<(), String> {
        let scratch = tempfile::Builder::new().prefix("hangar-eval-").tempdir().map_err(words)?;
        self.git(scratch.path(), &["init", "--quiet"]).await?;
        self.push(repo, scratch.path(), &format!(":refs/heads/{branch}")).await
    }

    async fn push(&self, repo: &RepoInfo, from: &Path, what: &str) -> Result<(), String> {
        self.git(from, &["push", "--quiet", &repo.clone_url, what]).await.map(drop)
    }

    /// A commit of these files on top of the repository's default branch; its newest one where that has these files already.
    async fn commit(&self, repo: &RepoInfo, tree: &Tree, message: &str) -> Result<String, String> {
        let git = async |arguments: &[&str]| -> Result<String, String> {
            Ok(self.git(tree.path(), arguments).await?.trim().to_owned())
        };
        git(&["init", "--quiet"]).await?;
        // Files are taken as they are, whatever the package's own attributes say.
        let info = tree.path().join(".git/info");
        fs::create_dir_all(&info).map_err(words)?;
        fs::write(info.join("attributes"), "* -text -eol -filter -ident\n").map_err(words)?;
        git(&["add", "--all", "--force", "."]).await?;
        let made = git(&["write-tree"]).await?;
        git(&["fetch", "--quiet", "--depth", "1", &repo.clone_url, &repo.default_branch]).await?;
        if git(&["rev-parse", "FETCH_HEAD^{tree}"]).await? == made {
            return git(&["rev-parse", "FETCH_HEAD"]).await;
        }
        git(&["commit-tree", &made, "-p", "FETCH_HEAD", "-m", message]).await
    }

    /// Waits until the newest image of a repository is of this commit: without it a session would read other files first.
    async fn build(&self, repo: &RepoInfo, commit: &str) -> Result<(), String> {
        loop {
            let images = self.client.images().await.map_err(words)?;
            if images.iter().any(|image| image.newest && image.repo == repo.repo && image.commit == commit) {
                return Ok(());
            }
            let mut build = self.client.build_image(repo.repo.clone()).await.map_err(words)?;
            while matches!(build.status, BuildStatus::Queued | BuildStatus::Running) {
                tokio::time::sleep(LOOK_AGAIN).await;
                build = self.client.build_log(build.build, 0).await.map_err(words)?.info;
            }
            if build.status == BuildStatus::Failed {
                return Err(format!("its image cannot be built: {}", build.failure.unwrap_or_default()));
            }
        }
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

/// The repository, made where there is none.
async fn repository(client: &Client, repo: RepoPath) -> Result<RepoInfo, hangar_client::Error> {
    match client.repos().await?.into_iter().find(|known| known.repo == repo) {
        Some(known) => Ok(known),
        None => client.add_repo(&NewRepo { repo, source: None }).await,
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The files of a task or a check, in a folder that goes with it.
pub(super) struct Tree(TempDir);

impl Tree {
    /// The package as the agent is given it.
    pub(super) async fn of(task: &Task) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("hangar-eval-").tempdir().map_err(words)?;
        package::unpack(&task.about.package, &task.about.without, folder.path()).await?;
        let tree = Self(folder);
        tree.put_all(task.below("files")).map_err(words)?;
        tree.ignore().and_then(|()| tree.put(RECIPE.0, RECIPE.1.as_bytes())).map_err(words)?;
        if let Some(patch) = task.file("before.patch") {
            let scratch = tempfile::NamedTempFile::new().map_err(words)?;
            fs::write(scratch.path(), patch).map_err(words)?;
            let mut git = Command::new("git");
            git.args(["apply", "--whitespace=nowarn"]).arg(scratch.path()).current_dir(tree.path());
            // Not a part of whatever repository the folder may lie in.
            run(git.env("GIT_CEILING_DIRECTORIES", std::env::temp_dir())).await?;
        }
        Ok(tree)
    }

    /// Adds what is no part of anybody's work to what git ignores.
    fn ignore(&self) -> io::Result<()> {
        let own = fs::read_to_string(self.path().join(".gitignore")).unwrap_or_default();
        let end = if own.is_empty() || own.ends_with('\n') { "" } else { "\n" };
        self.put(".gitignore", format!("{own}{end}{IGNORED}").as_bytes())
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
