//! Who sees new sessions, and how long deleted ones are kept.

use hangar_protocol::Visibility;

use super::{Shape, keys::section};

section! {
    /// `[sessions]`: who sees new sessions, and how long deleted ones are kept.
    SessionsConfig in "sessions" {
        /// Who sees a session unless whoever begins it says otherwise: `team` is everybody of this server, `private` its members alone.
        visibility: Visibility = Visibility::Team, Shape::Choice(&["team", "private"]);
        /// How long a deleted session can be taken back before it is removed for good; 0 removes it at once.
        restorable_hours: u32 = 168, Shape::Number("hours");
    }
}
