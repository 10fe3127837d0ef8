//! Whose files they are: ids as they lie on disk, and as a sandbox sees them.

use hangar_protocol::guest::AGENT_ID;
use rustix::{
    fs::{Gid, Uid},
    process::{getegid, geteuid},
};

use crate::{ids::IdRange, namespace::rights::Rights};

/// How owners on disk and inside belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owners {
    /// As root: id N inside is `IdRange::DISK.first` + N on disk.
    Range,
    /// As an ordinary user: everything is that user's and appears as the agent's.
    Single {
        /// The user.
        uid: u32,
        /// The user's group.
        gid: u32,
    },
}

/// A user or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A user.
    User,
    /// A group.
    Group,
}

impl Owners {
    pub(super) fn detect() -> Self {
        match Rights::detect() {
            Rights::Root => Self::Range,
            Rights::Rootless => Self::Single { uid: geteuid().as_raw(), gid: getegid().as_raw() },
        }
    }

    /// What a sandbox sees. `None`: the id belongs to somebody on the host.
    pub(super) fn inside(self, who: Who, on_disk: u32) -> Option<u32> {
        match (self, who) {
            (Self::Range, _) => on_disk.checked_sub(IdRange::DISK.first).filter(|id| *id < IdRange::IDS),
            (Self::Single { uid: own, .. }, Who::User) | (Self::Single { gid: own, .. }, Who::Group) => {
                (on_disk == own).then_some(AGENT_ID)
            }
        }
    }

    /// What `id` of a sandbox is on disk.
    pub(super) fn on_disk(self, who: Who, id: u32) -> u32 {
        match (self, who) {
            (Self::Range, _) => IdRange::DISK.first + id.min(IdRange::IDS - 1),
            (Self::Single { uid, .. }, Who::User) => uid,
            (Self::Single { gid, .. }, Who::Group) => gid,
        }
    }

    /// The owner and group on disk of the agent's files.
    pub(super) fn agent(self) -> (Uid, Gid) {
        (Uid::from_raw(self.on_disk(Who::User, AGENT_ID)), Gid::from_raw(self.on_disk(Who::Group, AGENT_ID)))
    }

    /// How overlayfs names its notes in extended attributes.
    pub(super) fn overlay_prefix(self) -> &'static str {
        match self {
            Self::Range => "trusted.overlay.",
            Self::Single { .. } => "user.overlay.",
        }
    }
}
