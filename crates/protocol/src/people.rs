//! People in a session: what each may do there, who may see it at all, and the links that let somebody in.
//!
//! ```text
//!   viewer ──▶ prompter ──▶ owner        each may do what those before it may
//! ```
//!
//! In a team session everybody of the server is at least a prompter; a private one is seen by its members alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::{ids::UserId, state::SessionState};

/// What somebody may do in a session. Ordered: a later one may do what the earlier ones may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionRole {
    /// Read everything.
    Viewer,
    /// Prompt, stop, open pull requests; change one's own prompts.
    Prompter,
    /// Everything: other people's prompts, roles, invitations, visibility, archive, delete.
    Owner,
}

impl SessionRole {
    /// The role as the API and the command line spell it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Prompter => "prompter",
            Self::Owner => "owner",
        }
    }
}

/// Who may see a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Everybody of the server, and everybody may prompt.
    #[default]
    Team,
    /// Its members.
    Private,
}

impl Visibility {
    /// The visibility as the API and the command line spell it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Team => "team",
            Self::Private => "private",
        }
    }

    /// What somebody may do who is no member.
    #[must_use]
    pub fn role_of_everybody(self) -> Option<SessionRole> {
        match self {
            Self::Team => Some(SessionRole::Prompter),
            Self::Private => None,
        }
    }
}

/// An invitation of a session, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS, ToSchema)]
#[serde(transparent)]
pub struct InvitationId(pub u32);

impl std::fmt::Display for InvitationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A link that lets people in, as the state remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct InvitationState {
    /// Its number.
    pub id: InvitationId,
    /// What whoever accepts it may do.
    pub role: SessionRole,
    /// Who invites.
    pub by: UserId,
    /// SHA-256 of the link's secret, 64 hex digits. The secret itself is kept nowhere.
    pub hash: String,
    /// When it stops working: milliseconds since 1970-01-01 UTC, by the server's clock.
    #[ts(type = "number")]
    pub expires_ms: u64,
}

/// A session that was deleted and can still be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Deletion {
    /// Who deleted it.
    pub by: UserId,
    /// When: milliseconds since 1970-01-01 UTC.
    #[ts(type = "number")]
    pub deleted_ms: u64,
    /// From when on it is removed for good, likewise.
    #[ts(type = "number")]
    pub purge_ms: u64,
}

/// What `user` may do where these are the members; `None`: nothing, not even know that there is a session.
#[must_use]
pub fn role_in(visibility: Visibility, members: &BTreeMap<UserId, SessionRole>, user: &UserId) -> Option<SessionRole> {
    members.get(user).copied().max(visibility.role_of_everybody())
}

impl SessionState {
    /// What somebody may do here; `None`: nothing, not even know that the session exists.
    #[must_use]
    pub fn role_of(&self, user: &UserId) -> Option<SessionRole> {
        role_in(self.visibility, &self.members, user)
    }

    /// The session's owners.
    pub fn owners(&self) -> impl Iterator<Item = &UserId> {
        self.members.iter().filter(|(_, role)| **role == SessionRole::Owner).map(|(user, _)| user)
    }

    /// Somebody has this role from now on. A link that made an owner does not make another.
    pub(crate) fn admit(&mut self, user: &UserId, role: SessionRole, invitation: Option<InvitationId>) {
        self.members.insert(user.clone(), role);
        self.invitations.retain(|known| Some(known.id) != invitation || known.role != SessionRole::Owner);
    }

    /// Remembers an invitation, and forgets those that have expired: they are of no use to anybody.
    pub(crate) fn note_invitation(&mut self, invitation: InvitationState) {
        let now_ms = self.updated_ms;
        self.invitations_made = self.invitations_made.max(invitation.id.0);
        self.invitations.retain(|known| known.expires_ms > now_ms);
        self.invitations.push(invitation);
    }
}
