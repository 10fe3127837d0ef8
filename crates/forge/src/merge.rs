//! Merging with git's plumbing, without a work tree: `merge-tree` makes the tree, `commit-tree` the commit, `update-ref` moves the
//! base branch only if it still stands where it was seen.
//!
//! ```text
//!  row: open ──intent written──▶ merging ──base moved──▶ (git has it) ──▶ row: merged
//!                                   └─base was moved by another─▶ intent forgotten, 409
//! ```
//! A crash between the two moves is mended at the next start (`sync.rs`): the base branch tells whether the merge happened.

use crate::changes::{Actor, ChangeKind, Subject, record};
use crate::door::ForgeUser;
use crate::error::{ForgeError, NotMergeable, Result};
use crate::local::{LocalForge, now_ms};
use crate::names::{CommitId, RepoPath};
use crate::people::{Signature, person, remember};
use crate::pulls::{Pull, PullState, by_number};
use crate::refs::Swap;

/// How the commits of a pull request come to the base branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeMethod {
    /// A merge commit with both sides as parents, authored by who merges.
    Merge,
    /// One new commit with the whole change, authored by who opened the pull request; other authors become co-authors.
    Squash,
}

/// A wish to merge.
#[derive(Debug, Clone)]
pub struct MergeWish {
    /// How.
    pub method: MergeMethod,
    /// First line of the commit's message; GitHub's usual one when `None`.
    pub title: Option<String>,
    /// Rest of the commit's message; GitHub's usual one when `None`.
    pub message: Option<String>,
    /// Merge only if this is still the head.
    pub expected_head: Option<CommitId>,
}

/// Would it merge?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mergeability {
    /// Yes; the merged tree is in the repository under this id.
    Clean {
        /// Id of the merged tree.
        tree: CommitId,
    },
    /// No: both sides changed these files.
    Conflict {
        /// Paths with conflicts.
        files: Vec<String>,
    },
}

impl LocalForge {
    /// Tries the merge of two commits without changing any branch.
    pub async fn mergeability(&self, path: &RepoPath, base: &CommitId, head: &CommitId) -> Result<Mergeability> {
        let args = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", base.as_str(), head.as_str()];
        let answer = self.git(path, &args).run().await?;
        let text = String::from_utf8_lossy(&answer.stdout);
        let mut parts = text.split('\0').filter(|part| !part.is_empty());
        match (answer.code, parts.next()) {
            (0, Some(tree)) => Ok(Mergeability::Clean { tree: tree.trim().parse()? }),
            (1, Some(_)) => Ok(Mergeability::Conflict { files: parts.map(str::to_owned).collect() }),
            _ if answer.stderr.contains("unrelated histories") => Ok(Mergeability::Conflict { files: Vec::new() }),
            _ => {
                Err(ForgeError::Broken(format!("git merge-tree ended with {}: {}", answer.code, answer.stderr.trim())))
            }
        }
    }

    /// Merges a pull request and gives the commit that the base branch now stands on. Goes on to its end even when the caller
    /// stops waiting.
    pub async fn merge_pull(&self, path: &RepoPath, number: u64, wish: MergeWish, by: &ForgeUser) -> Result<CommitId> {
        let (forge, path, by) = (self.clone(), path.clone(), by.clone());
        let work = tokio::spawn(async move { forge.merge_to_end(&path, number, wish, &by).await });
        work.await.map_err(|error| ForgeError::Broken(format!("the merge broke off: {error}")))?
    }

    async fn merge_to_end(&self, path: &RepoPath, number: u64, wish: MergeWish, by: &ForgeUser) -> Result<CommitId> {
        let repo = self.repo(path).await?;
        let path = &repo.path;
        let pull = self.pull(path, number).await?;
        match (&pull.state, pull.draft) {
            (PullState::Open, false) => {}
            (PullState::Open, true) => return Err(ForgeError::NotMergeable(NotMergeable::Draft)),
            (PullState::Closed { .. } | PullState::Merged { .. }, _) => {
                return Err(ForgeError::NotMergeable(NotMergeable::Closed));
            }
        }
        let base = self.branch_tip(path, &pull.base.0).await?;
        let head = self.branch_tip(path, &pull.head.0).await?;
        if wish.expected_head.as_ref().is_some_and(|expected| *expected != head) || head != pull.head.1 {
            return Err(ForgeError::Moved("Head branch was modified. Review and try the merge again."));
        }
        let Mergeability::Clean { tree } = self.mergeability(path, &base, &head).await? else {
            return Err(ForgeError::NotMergeable(NotMergeable::Conflict));
        };
        let commit = self.write_commit(path, &pull, &wish, &tree, (&base, &head), by).await?;
        self.begin_merge(&pull, (&base, &head), &commit, by).await?;
        let swap = self.swap_ref(path, &pull.base.0.full_ref(), &commit, &base).await;
        match swap {
            Ok(Swap::Done) => {}
            Ok(Swap::Moved) => {
                self.forget_merge(path, number).await?;
                return Err(ForgeError::Moved("Base branch was modified. Review and try the merge again."));
            }
            // It is not known whether the branch moved (a time limit, say): look.
            Err(error) => match self.branch_tip(path, &pull.base.0).await {
                Ok(tip) if tip == commit => {}
                Ok(_) | Err(_) => {
                    self.forget_merge(path, number).await?;
                    return Err(error);
                }
            },
        }
        self.finish_merge(path, number).await?;
        self.after_ref_moved(path, &pull.base.0, &base, &commit, by).await?;
        Ok(commit)
    }

