//! Repositories: make, find, list.

use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension as _, Row};

use crate::error::{ForgeError, Result};
use crate::git::Git;
use crate::local::{LocalForge, now_ms};
use crate::names::{BranchName, CommitId, RepoPath};
use crate::people::Signature;

/// Longest description in characters (GitHub: 350).
pub const DESCRIPTION_CHARS_MAX: usize = 350;

/// Owners that are no known person get numbers from here on.
pub const TEAM_IDS_FROM: i64 = 1_000_000_000;

const COLUMNS: &str = "r.*, (SELECT id FROM people WHERE login = r.owner) AS person_id, (SELECT id FROM owners WHERE login = r.owner) AS team_id,
    (SELECT count(*) FROM pulls p WHERE p.repo_id = r.id AND p.state = 'open') AS open_pulls";

/// A repository's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The forge's number for it, never used again.
    pub id: i64,
    /// Owner and name in their canonical case.
    pub path: RepoPath,
    /// What it is, in a sentence.
    pub description: Option<String>,
    /// Number of its owner: the person's own where the owner is one, else one of the forge's (above [`TEAM_IDS_FROM`]).
    pub owner_id: i64,
    /// How many pull requests are open.
    pub open_pulls: u64,
    /// The branch that pull requests usually go to.
    pub default_branch: BranchName,
    /// Made, in ms since 1970.
    pub created_ms: i64,
    /// Last change of this row, in ms since 1970.
    pub updated_ms: i64,
    /// Last push, in ms since 1970.
    pub pushed_ms: i64,
}

/// A repository to be made.
#[derive(Debug, Clone)]
pub struct NewRepo {
    /// Where.
    pub path: RepoPath,
    /// What it is; empty for nothing.
    pub description: String,
}

impl LocalForge {
    /// Makes an empty repository whose default branch is `main`.
    pub async fn create_repo(&self, new: NewRepo) -> Result<Repository> {
        let half = Half::begin(self).await?;
        self.settle(new, half, BranchName::main()).await
    }

    /// Makes a repository whose first commit on `main` is a `README.md` with its name and description.
    pub async fn create_repo_with_readme(&self, new: NewRepo, author: &Signature) -> Result<Repository> {
        let half = Half::begin(self).await?;
        let git = &self.inner.git;
        let text = format!("# {}\n\n{}", new.path.name, new.description);
        let blob =
            git.call(&half.dir, ["hash-object", "-w", "--stdin"]).input(format!("{}\n", text.trim())).line().await?;
        let tree = git.call(&half.dir, ["mktree"]).input(format!("100644 blob {blob}\tREADME.md\n")).line().await?;
        commit_tree(git, &half.dir, &tree, author, "Initial commit").await?;
        self.settle(new, half, BranchName::main()).await
    }

    /// Writes the row and moves the finished directory to its place, both or neither.
    pub(crate) async fn settle(&self, new: NewRepo, half: Half, default_branch: BranchName) -> Result<Repository> {
        let place = self.dir(&new.path);
        let description: String = new.description.chars().take(DESCRIPTION_CHARS_MAX).collect();
        self.inner
            .database
            .write(move |tx| {
                let now = now_ms();
                let taken = find_row(tx, &new.path)?;
                if taken.is_some() {
                    return Err(ForgeError::RepositoryExists(new.path));
                }
                tx.execute("INSERT OR IGNORE INTO owners (login) VALUES (?1)", [new.path.owner.as_str()])?;
                tx.execute(
                    "INSERT INTO repos (owner, name, description, default_branch, created_ms, updated_ms, pushed_ms)
                     VALUES (?1, ?2, nullif(?3, ''), ?4, ?5, ?5, ?5)",
                    (new.path.owner.as_str(), new.path.name.as_str(), &description, default_branch.as_str(), now),
                )?;
                if place.exists() {
                    // No row named it: a crash came between the rename and the commit below.
                    std::fs::remove_dir_all(&place)?;
                }
                if let Some(parent) = place.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                std::fs::rename(&half.dir, &place)?;
                find_row(tx, &new.path)?.ok_or_else(|| ForgeError::NoRepository(new.path.to_string()))
            })
            .await
    }

    /// The repository of this name, whatever the case of its letters.
    pub async fn repo(&self, path: &RepoPath) -> Result<Repository> {
        self.find(path).await?.ok_or_else(|| ForgeError::NoRepository(path.to_string()))
    }

