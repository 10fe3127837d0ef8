//! Commits, changed files, entries of directories.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Links, node_id, seconds};
use crate::commits::{Commit, Stamp};
use crate::contents::{Entry, EntryKind};
use crate::diff::{FileDiff, FileStatus, Patch};
use crate::names::{CommitId, RepoPath};
use crate::people::Person;

impl Links<'_> {
    /// A commit. `people` are known persons by e-mail address.
    pub(crate) fn commit(&self, repo: &RepoPath, commit: &Commit, people: &HashMap<String, Person>) -> Value {
        let (api, page, sha) = (self.api_repo(repo), self.page(repo), &commit.id);
        let who = |stamp: &Stamp| json!({"name": stamp.name, "email": stamp.email, "date": seconds(stamp.at_s)});
        let known = |stamp: &Stamp| people.get(&stamp.email.to_lowercase()).map(|person| self.person(person));
        let parents: Vec<Value> = commit
            .parents
            .iter()
            .map(|id| json!({"sha": id, "url": format!("{api}/commits/{id}"), "html_url": format!("{page}/commit/{id}")}))
            .collect();
        json!({
            "sha": sha, "node_id": node_id("Commit", sha), "url": format!("{api}/commits/{sha}"), "html_url": format!("{page}/commit/{sha}"),
            "comments_url": format!("{api}/commits/{sha}/comments"), "author": known(&commit.author), "committer": known(&commit.committer), "parents": parents,
            "commit": {
                "url": format!("{api}/git/commits/{sha}"), "author": who(&commit.author), "committer": who(&commit.committer), "message": commit.message,
                "tree": {"sha": commit.tree, "url": format!("{api}/git/trees/{}", commit.tree)}, "comment_count": 0,
                "verification": {"verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null},
            },
        })
    }

    /// A changed file.
    pub(crate) fn file(&self, repo: &RepoPath, at: &CommitId, file: &FileDiff) -> Value {
        let (api, page, path) = (self.api_repo(repo), self.page(repo), in_url(&file.path));
        let status = match file.status {
            FileStatus::Added => "added",
            FileStatus::Removed => "removed",
            FileStatus::Modified => "modified",
            FileStatus::Renamed => "renamed",
            FileStatus::Copied => "copied",
            FileStatus::Changed => "changed",
        };
        let mut value = json!({
            "sha": file.blob, "filename": file.path, "status": status, "additions": file.additions, "deletions": file.deletions,
            "changes": file.additions + file.deletions, "blob_url": format!("{page}/blob/{at}/{path}"), "raw_url": format!("{page}/raw/{at}/{path}"),
            "contents_url": format!("{api}/contents/{path}?ref={at}"),
        });
        if let Some(previous) = &file.previous_path {
            value["previous_filename"] = previous.as_str().into();
        }
        if let Patch::Text(text) = &file.patch {
            value["patch"] = text.as_str().into();
        }
        value
    }

    /// An entry of a directory, or the head of a file's own answer.
    pub(crate) fn entry(&self, repo: &RepoPath, at: &str, entry: &Entry) -> Value {
        let (api, page, path) = (self.api_repo(repo), self.page(repo), in_url(&entry.path));
        let at = in_url(at);
        let (kind, git) = match entry.kind {
            EntryKind::File => ("file", "blobs"),
            EntryKind::Dir => ("dir", "trees"),
            EntryKind::Symlink => ("symlink", "blobs"),
            EntryKind::Submodule => ("submodule", "trees"),
        };
        let name = entry.path.rsplit('/').next().unwrap_or_default();
        let (url, git) = (format!("{api}/contents/{path}?ref={at}"), format!("{api}/git/{git}/{}", entry.id));
        let html = format!("{page}/{}/{at}/{path}", if entry.kind == EntryKind::Dir { "tree" } else { "blob" });
        let raw = (entry.kind == EntryKind::File).then(|| format!("{page}/raw/{at}/{path}"));
        json!({
            "type": kind, "size": entry.size, "name": name, "path": entry.path, "sha": entry.id, "url": url, "git_url": git, "html_url": html,
            "download_url": raw, "_links": {"self": url, "git": git, "html": html},
        })
    }
}

/// A path within a URL: slashes stay, everything unusual is percent-encoded.
fn in_url(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~' | b'+' | b'@') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
