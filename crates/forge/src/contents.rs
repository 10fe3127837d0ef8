//! Files and directories at a commit.

use crate::error::{ForgeError, Result};
use crate::local::LocalForge;
use crate::names::{CommitId, RepoPath};

/// Most entries of a directory that are listed (GitHub: 1,000).
pub const ENTRIES_MAX: usize = 1000;

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path from the top of the repository.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Id of its content.
    pub id: CommitId,
    /// Bytes; 0 for anything but a file or a link.
    pub size: u64,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A commit of another repository.
    Submodule,
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A directory's entries.
    Dir(Vec<Entry>),
    /// A file or link with its bytes; a submodule with none.
    File(Entry, Vec<u8>),
}

/// An entry with its bytes, where it is a small file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Small {
    /// The entry.
    pub entry: Entry,
    /// Its bytes; `None` where it is no file, or a larger one than was asked for.
    pub bytes: Option<Vec<u8>>,
}

impl LocalForge {
    /// Those of these paths at which there is something at a commit, with the bytes of files up to so many. Links are not followed. One call of git where
    /// there is nothing.
    pub async fn small_files(
        &self,
        repo: &RepoPath,
        commit: &CommitId,
        paths: &[&str],
        bytes_max: u64,
    ) -> Result<Vec<Small>> {
        let literal: Vec<String> = paths.iter().map(|path| format!(":(literal){path}")).collect();
        let args: Vec<&str> = [commit.as_str(), "--"].into_iter().chain(literal.iter().map(String::as_str)).collect();
        let mut found = Vec::new();
        for entry in self.list_tree(repo, &args).await? {
            let bytes = if entry.kind == EntryKind::File && entry.size <= bytes_max {
                Some(self.git(repo, &["cat-file", "blob", entry.id.as_str()]).must().await?)
            } else {
                None
            };
            found.push(Small { entry, bytes });
        }
        Ok(found)
    }

    /// What lies at a path at a commit. An empty path is the top directory.
    pub async fn contents(&self, repo: &RepoPath, commit: &CommitId, path: &str) -> Result<Content> {
        let path = path.trim_matches('/');
        let missing = || ForgeError::NotFound(format!("`{path}` at {commit}"));
        if path.split('/').any(|part| part == "." || part == "..") || path.contains('\0') {
            return Err(missing());
        }
        let literal = format!(":(literal){path}");
        if path.is_empty() {
            return Ok(Content::Dir(self.list_tree(repo, &[commit.as_str()]).await?));
        }
        let found = self.list_tree(repo, &[commit.as_str(), "--", &literal]).await?;
        let entry = found.into_iter().find(|entry| entry.path == path).ok_or_else(missing)?;
        match entry.kind {
            EntryKind::Dir => {
                let inside = format!(":(literal){path}/");
                Ok(Content::Dir(self.list_tree(repo, &[commit.as_str(), "--", &inside]).await?))
            }
            EntryKind::File | EntryKind::Symlink => {
                if entry.size > self.limits().blob_bytes_max as u64 {
                    return Err(ForgeError::OverLimit {
                        what: "The file",
                        limit: format!("{} bytes", self.limits().blob_bytes_max),
                    });
                }
                let bytes = self.git(repo, &["cat-file", "blob", entry.id.as_str()]).must().await?;
                Ok(Content::File(entry, bytes))
            }
            EntryKind::Submodule => Ok(Content::File(entry, Vec::new())),
        }
    }

    async fn list_tree(&self, repo: &RepoPath, args: &[&str]) -> Result<Vec<Entry>> {
        let all: Vec<&str> =
            ["ls-tree", "-z", "--long", "--full-tree"].into_iter().chain(args.iter().copied()).collect();
        let bytes = self.git(repo, &all).must().await?;
        let text = String::from_utf8_lossy(&bytes);
        let entries = text.split('\0').filter(|line| !line.is_empty()).take(ENTRIES_MAX).map(parse);
        entries.collect()
    }
}

/// `mode type id size\tpath`
fn parse(line: &str) -> Result<Entry> {
    let odd = || ForgeError::Broken(format!("git ls-tree gave `{line}`"));
    let (head, path) = line.split_once('\t').ok_or_else(odd)?;
    let words: Vec<&str> = head.split_whitespace().collect();
    let [mode, kind, id, size] = words.as_slice() else {
        return Err(odd());
    };
    let kind = match (*kind, *mode) {
        ("tree", _) => EntryKind::Dir,
        ("commit", _) => EntryKind::Submodule,
        (_, "120000") => EntryKind::Symlink,
        _ => EntryKind::File,
    };
    Ok(Entry { path: path.to_owned(), kind, id: id.parse()?, size: size.parse().unwrap_or(0) })
}
