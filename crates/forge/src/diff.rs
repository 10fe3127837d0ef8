//! What changed between two commits, file by file, within limits.

use crate::error::{ForgeError, Result};
use crate::limits::Limits;
use crate::local::LocalForge;
use crate::names::{CommitId, RepoPath};

/// The difference of two commits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// Files by path, at most `Limits::diff_files_max`.
    pub files: Vec<FileDiff>,
    /// Lines added in all files, also those left out.
    pub additions: u64,
    /// Lines removed in all files, also those left out.
    pub deletions: u64,
    /// How many files changed, also those left out.
    pub changed_files: u64,
}

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff {
    /// Its path (after the change; before, for a removed one). Bytes that are not UTF-8 are shown as `�`.
    pub path: String,
    /// Its former path, where it was renamed or copied.
    pub previous_path: Option<String>,
    /// What happened to it.
    pub status: FileStatus,
    /// Id of its content after the change (before, for a removed one).
    pub blob: CommitId,
    /// Lines added; 0 for a binary file.
    pub additions: u64,
    /// Lines removed; 0 for a binary file.
    pub deletions: u64,
    /// The hunks.
    pub patch: Patch,
}

/// The hunks of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patch {
    /// Unified diff from its first `@@`.
    Text(String),
    /// Not text.
    Binary,
    /// No line changed: a pure rename, a change of mode, an empty file.
    Empty,
    /// Over the limit per file or in all; ask git for it.
    TooLarge,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStatus {
    /// New.
    Added,
    /// Gone.
    Removed,
    /// Other content or mode.
    Modified,
    /// Another path.
    Renamed,
    /// A copy of another one.
    Copied,
    /// Became another kind (file, link, submodule).
    Changed,
}

const OPTIONS: [&str; 6] =
    ["--no-color", "--no-ext-diff", "--no-textconv", "--find-renames", "--full-index", "--no-abbrev"];

impl LocalForge {
    /// The difference from one commit to another. For what a branch brings, give the merge base as `from`.
    pub async fn diff(&self, repo: &RepoPath, from: &CommitId, to: &CommitId) -> Result<Diff> {
        let head = ["diff", "--raw", "--numstat", "-z"];
        let args: Vec<&str> = head.into_iter().chain(OPTIONS).chain([from.as_str(), to.as_str(), "--"]).collect();
        let summary = self.over(repo, &[from, to], self.git(repo, &args).must().await).await?;
        let args: Vec<&str> =
            ["diff", "--patch"].into_iter().chain(OPTIONS).chain([from.as_str(), to.as_str(), "--"]).collect();
        let answer = self.git(repo, &args).output_max(self.limits().diff_bytes_max).run().await?;
        if answer.code != 0 && !answer.cut {
            return Err(ForgeError::Broken(answer.stderr));
        }
        Diff::parse(&summary, &String::from_utf8_lossy(&answer.stdout), answer.cut, self.limits())
    }

    /// The whole difference as one text that `git apply` takes; an error over `Limits::diff_bytes_max`.
    pub async fn diff_text(&self, repo: &RepoPath, from: &CommitId, to: &CommitId) -> Result<String> {
        let args: Vec<&str> = ["diff", "--patch", "--binary"]
            .into_iter()
            .chain(OPTIONS)
            .chain([from.as_str(), to.as_str(), "--"])
            .collect();
        let answer = self.git(repo, &args).output_max(self.limits().diff_bytes_max).run().await?;
        match (answer.cut, answer.code) {
            (true, _) => Err(ForgeError::OverLimit {
                what: "The diff",
                limit: format!("{} bytes", self.limits().diff_bytes_max),
            }),
            (false, 0) => Ok(String::from_utf8_lossy(&answer.stdout).into_owned()),
            (false, _) => self.over(repo, &[from, to], Err(ForgeError::Broken(answer.stderr))).await,
        }
    }
}

