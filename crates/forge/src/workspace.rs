//! A session's workspace: a clone that knows nothing of this host.

use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt as _;

use crate::error::{ForgeError, Result};
use crate::local::LocalForge;
use crate::names::{BranchName, CommitId, RepoPath};

/// A clone to be made.
#[derive(Debug, Clone)]
pub struct WorkspaceClone {
    /// What its work tree shows.
    pub commit: CommitId,
    /// What its `HEAD` is.
    pub head: WorkspaceHead,
    /// Where; made when missing, refused when it holds anything.
    pub dir: PathBuf,
    /// The address written as `origin`: what git inside the sandbox fetches from and pushes to.
    pub origin_url: String,
}

/// What `HEAD` of a workspace is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceHead {
    /// The commit itself.
    Detached,
    /// A new local branch at the commit.
    Branch(BranchName),
}

impl LocalForge {
    /// Clones a repository into a directory, with the work tree checked out, all branches as `origin/*` and all tags. The clone has one
    /// pack, no hooks, no alternates and no path of this host anywhere under `.git`. On an error the directory may hold a
    /// torn clone; the caller owns and removes it.
    pub async fn clone_to(&self, path: &RepoPath, wish: WorkspaceClone) -> Result<()> {
        let repo = self.repo(path).await?;
        let commit = self.resolve(&repo.path, wish.commit.as_str()).await?;
        prepare(&wish.dir).await?;
        let (git, dir) = (&self.inner.git, wish.dir.as_path());
        let run = |args: &[&str]| git.call(dir, args).slow();
        run(&["init", "--quiet", "--template=", "--initial-branch", repo.default_branch.as_str(), "."]).must().await?;
        let source = self.dir(&repo.path);
        let source =
            source.to_str().ok_or_else(|| ForgeError::Broken("the data directory's path is not UTF-8".into()))?;
        // No FETCH_HEAD and no reflog: both would name the path of the repository on this host. The commit is asked for by its
        // id too, as it may be on no branch any more (the head of a closed pull request).
        let upload = "git -c uploadpack.allowAnySHA1InWant=true upload-pack";
        run(&[
            "-c",
            "core.logAllRefUpdates=false",
            "fetch",
            "--quiet",
            "--no-write-fetch-head",
            "--no-tags",
            "--no-auto-maintenance",
            "--upload-pack",
            upload,
            "--",
            source,
            "+refs/heads/*:refs/remotes/origin/*",
            "+refs/tags/*:refs/tags/*",
            commit.as_str(),
        ])
        .must()
        .await?;
        name_origin(dir, &wish.origin_url, &repo.default_branch).await?;
        let checkout: &[&str] = match &wish.head {
            WorkspaceHead::Detached => &["checkout", "--quiet", "--detach", commit.as_str(), "--"],
            WorkspaceHead::Branch(name) => {
                &["checkout", "--quiet", "--no-track", "-B", name.as_str(), commit.as_str(), "--"]
            }
        };
        run(checkout).must().await?;
        run(&["pack-refs", "--all"]).must().await?;
        Ok(())
    }
}

/// Writes what `git remote add` and `git remote set-head` would: two small files instead of three processes, since a session
/// waits for this.
async fn name_origin(dir: &Path, url: &str, default: &BranchName) -> Result<()> {
    if url.chars().any(char::is_control) {
        return Err(ForgeError::Broken("an address with control characters cannot be origin".into()));
    }
    let url = url.replace('\\', "\\\\").replace('"', "\\\"");
    let section = format!("[remote \"origin\"]\n\turl = \"{url}\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n");
    let mut config = tokio::fs::OpenOptions::new().append(true).open(dir.join(".git/config")).await?;
    config.write_all(section.as_bytes()).await?;
    config.flush().await?;
    let refs = dir.join(".git/refs/remotes/origin");
    tokio::fs::create_dir_all(&refs).await?;
    tokio::fs::write(refs.join("HEAD"), format!("ref: refs/remotes/origin/{default}\n")).await?;
    Ok(())
}

async fn prepare(dir: &Path) -> Result<()> {
    tokio::fs::create_dir_all(dir).await?;
    let mut inside = tokio::fs::read_dir(dir).await?;
    match inside.next_entry().await? {
        None => Ok(()),
        Some(_) => {
            Err(ForgeError::Broken(format!("{} is not empty; a workspace needs an empty directory", dir.display())))
        }
    }
}
