//! Repositories of this machine, served by git itself: for tests, and for the programs that tests run.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use async_trait::async_trait;
use hangar_image::{Branch, Head, Source, SourceError};
use hangar_protocol::RepoPath;

/// A directory with a work tree for each repository.
pub(crate) struct Repos {
    pub(crate) folder: PathBuf,
}

impl Repos {
    pub(crate) fn path(&self, repo: &RepoPath) -> PathBuf {
        self.folder.join(repo.to_string())
    }
}

/// Runs git; what it says when it fails is the error.
fn git(directory: &Path, arguments: &[&str]) -> Result<String, SourceError> {
    let done = Command::new("git").args(arguments).current_dir(directory).output();
    let done = done.map_err(|error| SourceError::Failed(error.to_string()))?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(SourceError::Failed(format!("git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr))))
    }
}

fn text(path: &Path) -> Result<&str, SourceError> {
    path.to_str().ok_or_else(|| SourceError::Failed(format!("{} is no text", path.display())))
}

#[async_trait]
impl Source for Repos {
    async fn head(&self, repo: &RepoPath, branch: &Branch) -> Result<Head, SourceError> {
        let path = self.path(repo);
        if !path.exists() {
            return Err(SourceError::Gone(format!("there is no repository {repo}")));
        }
        let branch = match branch {
            Branch::Default => "main".to_owned(),
            Branch::Named(name) => name.clone(),
        };
        let commit = git(&path, &["rev-parse", &branch])?.trim().to_owned();
        Ok(Head { branch, commit })
    }

    async fn clone_to(&self, repo: &RepoPath, commit: &str, dir: &Path) -> Result<(), SourceError> {
        let source = self.path(repo);
        git(&source, &["clone", "-q", "--no-hardlinks", "--no-checkout", text(&source)?, text(dir)?])?;
        git(dir, &["checkout", "-q", "--detach", commit])?;
        git(dir, &["remote", "set-url", "origin", "http://hangar.internal/x.git"])?;
        Ok(())
    }

    async fn delta(&self, repo: &RepoPath, have: &str, want: &str, file: &Path) -> Result<(), SourceError> {
        let failed = |error: std::io::Error| SourceError::Failed(error.to_string());
        if git(&self.path(repo), &["cat-file", "-e", have]).is_err() {
            return Err(SourceError::Gone(format!("{have} is not known any more")));
        }
        let mut packing = Command::new("git")
            .args(["pack-objects", "--quiet", "--thin", "--revs", "--stdout"])
            .current_dir(self.path(repo))
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(file).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        if let Some(mut input) = packing.stdin.take() {
            std::io::Write::write_all(&mut input, format!("{want}\n^{have}\n").as_bytes()).map_err(failed)?;
        }
        let ended = packing.wait().map_err(failed)?;
        if ended.success() { Ok(()) } else { Err(SourceError::Failed(format!("git pack-objects: {ended}"))) }
    }

    async fn may_lie_beside(&self, _: &RepoPath, other: &RepoPath) -> Result<bool, SourceError> {
        Ok(other.owner() != "private")
    }
}
