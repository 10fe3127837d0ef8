//! What a person is told of who takes part in a session, and of its being put away or deleted.

use hangar_protocol::{Cause, EventBody, Visibility};

use crate::cli::words;

/// The line of such an event; `None` for every other.
pub(super) fn told(cause: &Cause, body: &EventBody) -> Option<String> {
    let by = match cause {
        Cause::User { user } => user.to_string(),
        Cause::Turn { .. } | Cause::Sandbox | Cause::Forge | Cause::System => "hangar".to_owned(),
    };
    Some(match body {
        EventBody::MemberAdded { person, role, invitation: None } => {
            format!("{by} made {} a {}", person.user, role.word())
        }
        EventBody::MemberAdded { person, role, invitation: Some(_) } => {
            format!("{} accepted {by}'s invitation and is a {}", person.user, role.word())
        }
        EventBody::RoleChanged { user, role, invitation: None } => format!("{by} made {user} a {}", role.word()),
        EventBody::RoleChanged { user, role, invitation: Some(_) } => {
            format!("{user} accepted {by}'s invitation and is a {}", role.word())
        }
        EventBody::MemberRemoved { user } if user.as_str() == by => format!("{by} left"),
        EventBody::MemberRemoved { user } => format!("{by} removed {user}"),
        EventBody::OwnershipTaken { person } => {
            format!("{} took ownership, as an owner of the server", person.user)
        }
        EventBody::VisibilityChanged { visibility: Visibility::Private } => {
            format!("{by} made the session private: its members alone see it")
        }
        EventBody::VisibilityChanged { visibility: Visibility::Team } => {
            format!("{by} opened the session to everybody of the server")
        }
        EventBody::InvitationMade { invitation, role, expires_ms, .. } => {
            format!("{by} made invitation {invitation} (a {}, until {})", role.word(), words::date(*expires_ms))
        }
        EventBody::InvitationRevoked { invitation } => format!("{by} took invitation {invitation} back"),
        EventBody::SessionArchived => format!("{by} archived the session"),
        EventBody::SessionUnarchived => format!("{by} took the session out of the archive"),
        EventBody::SessionDeleted { by, purge_ms } => {
            format!("{by} deleted the session; it can be taken back until {}", words::date(*purge_ms))
        }
        EventBody::SessionRestored => format!("{by} took the deleted session back"),
        _ => return None,
    })
}
