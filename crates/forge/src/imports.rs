//! Bringing code in: an existing repository, one elsewhere, or a plain directory.

use std::path::{Path, PathBuf};

use crate::error::{ForgeError, Result};
use crate::git::Git;
use crate::local::LocalForge;
use crate::names::BranchName;
use crate::people::Signature;
use crate::repos::{Half, NewRepo, Repository, commit_tree};

/// Where an import takes its commits from.
#[derive(Debug, Clone)]
pub enum ImportSource {
    /// An existing git repository on this machine, bare or not. All branches and tags come along.
    Repository(PathBuf),
    /// A git repository elsewhere, by `https://` or `http://`.
    Url(String),
    /// A plain directory. What its own `.gitignore` does not exclude becomes the first commit of `main`.
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Author and committer of the commit.
        author: Signature,
        /// Its message.
        message: String,
    },
}

impl ImportSource {
    /// Tells by looking which of the three a text means; `author` and `message` are for a plain directory.
    pub fn detect(path_or_url: &str, author: Signature, message: String) -> Self {
        let dir = PathBuf::from(path_or_url);
        if path_or_url.contains("://") {
            Self::Url(path_or_url.to_owned())
        } else if dir.join(".git").exists() || (dir.join("HEAD").is_file() && dir.join("objects").is_dir()) {
            Self::Repository(dir)
        } else {
            Self::Directory { dir, author, message }
        }
    }
}

impl LocalForge {
    /// Makes a repository filled from elsewhere. Nothing is left behind when it fails.
    pub async fn import(&self, new: NewRepo, source: ImportSource) -> Result<Repository> {
        if self.find(&new.path).await?.is_some() {
            return Err(ForgeError::RepositoryExists(new.path));
        }
        let half = Half::begin(self).await?;
        let default_branch = match &source {
            ImportSource::Repository(dir) => {
                let dir = dir
                    .canonicalize()
                    .map_err(|error| import_failed(&dir.display().to_string(), &error.to_string()))?;
                fetch_all(&self.inner.git, &half.dir, dir.to_str().unwrap_or_default()).await?
            }
            ImportSource::Url(url) => {
                if !(url.starts_with("https://") || url.starts_with("http://")) {
                    return Err(import_failed(url, "only https:// and http:// addresses can be imported"));
                }
                fetch_all(&self.inner.git, &half.dir, url).await?
            }
            ImportSource::Directory { dir, author, message } => {
                first_commit(&self.inner.git, &half.dir, dir, author, message).await?;
                BranchName::main()
            }
        };
        self.inner.git.call(&half.dir, ["symbolic-ref", "HEAD", &default_branch.full_ref()]).must().await?;
        self.settle(new, half, default_branch).await
    }
}

fn import_failed(path: &str, why: &str) -> ForgeError {
    ForgeError::Import { path: path.to_owned(), why: why.trim().to_owned() }
}

/// Fetches all branches and tags and says which branch the source calls its own.
async fn fetch_all(git: &Git, into: &Path, source: &str) -> Result<BranchName> {
    let list = git.call(into, ["ls-remote", "--symref", "--", source, "HEAD"]).slow().run().await?;
    if list.code != 0 {
        return Err(import_failed(source, &list.stderr));
    }
    let refs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
    let args = ["fetch", "--quiet", "--no-write-fetch-head", "--no-tags", "--no-auto-maintenance", "--", source];
    let fetch =
        git.call(into, args.iter().chain(&refs)).env("GIT_ALLOW_PROTOCOL", "file:http:https").slow().run().await?;
    if fetch.code != 0 {
        return Err(import_failed(source, &fetch.stderr));
    }
    let named = String::from_utf8_lossy(&list.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("ref: refs/heads/")?.strip_suffix("\tHEAD").map(str::to_owned));
    let branches = git.call(into, ["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"]).line().await?;
    let has = |name: &&str| branches.lines().any(|line| line == *name);
    let chosen = named.as_deref().filter(has).or(["main", "master"].into_iter().find(has)).or(branches.lines().next());
    match chosen {
        Some(name) => Ok(name.parse()?),
        None => Err(import_failed(source, "it has no branch with a commit")),
    }
}

/// Makes a plain directory the first commit of `main`.
async fn first_commit(git: &Git, into: &Path, dir: &Path, author: &Signature, message: &str) -> Result<()> {
    let shown = dir.display().to_string();
    let dir = dir.canonicalize().map_err(|error| import_failed(&shown, &error.to_string()))?;
    if !dir.is_dir() {
        return Err(import_failed(&shown, "it is not a directory"));
    }
    let add = git.call(into, ["-c", "core.bare=false", "add", "--all", "."]);
    let add = add.work_tree(&dir, into).slow().run().await?;
    if add.code != 0 {
        return Err(import_failed(&shown, &add.stderr));
    }
    let tree = git.call(into, ["write-tree"]).line().await?;
    let files = git.call(into, ["ls-tree", "--name-only", &tree]).line().await?;
    if files.is_empty() {
        return Err(import_failed(&shown, "it has no file to commit"));
    }
    commit_tree(git, into, &tree, author, message).await?;
    let _ = tokio::fs::remove_file(into.join("index")).await;
    Ok(())
}
