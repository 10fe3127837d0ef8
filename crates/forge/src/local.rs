//! The local forge itself: a directory of bare repositories and one database beside them.
//!
//! ```text
//! data_dir/gitconfig                 the only configuration our git processes see
//! data_dir/forge.sqlite              all that git does not keep
//! data_dir/repos/<owner>/<name>.git  bare repositories
//! data_dir/incoming/                 repositories being made; emptied at every start
//! ```
//!
//! Git is the truth about commits and branches, the database about people's words on them. Where both must change (a push
//! that moves the head of a pull request, a merge) the database is brought up to date from git afterwards, also after a
//! crash: see `sync.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use crate::database::Database;
use crate::error::{ForgeError, Result};
use crate::git::{Call, Git};
use crate::limits::Limits;
use crate::names::RepoPath;

/// Where a local forge lives and what it may use.
#[derive(Debug, Clone)]
pub struct ForgeConfig {
    /// A directory that belongs to this forge alone; made when missing. Only one process may open it at a time.
    pub data_dir: PathBuf,
    /// What it may use.
    pub limits: Limits,
}

/// The embedded forge. Cheap to clone; all clones are one forge.
#[derive(Clone)]
pub struct LocalForge {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for LocalForge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalForge").field("repos_dir", &self.inner.repos_dir).finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub(crate) git: Git,
    pub(crate) database: Database,
    pub(crate) limits: Arc<Limits>,
    pub(crate) repos_dir: PathBuf,
    pub(crate) incoming_dir: PathBuf,
    /// Number of the newest change: a hint that there is something to read.
    pub(crate) newest_change: watch::Sender<i64>,
    /// Held for the life of the forge so that a second process cannot open the same directory.
    _lock: std::fs::File,
}

impl LocalForge {
    /// Opens the forge in its directory, makes it when new, and finishes what a crash left half done.
    pub async fn open(config: ForgeConfig) -> Result<Self> {
        let data_dir = config.data_dir;
        let limits = Arc::new(config.limits);
        let opened = tokio::task::spawn_blocking(move || Self::open_files(&data_dir, limits)).await;
        let forge = opened.map_err(|error| ForgeError::Broken(error.to_string()))??;
        forge.inner.git.check_version(&forge.inner.repos_dir).await?;
        forge.catch_up().await?;
        Ok(forge)
    }

    fn open_files(data_dir: &Path, limits: Arc<Limits>) -> Result<Self> {
        std::fs::create_dir_all(data_dir)?;
        // Git gets absolute paths only: its working directory is always a repository.
        let data_dir = data_dir.canonicalize()?;
        let lock = std::fs::File::create(data_dir.join("lock"))?;
        if lock.try_lock().is_err() {
            return Err(ForgeError::Broken(format!(
                "{} is in use by another process; stop that one or choose another data directory",
                data_dir.display()
            )));
        }
        let (repos_dir, incoming_dir) = (data_dir.join(crate::backup::REPOS), data_dir.join("incoming"));
        std::fs::create_dir_all(&repos_dir)?;
        if incoming_dir.exists() {
            std::fs::remove_dir_all(&incoming_dir)?;
        }
        std::fs::create_dir_all(&incoming_dir)?;
        let git = Git::open(&data_dir, limits.clone())?;
        let database = Database::open(&data_dir.join(crate::backup::DATABASE))?;
        let newest_change = watch::Sender::new(0);
        Ok(Self {
            inner: Arc::new(Inner { git, database, limits, repos_dir, incoming_dir, newest_change, _lock: lock }),
        })
    }

    /// The limits this forge was opened with.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Where a repository lies on disk. The path must be the canonical one from the database (its case counts).
    pub(crate) fn dir(&self, repo: &RepoPath) -> PathBuf {
        self.inner.repos_dir.join(repo.owner.as_str()).join(format!("{}.git", repo.name))
    }

    /// A short git command in a repository.
    pub(crate) fn git<'a>(&'a self, repo: &RepoPath, args: &[&str]) -> Call<'a> {
        self.inner.git.call(&self.dir(repo), args)
    }
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
