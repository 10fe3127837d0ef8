//! A session's workspace: a clone that knows nothing of this host.

use std::path::{Path, PathBuf};

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
        let run = |args: &[&str]| git.call(dir, args).transfer();
        run(&["init", "--quiet", "--template=", "--initial-branch", repo.default_branch.as_str(), "."]).must().await?;
        let source = self.dir(&repo.path);
        let source =
            source.to_str().ok_or_else(|| ForgeError::Broken("the data directory's path is not UTF-8".into()))?;
        // No FETCH_HEAD and no reflog: both would name the path of the repository on this host. The commit is asked for by its
        // id too, as it may be on no branch any more (the head of a closed pull request).
        let wanted = format!("+{commit}:refs/hangar/workspace");
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
            &wanted,
        ])
        .must()
        .await?;
        run(&["config", "remote.origin.url", &wish.origin_url]).must().await?;
        run(&["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"]).must().await?;
        let default = format!("refs/remotes/origin/{}", repo.default_branch);
        run(&["symbolic-ref", "refs/remotes/origin/HEAD", &default]).must().await?;
        match &wish.head {
            WorkspaceHead::Detached => run(&["checkout", "--quiet", "--detach", commit.as_str(), "--"]).must().await?,
            WorkspaceHead::Branch(name) => {
                run(&["checkout", "--quiet", "--no-track", "-B", name.as_str(), commit.as_str(), "--"]).must().await?
            }
        };
        run(&["update-ref", "-d", "refs/hangar/workspace"]).must().await?;
        run(&["pack-refs", "--all"]).must().await?;
        Ok(())
    }
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
