//! Brings the rows of pull requests up to date with git: after every push, and at every start for whatever a crash cut off.

use std::collections::HashMap;

use crate::changes::{Actor, ChangeKind, Subject, record};
use crate::door::ForgeUser;
use crate::error::Result;
use crate::local::{LocalForge, now_ms};
use crate::names::{BranchName, CommitId, RepoPath};
use crate::people::remember;
use crate::pulls::{Pull, PullFilter, PullState};

/// Rounds after which a repository that is pushed to without pause is left for its next push.
const ROUNDS_MAX: usize = 8;

/// Who is named in the changes that a synchronisation finds.
#[derive(Debug, Clone)]
enum Cause {
    Push(ForgeUser),
    Restart,
}

impl Cause {
    fn actor(&self) -> Actor {
        match self {
            Self::Push(user) => Actor::Person(user.id),
            Self::Restart => Actor::Nobody,
        }
    }
}

/// What git says about an open pull request that the row does not know yet.
#[derive(Debug)]
enum News {
    BranchGone,
    Merged,
    Moved { head: CommitId, base: CommitId },
}

impl LocalForge {
    /// Compares all open pull requests of a repository with its branches, after a push by `by`.
    pub(crate) async fn sync_pulls(&self, path: &RepoPath, by: &ForgeUser) -> Result<()> {
        self.sync(path, Cause::Push(by.clone())).await
    }

    /// At start: finishes or forgets merges that a crash interrupted, and compares everything once.
    pub(crate) async fn catch_up(&self) -> Result<()> {
        let newest: i64 = self
            .inner
            .database
            .read(|db| Ok(db.query_row("SELECT coalesce(max(id), 0) FROM changes", [], |row| row.get(0))?))
            .await?;
        self.inner.newest_change.send_replace(newest);
        for repo in self.repos().await? {
            for (number, sha) in self.intents(repo.id).await? {
                let pull = self.pull(&repo.path, number).await?;
                let done = match self.branch_tip(&repo.path, &pull.base.0).await {
                    Ok(tip) => self.is_ancestor(&repo.path, &sha, &tip).await?,
                    Err(_) => false,
                };
                tracing::info!(repo = %repo.path, number, done, "a merge was interrupted by the end of the process");
                if done {
                    self.finish_merge(&repo.path, number).await?
                } else {
                    self.forget_merge(&repo.path, number).await?
                }
            }
            self.sync(&repo.path, Cause::Restart).await?;
        }
        Ok(())
    }

    async fn intents(&self, repo_id: i64) -> Result<Vec<(u64, CommitId)>> {
        self.inner
            .database
            .read(move |db| {
                let mut query =
                    db.prepare("SELECT number, intent_sha FROM pulls WHERE repo_id = ?1 AND intent_sha IS NOT NULL")?;
                let rows =
                    query.query_and_then([repo_id], |row| Ok((row.get(0)?, row.get::<_, String>(1)?.parse()?)))?;
                rows.collect()
            })
            .await
    }

    async fn sync(&self, path: &RepoPath, cause: Cause) -> Result<()> {
        for _ in 0..ROUNDS_MAX {
            let open = self.pulls(path, PullFilter { open: Some(true), ..PullFilter::default() }).await?;
            if open.is_empty() {
                return Ok(());
            }
            let tips: HashMap<BranchName, CommitId> =
                self.branches(path).await?.into_iter().map(|branch| (branch.name, branch.tip)).collect();
            let mut lost_race = false;
            for pull in open {
                if let Some(news) = self.news(path, &pull, &tips).await? {
                    lost_race |= !self.take_in(path, &pull, news, &cause).await?;
                }
            }
            if !lost_race {
                return Ok(());
            }
        }
        tracing::warn!(repo = %path, "pull requests keep moving; they will be looked at again after the next push");
        Ok(())
    }

    async fn news(&self, path: &RepoPath, pull: &Pull, tips: &HashMap<BranchName, CommitId>) -> Result<Option<News>> {
        let (Some(head), Some(base)) = (tips.get(&pull.head.0), tips.get(&pull.base.0)) else {
            return Ok(Some(News::BranchGone));
        };
        if *head == pull.head.1 && *base == pull.base.1 {
            return Ok(None);
        }
        // Somebody pushed the work to the base branch by hand.
        if *base != pull.base.1 && self.is_ancestor(path, head, base).await? {
            return Ok(Some(News::Merged));
        }
        Ok(Some(News::Moved { head: head.clone(), base: base.clone() }))
    }

    /// Writes what was found, unless the row changed meanwhile (then false). A pull request in the middle of a merge is left to
    /// the merge.
    async fn take_in(&self, path: &RepoPath, pull: &Pull, news: News, cause: &Cause) -> Result<bool> {
        if let News::Moved { head, .. } = &news {
            self.keep_head(path, pull.number, head).await?;
        }
        let (pull, cause) = (pull.clone(), cause.clone());
        self.write(move |tx| {
            if let Cause::Push(user) = &cause {
                remember(tx, user)?;
            }
            let mut query = tx.prepare_cached("SELECT intent_sha IS NOT NULL FROM pulls WHERE id = ?1")?;
            if query.query_row([pull.id], |row| row.get(0))? {
                return Ok(true);
            }
            let now = now_ms();
            let as_seen = "WHERE id = ?1 AND state = 'open' AND head_sha = ?2 AND base_sha = ?3";
            let (old_head, old_base) = (pull.head.1.as_str(), pull.base.1.as_str());
            let (rows, kind) = match news {
                News::BranchGone => {
                    let sql = format!("UPDATE pulls SET state = 'closed', closed_ms = ?4, updated_ms = ?4 {as_seen}");
                    (tx.execute(&sql, (pull.id, old_head, old_base, now))?, Some(ChangeKind::Closed))
                }
                News::Merged => {
                    let by = match cause.actor() {
                        Actor::Person(id) => Some(id),
                        Actor::Nobody => None,
                    };
                    let sql = format!(
                        "UPDATE pulls SET state = 'closed', closed_ms = ?4, merged_ms = ?4, updated_ms = ?4, merged_by = ?5, merge_sha = head_sha {as_seen}"
                    );
                    let merged = ChangeKind::Merged { sha: pull.head.1.clone() };
                    (tx.execute(&sql, (pull.id, old_head, old_base, now, by))?, Some(merged))
                }
                News::Moved { head, base } => {
                    let sql = format!("UPDATE pulls SET head_sha = ?4, base_sha = ?5, updated_ms = ?6 {as_seen}");
                    let rows = tx.execute(&sql, (pull.id, old_head, old_base, head.as_str(), base.as_str(), now))?;
                    let moved = head != pull.head.1;
                    (rows, moved.then(|| ChangeKind::Synchronised { before: pull.head.1.clone(), after: head }))
                }
            };
            if rows == 1
                && let Some(kind) = kind
            {
                record(tx, pull.repo_id, Subject::Pull(pull.number), cause.actor(), &kind)?;
            }
            debug_assert!(pull.state == PullState::Open);
            Ok(rows == 1)
        })
        .await
    }
}
