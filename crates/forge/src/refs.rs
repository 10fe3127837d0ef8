//! Branches, tags and commits: find them, move them.

use crate::changes::ChangeKind;
use crate::door::ForgeUser;
use crate::error::{ForgeError, Invalid, Result};
use crate::local::LocalForge;
use crate::names::{BranchName, CommitId, RepoPath};
use crate::tip;

/// Most branches that are listed.
pub const BRANCHES_MAX: usize = 10_000;

/// A branch and the commit it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// The branch.
    pub name: BranchName,
    /// Its newest commit.
    pub tip: CommitId,
}

/// May a branch lose commits when it is moved?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Only forward.
    FastForward,
    /// Anywhere.
    Force,
}

impl LocalForge {
    /// The commit that a branch, a tag, a full ref, `HEAD` or a full or abbreviated (7 digits or more) commit id means, tried in this order.
    pub async fn resolve(&self, repo: &RepoPath, reference: &str) -> Result<CommitId> {
        for candidate in candidates(reference) {
            let answer =
                self.git(repo, &["rev-parse", "--verify", "--quiet", &format!("{candidate}^{{commit}}")]).run().await?;
            if answer.code == 0 {
                return Ok(String::from_utf8_lossy(&answer.stdout).trim().parse()?);
            }
        }
        Err(ForgeError::NoCommit { repo: repo.clone(), reference: reference.chars().take(80).collect() })
    }

    /// What came of a work of git over these commits. Where it failed because one of them is not there, that is what is told.
    pub(crate) async fn over<T>(&self, repo: &RepoPath, commits: &[&CommitId], done: Result<T>) -> Result<T> {
        if let Err(ForgeError::Broken(_)) = &done {
            for id in commits {
                // Asked only now, so that what is there costs no second process.
                if self.git(repo, &["cat-file", "-e", id.as_str()]).run().await.is_ok_and(|answer| answer.code != 0) {
                    return Err(ForgeError::NoCommit { repo: repo.clone(), reference: id.to_string() });
                }
            }
        }
        done
    }

    /// The newest commit of a branch.
    pub async fn branch_tip(&self, repo: &RepoPath, branch: &BranchName) -> Result<CommitId> {
        let (dir, full_ref) = (self.dir(repo), branch.full_ref());
        let read = tokio::task::spawn_blocking(move || tip::read(&dir, &full_ref)).await;
        match read.ok().flatten() {
            Some(commit) => Ok(commit),
            None => self.resolve(repo, &branch.full_ref()).await,
        }
    }

    /// All branches by name, at most [`BRANCHES_MAX`].
    pub async fn branches(&self, repo: &RepoPath) -> Result<Vec<Branch>> {
        let count = format!("--count={BRANCHES_MAX}");
        let args = ["for-each-ref", &count, "--format=%(objectname) %(refname:lstrip=2)", "refs/heads"];
        let text = self.git(repo, &args).line().await?;
        let parse = |line: &str| {
            let (tip, name) = line.split_once(' ')?;
            // Names that our own rules refuse came by an import; they stay reachable by git alone.
            Some(Branch { name: name.parse().ok()?, tip: tip.parse().ok()? })
        };
        Ok(text.lines().filter_map(parse).collect())
    }

    /// The newest commit that both have in their past; `None` when they share none.
    pub async fn merge_base(&self, repo: &RepoPath, one: &CommitId, other: &CommitId) -> Result<Option<CommitId>> {
        let answer = self.git(repo, &["merge-base", one.as_str(), other.as_str()]).run().await?;
        match answer.code {
            0 => Ok(Some(String::from_utf8_lossy(&answer.stdout).trim().parse()?)),
            1 => Ok(None),
            _ => self.over(repo, &[one, other], Err(ForgeError::Broken(answer.stderr))).await,
        }
    }

    /// True when `old` is in the past of `new` (or the same).
    pub async fn is_ancestor(&self, repo: &RepoPath, old: &CommitId, new: &CommitId) -> Result<bool> {
        let answer = self.git(repo, &["merge-base", "--is-ancestor", old.as_str(), new.as_str()]).run().await?;
        Ok(answer.code == 0)
    }

    /// How many commits the second has that the first has not, and the other way round: (ahead, behind).
    pub async fn ahead_behind(&self, repo: &RepoPath, base: &CommitId, head: &CommitId) -> Result<(u64, u64)> {
        let range = format!("{base}...{head}");
        let counted = self.git(repo, &["rev-list", "--left-right", "--count", &range]).line().await;
        let text = self.over(repo, &[base, head], counted).await?;
        let mut counts = text.split_whitespace().filter_map(|word| word.parse().ok());
        match (counts.next(), counts.next()) {
            (Some(behind), Some(ahead)) => Ok((ahead, behind)),
            _ => Err(ForgeError::Broken(format!("rev-list counted `{text}`"))),
        }
    }