impl Diff {
    /// Reads what git printed about the same two trees: `summary` of `git diff --raw --numstat -z`, `patches` of `git diff --patch`,
    /// both with `--find-renames --full-index --no-color`. `cut` says that `patches` was longer and ends in the middle.
    ///
    /// # Errors
    /// When the summary is not git's.
    pub fn parse(summary: &[u8], patches: &str, cut: bool, limits: &Limits) -> Result<Self> {
        let mut diff = parse_summary(summary, limits.diff_files_max)?;
        let mut sections = split_sections(patches);
        if cut {
            // The last one is torn.
            sections.pop();
        }
        for (file, section) in diff.files.iter_mut().zip(sections) {
            if file.patch == Patch::TooLarge {
                file.patch = patch_of(section, limits.diff_file_bytes_max);
            }
        }
        Ok(diff)
    }
}

/// Cuts a diff into its files. Lines of content always begin with a blank, a sign, `@` or `\`, so a line that begins with
/// `diff --git ` is git's own.
fn split_sections(text: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("diff --git ") {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| &text[start..end]).collect()
}

fn patch_of(section: &str, bytes_max: usize) -> Patch {
    if section.len() > bytes_max {
        return Patch::TooLarge;
    }
    let hunks = section.find("\n@@ ");
    match hunks {
        Some(at) => Patch::Text(section[at + 1..].trim_end_matches('\n').to_owned()),
        None if section.lines().any(|line| line.starts_with("Binary files ")) => Patch::Binary,
        None => Patch::Empty,
    }
}

/// Reads `git diff --raw --numstat -z`: first all raw entries, then all counts, in the same order.
fn parse_summary(bytes: &[u8], files_max: usize) -> Result<Diff> {
    let text = String::from_utf8_lossy(bytes);
    let mut words = text.split('\0').peekable();
    let odd = |what: &str| ForgeError::Broken(format!("git diff: odd {what}"));
    let mut files = Vec::new();
    while let Some(entry) = words.next_if(|word| word.starts_with(':')) {
        let parts: Vec<&str> = entry.split(' ').collect();
        let [_, _, old, new, letter] = parts.as_slice() else {
            return Err(odd("entry"));
        };
        let first = words.next().ok_or_else(|| odd("path"))?.to_owned();
        let status = match letter.as_bytes().first() {
            Some(b'A') => FileStatus::Added,
            Some(b'D') => FileStatus::Removed,
            Some(b'M') => FileStatus::Modified,
            Some(b'R') => FileStatus::Renamed,
            Some(b'C') => FileStatus::Copied,
            _ => FileStatus::Changed,
        };
        let (path, previous_path) = match status {
            FileStatus::Renamed | FileStatus::Copied => {
                (words.next().ok_or_else(|| odd("path"))?.to_owned(), Some(first))
            }
            FileStatus::Added | FileStatus::Removed | FileStatus::Modified | FileStatus::Changed => (first, None),
        };
        let blob = if status == FileStatus::Removed { old } else { new };
        files.push(FileDiff {
            path,
            previous_path,
            status,
            blob: blob.parse()?,
            additions: 0,
            deletions: 0,
            patch: Patch::TooLarge,
        });
    }
    let (mut additions, mut deletions) = (0, 0);
    for file in &mut files {
        let counts = words.next().ok_or_else(|| odd("count"))?;
        let mut counts = counts.splitn(3, '\t');
        let (added, removed, path) =
            (counts.next().unwrap_or_default(), counts.next().unwrap_or_default(), counts.next().unwrap_or_default());
        if path.is_empty() {
            // A rename: both paths follow on their own.
            words.next();
            words.next();
        }
        if added == "-" {
            file.patch = Patch::Binary;
        }
        file.additions = added.parse().unwrap_or(0);
        file.deletions = removed.parse().unwrap_or(0);
        additions += file.additions;
        deletions += file.deletions;
    }
    let changed_files = files.len() as u64;
    files.truncate(files_max);
    Ok(Diff { files, additions, deletions, changed_files })
}