    pub(crate) async fn find(&self, path: &RepoPath) -> Result<Option<Repository>> {
        let path = path.clone();
        self.inner.database.read(move |db| find_row(db, &path)).await
    }

    /// All repositories by name.
    pub async fn repos(&self) -> Result<Vec<Repository>> {
        self.inner
            .database
            .read(|db| {
                let mut query = db.prepare_cached(&format!("SELECT {COLUMNS} FROM repos r ORDER BY owner, name"))?;
                let rows = query.query_and_then([], read_row)?;
                rows.collect()
            })
            .await
    }

    /// Makes another existing branch the default one.
    pub async fn set_default_branch(&self, path: &RepoPath, branch: &BranchName) -> Result<Repository> {
        let repo = self.repo(path).await?;
        self.branch_tip(&repo.path, branch).await?;
        self.git(&repo.path, &["symbolic-ref", "HEAD", &branch.full_ref()]).must().await?;
        let branch = branch.to_string();
        let id = repo.id;
        self.inner
            .database
            .write(move |tx| {
                Ok(tx.execute(
                    "UPDATE repos SET default_branch = ?2, updated_ms = ?3 WHERE id = ?1",
                    (id, branch, now_ms()),
                )?)
            })
            .await?;
        self.repo(path).await
    }

    /// Packs what pushes have brought and drops what nothing refers to any more. For a quiet hour: it may take minutes.
    pub async fn maintain(&self, path: &RepoPath) -> Result<()> {
        let repo = self.repo(path).await?;
        self.git(&repo.path, &["gc", "--quiet"]).slow().must().await?;
        Ok(())
    }
}

/// A repository being made; its directory goes away unless it was moved to its place.
pub(crate) struct Half {
    pub(crate) dir: PathBuf,
}

impl Half {
    pub(crate) async fn begin(forge: &LocalForge) -> Result<Self> {
        let incoming = &forge.inner.incoming_dir;
        let dir =
            incoming.join(format!("{}-{}", now_ms(), NEXT_HALF.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
        tokio::fs::create_dir_all(&dir).await?;
        let half = Self { dir };
        let args = ["init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--object-format=sha1", "."];
        forge.inner.git.call(&half.dir, args).must().await?;
        Ok(half)
    }
}

static NEXT_HALF: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

impl Drop for Half {
    fn drop(&mut self) {
        // Not there any more when the import succeeded.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl BranchName {
    pub(crate) fn main() -> Self {
        // `main` is a valid branch name; the parser's test has it.
        match "main".parse() {
            Ok(name) => name,
            Err(_) => unreachable!("`main` is a branch name"),
        }
    }
}

/// Makes a tree the first commit of `main`.
pub(crate) async fn commit_tree(git: &Git, dir: &Path, tree: &str, author: &Signature, message: &str) -> Result<()> {
    let commit = author.sign(git.call(dir, ["commit-tree", tree]), author).input(message).line().await?;
    let commit: CommitId = commit.parse()?;
    git.call(dir, ["update-ref", "refs/heads/main", commit.as_str()]).must().await?;
    Ok(())
}

pub(crate) fn find_row(db: &rusqlite::Connection, path: &RepoPath) -> Result<Option<Repository>> {
    let mut query = db.prepare_cached(&format!("SELECT {COLUMNS} FROM repos r WHERE owner = ?1 AND name = ?2"))?;
    let found = query.query_row((path.owner.as_str(), path.name.as_str()), |row| Ok(read_row(row))).optional()?;
    found.transpose()
}

pub(crate) fn read_row(row: &Row<'_>) -> Result<Repository> {
    let text = |column: &str| row.get::<_, String>(column);
    Ok(Repository {
        id: row.get("id")?,
        path: RepoPath::new(text("owner")?.parse()?, text("name")?.parse()?),
        description: row.get("description")?,
        owner_id: match row.get("person_id")? {
            Some(id) => id,
            None => TEAM_IDS_FROM + row.get::<_, i64>("team_id")?,
        },
        open_pulls: row.get("open_pulls")?,
        default_branch: text("default_branch")?.parse()?,
        created_ms: row.get("created_ms")?,
        updated_ms: row.get("updated_ms")?,
        pushed_ms: row.get("pushed_ms")?,
    })
}
