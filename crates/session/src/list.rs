//! Which sessions a list shows: a page of those that fit, newest first.

use hangar_protocol::{
    RepoPath, SessionId, UserId, api::SessionSummary, limits::SESSION_PAGE_MAX, state::SessionStatus,
};
use hangar_store::{StoreError, rusqlite};

use crate::index::Index;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionQuery {
    /// At most so many, and no more than [`SESSION_PAGE_MAX`].
    pub limit: u32,
    /// Only what comes after this one in the list; `None` for the first page.
    pub before: Option<Before>,
    /// Only what this person may see; `None` for all there are.
    pub seen_by: Option<UserId>,
    /// Only what this person began or has a role of their own in.
    pub of: Option<UserId>,
    /// Where.
    pub shelf: Shelf,
    /// Only those on this repository.
    pub repo: Option<RepoPath>,
    /// Only those that are doing this.
    pub status: Option<SessionStatus>,
    /// Only those whose id begins so.
    pub prefix: Option<SessionId>,
}

impl SessionQuery {
    /// What a list shows to somebody who asks for nothing in particular.
    #[must_use]
    pub fn newest_for(user: &UserId) -> Self {
        Self {
            limit: SESSION_PAGE_MAX,
            before: None,
            seen_by: Some(user.clone()),
            of: None,
            shelf: Shelf::Current,
            repo: None,
            status: None,
            prefix: None,
        }
    }
}

/// Where a page ended: the last session on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// When something had last happened in it: milliseconds since 1970-01-01 UTC.
    pub updated_ms: u64,
    /// Its id.
    pub id: SessionId,
}

/// Which sessions are looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// Those that are neither archived nor deleted.
    Current,
    /// Those that were put away.
    Archived,
    /// Those that were deleted and can still be taken back.
    Deleted,
    /// All of them.
    Any,
}

impl Shelf {
    fn word(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Archived => "archived",
            Self::Deleted => "deleted",
            Self::Any => "any",
        }
    }
}

const SELECT: &str = r#"
SELECT summary FROM session WHERE
  (:seen_by IS NULL OR summary ->> '$.visibility' = 'team'
    OR summary -> ('$.members."' || :seen_by || '"') IS NOT NULL)
  AND (:of IS NULL OR summary ->> '$.owner' = :of OR summary -> ('$.members."' || :of || '"') IS NOT NULL)
  AND (:shelf = 'any' OR :shelf = CASE
    WHEN summary ->> '$.deleted' IS NOT NULL THEN 'deleted'
    WHEN summary ->> '$.archived_ms' IS NOT NULL THEN 'archived'
    ELSE 'current' END)
  AND (:repo IS NULL OR summary ->> '$.repo' = :repo)
  AND (:status IS NULL OR summary ->> '$.status' = :status)
  AND (:prefix IS NULL OR substr(id, 1, length(:prefix)) = :prefix)
  AND (:before_ms IS NULL OR (updated_ms, id) < (:before_ms, :before_id))
ORDER BY updated_ms DESC, id DESC LIMIT :limit"#;

/// Which of the deleted ones is removed next, and when.
const NEXT_REMOVED: &str = "
SELECT id, summary ->> '$.deleted.purge_ms' AS purge_ms FROM session WHERE purge_ms IS NOT NULL ORDER BY purge_ms LIMIT 1";

