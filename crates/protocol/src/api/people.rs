//! Who takes part in a session: members, invitations, visibility.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::{
    ids::{RepoPath, SessionId, UserId},
    people::{InvitationId, SessionRole, Visibility},
};

/// `PUT /sessions/{id}/members/{user}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleWish {
    /// What they may do from now on.
    pub role: SessionRole,
}

/// `PUT /sessions/{id}/visibility`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisibilityWish {
    /// Who may see the session from now on.
    pub visibility: Visibility,
}

/// `POST /sessions/{id}/invitations`: a link by which people become members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// What whoever accepts it may do.
    pub role: SessionRole,
    /// How long it works, in seconds, at most 30 days; `None` for 7 days.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2592000)]
    pub expires_in_s: Option<u32>,
}

/// An invitation as it is listed: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct InvitationInfo {
    /// Its number.
    pub id: InvitationId,
    /// What whoever accepts it may do.
    pub role: SessionRole,
    /// Who invites.
    pub by: UserId,
    /// When it stops working: milliseconds since 1970-01-01 UTC.
    #[ts(type = "number")]
    pub expires_ms: u64,
}

/// An invitation, the one time its link is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct NewInvitationLink {
    /// As it will be listed.
    #[serde(flatten)]
    pub info: InvitationInfo,
    /// Open it in a browser, or give it to `hangar join`. Whoever has it and is a user of the server can accept it.
    pub url: String,
}

/// What stands behind the `#` of an invitation's link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationSecret {
    /// 64 hex digits.
    #[schema(max_length = 64)]
    pub secret: String,
}

/// `POST /sessions/{id}/invitations/look`: what one is invited to, before one accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct InvitationView {
    /// The session.
    pub session: SessionId,
    /// Its title.
    pub title: String,
    /// The repository it works on.
    pub repo: RepoPath,
    /// Who invites.
    pub by: UserId,
    /// What one may do there once one has accepted.
    pub role: SessionRole,
    /// What one may do there already.
    pub has: Option<SessionRole>,
    /// When the invitation stops working: milliseconds since 1970-01-01 UTC.
    #[ts(type = "number")]
    pub expires_ms: u64,
}

/// `POST /sessions/{id}/join`: the invitation was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Joined {
    /// The session.
    pub session: SessionId,
    /// What one may do there now.
    pub role: SessionRole,
}
