//! How owners, modes and attributes of a layer lie on disk.

use std::borrow::Cow;

use crate::oci::limits::IDS;

/// What becomes of owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// hangar runs as root: id N inside is `first + N` on disk. No such id owns anything else on the machine.
    Range {
        /// The id on disk of the sandbox's root.
        first: u32,
    },
    /// hangar runs as an ordinary user, to whom every file belongs.
    Everything,
}

/// Set-user-id and set-group-id. No sandbox heeds them, and on the host they would be heeded: files lose them. Directories keep theirs, which
/// only says whose group new files have.
const SET_ID_BITS: u32 = 0o6000;
/// Access control lists.
const LISTS: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];

impl Owners {
    /// How hangar's layers lie on disk, by the rights of this process.
    #[must_use]
    pub fn detect() -> Self {
        match hangar_sandbox::Rights::detect() {
            hangar_sandbox::Rights::Root => Self::Range { first: hangar_sandbox::DISK_IDS_FIRST },
            hangar_sandbox::Rights::Rootless => Self::Everything,
        }
    }

    /// What files of the layer belong to, or `None` to leave them to whoever makes them.
    pub(crate) fn on_disk(self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        match self {
            Self::Range { first } => Some((first + uid, first + gid)),
            Self::Everything => None,
        }
    }

    /// The id inside of an id on disk. Ids out of the range are shown as root's: only overlayfs makes such files, for itself.
    pub(crate) fn inside(self, id: u32) -> u32 {
        match self {
            Self::Range { first } => id.checked_sub(first).filter(|id| u64::from(*id) < IDS).unwrap_or(0),
            Self::Everything => 0,
        }
    }

    /// The mode of a file on disk. As an ordinary user, it must stay within that user's reach.
    pub(crate) fn file_mode(self, mode: u32) -> u32 {
        match self {
            Self::Range { .. } => mode & !SET_ID_BITS,
            Self::Everything => mode & !SET_ID_BITS | 0o400,
        }
    }

    /// The same for a directory.
    pub(crate) fn directory_mode(self, mode: u32) -> u32 {
        match self {
            Self::Range { .. } => mode,
            Self::Everything => mode | 0o700,
        }
    }

    /// How overlayfs marks a directory that hides those below.
    pub(crate) fn opaque(self) -> &'static str {
        match self {
            Self::Range { .. } => "trusted.overlay.opaque",
            Self::Everything => "user.overlay.opaque",
        }
    }

    /// How overlayfs notes where a renamed directory was.
    pub(crate) fn redirect(self) -> &'static str {
        match self {
            Self::Range { .. } => "trusted.overlay.redirect",
            Self::Everything => "user.overlay.redirect",
        }
    }

    /// An attribute as it is stored, if a layer may have it: those of users, and access control lists.
    pub(crate) fn xattr<'a>(self, name: &str, value: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match self {
            _ if name.starts_with("user.") && !name.starts_with("user.overlay.") => Some(value.into()),
            Self::Range { first } if LISTS.contains(&name) => {
                list_with(value, |id| (u64::from(id) < IDS).then_some(first + id))
            }
            Self::Range { .. } | Self::Everything => None,
        }
    }

    /// An attribute as it is given out, if at all.
    pub(crate) fn xattr_out<'a>(self, name: &str, value: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match self {
            _ if name.starts_with("user.") && !name.starts_with("user.overlay.") => Some(value.into()),
            Self::Range { first } if LISTS.contains(&name) => list_with(value, |id| id.checked_sub(first)),
            Self::Range { .. } | Self::Everything => None,
        }
    }
}

/// An access control list with other ids. `None` when it does not look like one.
///
/// The layout is `struct posix_acl_xattr_header` and `…_entry` of the kernel: a version, then tag, permissions and id of each entry, little-endian.
fn list_with(value: &[u8], id: impl Fn(u32) -> Option<u32>) -> Option<Cow<'_, [u8]>> {
    const VERSION: [u8; 4] = [2, 0, 0, 0];
    const USER: [u8; 2] = [2, 0];
    const GROUP: [u8; 2] = [8, 0];
    let (entries, []) = value.strip_prefix(&VERSION)?.as_chunks::<8>() else { return None };
    let mut list = VERSION.to_vec();
    for [tag @ .., a, b, c, d] in entries {
        let ids = u32::from_le_bytes([*a, *b, *c, *d]);
        let named = tag.starts_with(&USER) || tag.starts_with(&GROUP);
        list.extend(tag);
        list.extend((if named { id(ids)? } else { ids }).to_le_bytes());
    }
    Some(list.into())
}