impl Index {
    /// A page of the sessions that fit.
    pub(crate) async fn list(&self, query: SessionQuery) -> Result<Vec<SessionSummary>, StoreError> {
        let read = move |connection: &rusqlite::Connection| {
            let mut statement = connection.prepare_cached(SELECT)?;
            let status = query.status.and_then(|status| serde_json::to_value(status).ok());
            let parameters = rusqlite::named_params! {
                ":seen_by": query.seen_by.as_ref().map(UserId::as_str),
                ":of": query.of.as_ref().map(UserId::as_str),
                ":shelf": query.shelf.word(),
                ":repo": query.repo.as_ref().map(RepoPath::to_string),
                ":status": status.as_ref().and_then(serde_json::Value::as_str),
                ":prefix": query.prefix.as_ref().map(SessionId::as_str),
                ":before_ms": query.before.as_ref().map(|before| i64::try_from(before.updated_ms).unwrap_or(i64::MAX)),
                ":before_id": query.before.as_ref().map(|before| before.id.as_str()),
                ":limit": query.limit.min(SESSION_PAGE_MAX),
            };
            statement.query_map(parameters, |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
        };
        let rows = self.database().read(read).await?;
        Ok(rows.iter().filter_map(|json| serde_json::from_str(json).ok()).collect())
    }

    /// The deleted session whose time comes next, and when that is.
    pub(crate) async fn next_removed(&self) -> Result<Option<(SessionId, u64)>, StoreError> {
        let read = |connection: &rusqlite::Connection| {
            use rusqlite::OptionalExtension as _;
            connection
                .query_row(NEXT_REMOVED, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
                .optional()
        };
        let found = self.database().read(read).await?;
        Ok(found.and_then(|(id, purge_ms)| Some((SessionId::try_from(id).ok()?, purge_ms.unsigned_abs()))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use std::collections::BTreeMap;

    use hangar_protocol::{SessionRole, Visibility, people::Deletion};
    use hangar_store::Writers;

    use super::*;
    use crate::index::{From, Step};

    fn any() -> SessionQuery {
        SessionQuery {
            limit: 10,
            before: None,
            seen_by: None,
            of: None,
            shelf: Shelf::Current,
            repo: None,
            status: None,
            prefix: None,
        }
    }

    fn session(id: &str, updated_ms: u64) -> SessionSummary {
        SessionSummary {
            id: id.parse().unwrap(),
            repo: "acme/web".parse().unwrap(),
            title: id.to_owned(),
            owner: "ann".parse().unwrap(),
            status: SessionStatus::Idle,
            created_ms: 0,
            updated_ms,
            pull_request: None,
            visibility: Visibility::Team,
            members: BTreeMap::from([("ann".parse().unwrap(), SessionRole::Owner)]),
            archived_ms: None,
            deleted: None,
            parent: None,
            damaged: None,
            found: None,
        }
    }

    async fn filled(folder: &std::path::Path) -> Index {
        let index = Index::open(&Writers::start().unwrap(), folder).await.unwrap();
        let bob = || BTreeMap::from([("bob".parse().unwrap(), SessionRole::Viewer)]);
        let deleted = Deletion { by: "ann".parse().unwrap(), deleted_ms: 1, purge_ms: 99 };
        for summary in [
            session("team1", 10),
            SessionSummary { visibility: Visibility::Private, members: bob(), ..session("secret2", 20) },
            SessionSummary { archived_ms: Some(5), ..session("away3", 30) },
            SessionSummary { deleted: Some(deleted), archived_ms: Some(5), ..session("gone4", 40) },
            SessionSummary { repo: "acme/app".parse().unwrap(), status: SessionStatus::Merged, ..session("team5", 40) },
        ] {
            index.step(Step { from: From::Scratch, events: Vec::new(), summary }).await.unwrap();
        }
        index
    }

    #[tokio::test]
    async fn every_filter_leaves_what_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let index = filled(folder.path()).await;
        let (bob, cy) = (Some("bob".parse().unwrap()), Some("cy".parse().unwrap()));
        let check = async |query: SessionQuery, expected: &str| {
            let found = index.list(query.clone()).await.unwrap();
            let found: Vec<&str> = found.iter().map(|summary| summary.id.as_str()).collect();
            assert_eq!(found.join(" "), expected, "{query:?}");
        };
        check(any(), "team5 secret2 team1").await;
        check(SessionQuery { shelf: Shelf::Any, ..any() }, "team5 gone4 away3 secret2 team1").await;
        check(SessionQuery { shelf: Shelf::Archived, ..any() }, "away3").await;
        check(SessionQuery { shelf: Shelf::Deleted, ..any() }, "gone4").await;
        check(SessionQuery { seen_by: bob.clone(), ..any() }, "team5 secret2 team1").await;
        check(SessionQuery { seen_by: cy.clone(), ..any() }, "team5 team1").await;
        check(SessionQuery { of: bob, ..any() }, "secret2").await;
        check(SessionQuery { of: cy, ..any() }, "").await;
        check(SessionQuery { repo: Some("acme/app".parse().unwrap()), ..any() }, "team5").await;
        check(SessionQuery { status: Some(SessionStatus::Idle), ..any() }, "secret2 team1").await;
        check(SessionQuery { prefix: Some("team".parse().unwrap()), ..any() }, "team5 team1").await;
        assert_eq!(index.next_removed().await.unwrap(), Some(("gone4".parse().unwrap(), 99)));
    }

    #[tokio::test]
    async fn pages_leave_nothing_out_where_times_are_equal() {
        let folder = tempfile::tempdir().unwrap();
        let index = filled(folder.path()).await;
        let (mut before, mut found) = (None, Vec::new());
        loop {
            let query = SessionQuery { limit: 1, shelf: Shelf::Any, before: before.take(), ..any() };
            let Some(last) = index.list(query).await.unwrap().pop() else { break };
            before = Some(Before { updated_ms: last.updated_ms, id: last.id.clone() });
            found.push(last.id.to_string());
        }
        assert_eq!(found, ["team5", "gone4", "away3", "secret2", "team1"]);
    }
}
