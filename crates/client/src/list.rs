//! The list of sessions, a page at a time.

use hangar_protocol::{RepoPath, SessionId, api::SessionSummary, state::SessionStatus};
use reqwest::Method;

use crate::{
    client::{Client, Pace},
    error::Error,
};

/// Which sessions. The default is the newest page of those that are neither archived nor deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// How many at most; `None` for the server's default.
    pub limit: Option<u32>,
    /// The page after the one that ended with this session.
    pub after: Option<SessionSummary>,
    /// Only those that one began or has a role of one's own in.
    pub mine: bool,
    /// Those that were put away, instead of the others.
    pub archived: bool,
    /// Those that were deleted, instead of the others.
    pub deleted: bool,
    /// Also private sessions of others. Owners of the server only.
    pub everybody: bool,
    /// Only those on this repository.
    pub repo: Option<RepoPath>,
    /// Only those that are doing this.
    pub status: Option<SessionStatus>,
    /// Only those whose id begins so; archived and deleted ones too.
    pub prefix: Option<SessionId>,
}

impl SessionFilter {
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        all.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        all.extend(self.after.as_ref().map(|last| ("before", format!("{}.{}", last.updated_ms, last.id))));
        let flags = [
            ("mine", self.mine),
            ("archived", self.archived),
            ("deleted", self.deleted),
            ("everybody", self.everybody),
        ];
        all.extend(flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| (name, "true".to_owned())));
        all.extend(self.repo.as_ref().map(|repo| ("repo", repo.to_string())));
        let status = self.status.and_then(|status| serde_json::to_value(status).ok());
        all.extend(status.and_then(|status| Some(("status", status.as_str()?.to_owned()))));
        all.extend(self.prefix.as_ref().map(|prefix| ("prefix", prefix.to_string())));
        all
    }
}

impl Client {
    /// `GET /sessions`: a page of the sessions this person may see, newest first.
    pub async fn list_sessions(&self, filter: &SessionFilter) -> Result<Vec<SessionSummary>, Error> {
        let request = self.request(Method::GET, "/api/v1/sessions").query(&filter.parameters());
        self.json(self.send(request, Pace::Ordinary).await?).await
    }

    /// `GET /sessions`: the newest page of them.
    pub async fn sessions(&self) -> Result<Vec<SessionSummary>, Error> {
        self.list_sessions(&SessionFilter::default()).await
    }
}
