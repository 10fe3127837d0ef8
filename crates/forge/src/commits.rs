//! Reading commits.

use crate::error::{ForgeError, Result};
use crate::local::LocalForge;
use crate::names::{CommitId, RepoPath};

/// Most commits of a pull request or a comparison that are listed (GitHub: 250).
pub const COMMITS_BETWEEN_MAX: usize = 250;

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: CommitId,
    /// The id of its tree.
    pub tree: CommitId,
    /// Its parents, first one first.
    pub parents: Vec<CommitId>,
    /// Who wrote the change.
    pub author: Stamp,
    /// Who made the commit.
    pub committer: Stamp,
    /// The whole message without its last line end.
    pub message: String,
}

/// Who and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Name.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// Seconds since 1970.
    pub at_s: i64,
}

/// Fields of one commit in `FORMAT`.
const FIELDS: usize = 10;
const FORMAT: &str = "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B";

impl LocalForge {
    /// One commit.
    ///
    /// # Errors
    /// [`ForgeError::NoCommit`] when the repository has no commit of this id.
    pub async fn commit(&self, repo: &RepoPath, id: &CommitId) -> Result<Commit> {
        let commits = self.log(repo, &[id], &["--max-count=1", id.as_str()]).await?;
        commits.into_iter().next().ok_or_else(|| ForgeError::NoCommit { repo: repo.clone(), reference: id.to_string() })
    }

    /// The past of a commit, newest first: `count` commits after skipping `skip`. `path` limits it to commits that touched that file
    /// or directory; empty for all.
    pub async fn history(
        &self,
        repo: &RepoPath,
        from: &CommitId,
        path: &str,
        skip: usize,
        count: usize,
    ) -> Result<Vec<Commit>> {
        if path.contains('\0') || path.split('/').any(|part| part == "." || part == "..") {
            // Nothing in a repository has such a path, and git would take it for one outside.
            return Ok(Vec::new());
        }
        let (skip, count) = (format!("--skip={skip}"), format!("--max-count={count}"));
        let mut args = vec![skip.as_str(), &count, from.as_str(), "--"];
        let path = format!(":(literal){path}");
        if path != ":(literal)" {
            args.push(&path);
        }
        self.log(repo, &[from], &args).await
    }

    /// What `to` has that `from` has not, oldest first, at most [`COMMITS_BETWEEN_MAX`].
    pub async fn commits_between(&self, repo: &RepoPath, from: &CommitId, to: &CommitId) -> Result<Vec<Commit>> {
        let range = format!("{from}..{to}");
        let mut commits = self.log(repo, &[from, to], &["--topo-order", "--reverse", &range]).await?;
        commits.truncate(COMMITS_BETWEEN_MAX);
        Ok(commits)
    }

    /// What `git log` tells with these arguments, which name these commits.
    async fn log(&self, repo: &RepoPath, named: &[&CommitId], args: &[&str]) -> Result<Vec<Commit>> {
        let head = ["log", "-z", "--no-show-signature", "--encoding=UTF-8", FORMAT];
        let all: Vec<&str> = head.into_iter().chain(args.iter().copied()).collect();
        let bytes = self.over(repo, named, self.git(repo, &all).must().await).await?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_suffix('\0').unwrap_or(&text);
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let fields: Vec<&str> = text.split('\0').collect();
        fields.chunks(FIELDS).map(parse).collect()
    }
}

fn parse(fields: &[&str]) -> Result<Commit> {
    let [id, tree, parents, author, author_email, authored, committer, committer_email, committed, message] = fields
    else {
        return Err(ForgeError::Broken(format!("git log gave {} fields", fields.len())));
    };
    let stamp = |name: &str, email: &str, at: &str| Stamp {
        name: name.into(),
        email: email.into(),
        at_s: at.parse().unwrap_or(0),
    };
    Ok(Commit {
        id: id.parse()?,
        tree: tree.parse()?,
        parents: parents.split_whitespace().map(|id| Ok(id.parse()?)).collect::<Result<_>>()?,
        author: stamp(author, author_email, authored),
        committer: stamp(committer, committer_email, committed),
        message: message.trim_end_matches('\n').to_owned(),
    })
}