    async fn write_commit(
        &self,
        path: &RepoPath,
        pull: &Pull,
        wish: &MergeWish,
        tree: &CommitId,
        (base, head): (&CommitId, &CommitId),
        by: &ForgeUser,
    ) -> Result<CommitId> {
        let merger = by.signature();
        let (title, body) = self.usual_message(path, pull, wish.method).await?;
        let title = wish.title.clone().unwrap_or(title);
        let body = wish.message.clone().unwrap_or(body);
        let message = format!("{}\n\n{}", title.trim(), body.trim());
        let mut args = vec!["commit-tree", tree.as_str(), "-p", base.as_str()];
        let author = match wish.method {
            MergeMethod::Merge => {
                args.extend(["-p", head.as_str()]);
                merger.clone()
            }
            MergeMethod::Squash => Signature { name: pull.author.name.clone(), email: pull.author.email.clone() },
        };
        let line = author.sign(self.git(path, &args), &merger).input(format!("{}\n", message.trim())).line().await?;
        Ok(line.parse()?)
    }

    /// The message that GitHub would write: first line and the rest.
    async fn usual_message(&self, path: &RepoPath, pull: &Pull, method: MergeMethod) -> Result<(String, String)> {
        match method {
            MergeMethod::Merge => Ok((
                format!("Merge pull request #{} from {}/{}", pull.number, path.owner, pull.head.0),
                pull.title.clone(),
            )),
            MergeMethod::Squash => {
                let commits = self.pull_commits(path, pull).await?;
                let messages: Vec<(String, Vec<String>)> =
                    commits.iter().map(|commit| without_co_authors(&commit.message)).collect();
                let (first, mut body) = match messages.as_slice() {
                    [(one, _)] => {
                        let (first, rest) = one.split_once('\n').unwrap_or((one, ""));
                        (first.to_owned(), rest.trim().to_owned())
                    }
                    many => (
                        pull.title.clone(),
                        many.iter().map(|(message, _)| format!("* {}\n\n", message.trim())).collect(),
                    ),
                };
                let own = format!("<{}>", pull.author.email.to_lowercase());
                let mut others: Vec<String> = Vec::new();
                for (commit, (_, named)) in commits.iter().zip(messages) {
                    let author = format!("{CO_AUTHOR} {} <{}>", commit.author.name, commit.author.email);
                    for line in [author].into_iter().chain(named) {
                        if !line.to_lowercase().ends_with(&own) && !others.contains(&line) {
                            others.push(line);
                        }
                    }
                }
                if !others.is_empty() {
                    body = format!("{}\n\n{}", body.trim(), others.join("\n"));
                }
                Ok((format!("{first} (#{})", pull.number), body))
            }
        }
    }

    /// Claims the pull request for this merge; a second merge at the same time is told to look again.
    async fn begin_merge(
        &self,
        pull: &Pull,
        (base, head): (&CommitId, &CommitId),
        commit: &CommitId,
        by: &ForgeUser,
    ) -> Result<()> {
        let (id, base, head, commit, by) =
            (pull.id, base.to_string(), head.to_string(), commit.to_string(), by.clone());
        self.write(move |tx| {
            remember(tx, &by)?;
            let rows = tx.execute(
                "UPDATE pulls SET intent_sha = ?3, intent_by = ?4, base_sha = ?5 WHERE id = ?1 AND state = 'open' AND head_sha = ?2 AND intent_sha IS NULL",
                (id, head, commit, by.id, base),
            )?;
            match rows {
                1 => Ok(()),
                _ => Err(ForgeError::Moved("Head branch was modified. Review and try the merge again.")),
            }
        })
        .await
    }

    /// The base branch has it: say so in the row.
    pub(crate) async fn finish_merge(&self, path: &RepoPath, number: u64) -> Result<()> {
        let repo = self.repo(path).await?;
        self.write(move |tx| {
            let pull = by_number(tx, repo.id, number)?;
            let (sha, by): (String, i64) = tx.query_row("SELECT intent_sha, intent_by FROM pulls WHERE id = ?1", [pull.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            tx.execute(
                "UPDATE pulls SET state = 'closed', closed_ms = ?2, merged_ms = ?2, updated_ms = ?2, merge_sha = intent_sha, merged_by = intent_by,
                 intent_sha = NULL, intent_by = NULL WHERE id = ?1",
                (pull.id, now_ms()),
            )?;
            let by = person(tx, by)?;
            record(tx, repo.id, Subject::Pull(number), Actor::Person(by.id), &ChangeKind::Merged { sha: sha.parse()? })
        })
        .await
    }

    /// The base branch has it not: as if nobody had tried.
    pub(crate) async fn forget_merge(&self, path: &RepoPath, number: u64) -> Result<()> {
        let repo = self.repo(path).await?;
        self.write(move |tx| {
            tx.execute(
                "UPDATE pulls SET intent_sha = NULL, intent_by = NULL WHERE repo_id = ?1 AND number = ?2",
                (repo.id, number),
            )?;
            Ok(())
        })
        .await
    }
}

/// How a line begins that names one more author of a commit.
const CO_AUTHOR: &str = "Co-authored-by:";

/// A message without the lines that name more authors, and those lines: among other messages they would be trailers no more.
fn without_co_authors(message: &str) -> (String, Vec<String>) {
    let names = |line: &&str| line.get(..CO_AUTHOR.len()).is_some_and(|start| start.eq_ignore_ascii_case(CO_AUTHOR));
    let (named, rest): (Vec<&str>, Vec<&str>) = message.lines().partition(names);
    let named = named.iter().map(|line| format!("{CO_AUTHOR} {}", line[CO_AUTHOR.len()..].trim())).collect();
    (rest.join("\n").trim_end().to_owned(), named)
}