    /// Makes a branch at a commit.
    pub async fn create_branch(
        &self,
        repo: &RepoPath,
        branch: &BranchName,
        at: &CommitId,
        by: &ForgeUser,
    ) -> Result<()> {
        self.must_have(repo, at).await?;
        match self.swap_ref(repo, &branch.full_ref(), at, &CommitId::zero()).await? {
            Swap::Done => self.after_ref_moved(repo, branch, &CommitId::zero(), at, by).await,
            Swap::Moved => Err(ForgeError::Invalid(Invalid::RefExists)),
        }
    }

    /// Moves a branch to another commit.
    pub async fn move_branch(
        &self,
        repo: &RepoPath,
        branch: &BranchName,
        to: &CommitId,
        how: Move,
        by: &ForgeUser,
    ) -> Result<()> {
        let old = match self.branch_tip(repo, branch).await {
            Err(ForgeError::NoCommit { .. }) => return Err(ForgeError::Invalid(Invalid::NoRef)),
            other => other?,
        };
        self.must_have(repo, to).await?;
        if how == Move::FastForward && !self.is_ancestor(repo, &old, to).await? {
            return Err(ForgeError::Invalid(Invalid::NotFastForward));
        }
        match self.swap_ref(repo, &branch.full_ref(), to, &old).await? {
            Swap::Done => self.after_ref_moved(repo, branch, &old, to, by).await,
            Swap::Moved => Err(ForgeError::Moved("The branch was moved meanwhile. Look at it again and retry.")),
        }
    }

    /// Removes a branch. The default branch stays.
    pub async fn delete_branch(&self, path: &RepoPath, branch: &BranchName, by: &ForgeUser) -> Result<()> {
        let repo = self.repo(path).await?;
        if repo.default_branch == *branch {
            return Err(ForgeError::Invalid(Invalid::DefaultBranch));
        }
        let old = match self.branch_tip(path, branch).await {
            Err(ForgeError::NoCommit { .. }) => return Err(ForgeError::Invalid(Invalid::NoRef)),
            other => other?,
        };
        let answer = self.git(path, &["update-ref", "-d", &branch.full_ref(), old.as_str()]).run().await?;
        if answer.code != 0 {
            return Err(ForgeError::Moved("The branch was moved meanwhile. Look at it again and retry."));
        }
        self.after_ref_moved(path, branch, &old, &CommitId::zero(), by).await
    }

    /// The id of the tree without entries, to compare a first commit with.
    pub(crate) async fn empty_tree(&self, repo: &RepoPath) -> Result<CommitId> {
        Ok(self.git(repo, &["hash-object", "-t", "tree", "-w", "/dev/null"]).line().await?.parse()?)
    }

    async fn must_have(&self, repo: &RepoPath, commit: &CommitId) -> Result<()> {
        match self.resolve(repo, commit.as_str()).await {
            Ok(_) => Ok(()),
            Err(ForgeError::NoCommit { .. }) => Err(ForgeError::Invalid(Invalid::NoObject)),
            Err(other) => Err(other),
        }
    }

    /// Moves a ref only if it still stands where the caller saw it.
    pub(crate) async fn swap_ref(
        &self,
        repo: &RepoPath,
        full_ref: &str,
        to: &CommitId,
        from: &CommitId,
    ) -> Result<Swap> {
        let answer = self.git(repo, &["update-ref", full_ref, to.as_str(), from.as_str()]).run().await?;
        if answer.code == 0 {
            return Ok(Swap::Done);
        }
        tracing::debug!(%repo, full_ref, why = answer.stderr.trim(), "ref not moved");
        Ok(Swap::Moved)
    }

    /// Records a moved branch and brings the pull requests of the repository up to date.
    pub(crate) async fn after_ref_moved(
        &self,
        repo: &RepoPath,
        branch: &BranchName,
        old: &CommitId,
        new: &CommitId,
        by: &ForgeUser,
    ) -> Result<()> {
        let kind = ChangeKind::BranchMoved { branch: branch.clone(), old: old.clone(), new: new.clone() };
        self.record_push(repo, kind, by).await?;
        self.sync_pulls(repo, by).await
    }
}

/// What became of an attempt to move a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swap {
    /// It stands at the new commit.
    Done,
    /// It stood elsewhere (or another writer held its lock).
    Moved,
}

/// The refs and ids that a word may mean. Everything else in git's rich revision syntax is left out on purpose.
fn candidates(reference: &str) -> Vec<String> {
    if reference == "HEAD" {
        return vec!["HEAD".into()];
    }
    if reference.parse::<BranchName>().is_err() {
        return Vec::new();
    }
    let mut found = Vec::new();
    if reference.starts_with("refs/heads/")
        || reference.starts_with("refs/tags/")
        || reference.starts_with("refs/pull/")
    {
        found.push(reference.to_owned());
    }
    if reference.len() == 40 && reference.parse::<CommitId>().is_ok() {
        found.push(reference.to_owned());
        return found;
    }
    found.push(format!("refs/heads/{reference}"));
    found.push(format!("refs/tags/{reference}"));
    if (7..40).contains(&reference.len()) && reference.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        found.push(reference.to_owned());
    }
    found
}
