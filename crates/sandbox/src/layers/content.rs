//! What may be in a layer, and what is cleaned away when it is sealed.
//!
//! | found | what becomes of it |
//! | --- | --- |
//! | files, directories, symbolic links, pipes, hard links, whiteouts | kept |
//! | `user.*` attributes, access control lists | kept |
//! | the overlay's `opaque` and `redirect` | kept: they say what is hidden and what was renamed |
//! | the overlay's other notes (`origin` names the host's file system), `trusted.*`, file capabilities | removed |
//! | set-user-id and set-group-id bits of files | removed: no sandbox heeds them, and on the host they would be heeded |
//! | sockets | removed: nobody listens any more |
//! | labels of the host's security modules | left alone, not part of the id |
//! | device files, files of the host's users, files with another name outside of the tree | refused |

use std::ffi::CStr;

use rustix::fs::{FileType, Stat};

use super::owners::{Owners, Who};

/// Set-user-id and set-group-id.
pub(super) const SET_ID_BITS: u32 = 0o6000;

/// What something in a tree is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    Directory,
    File,
    Symlink,
    Pipe,
    /// "Deleted": hides what lower layers have under this name.
    Whiteout,
    Socket,
    Device,
}

impl Thing {
    pub(super) fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Self::Directory,
            FileType::RegularFile => Self::File,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Pipe,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice if stat.st_rdev == 0 => Self::Whiteout,
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => Self::Device,
        }
    }
}

/// How many names a file has.
#[allow(clippy::useless_conversion, reason = "the type is not the same on every processor")]
pub(super) fn names(stat: &Stat) -> u64 {
    u64::from(stat.st_nlink)
}

/// What becomes of an extended attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Part of the layer.
    Keep,
    /// An access control list: part of the layer, with ids as seen inside.
    KeepIds,
    /// The overlay's: this directory hides what lower layers have.
    Opaque,
    /// The overlay's: this directory had another name in lower layers.
    Redirect,
    /// Removed.
    Clean,
    /// The host's affair.
    Ignore,
    /// Not to be had in a layer.
    Refuse(&'static str),
}

/// What becomes of the attribute `name`.
pub(super) fn fate(name: &CStr, owners: Owners) -> Fate {
    let name = name.to_str().unwrap_or_default();
    if let Some(note) = name.strip_prefix(owners.overlay_prefix()) {
        return match note {
            "opaque" => Fate::Opaque,
            "redirect" => Fate::Redirect,
            "metacopy" => Fate::Refuse("its content is in another layer (an overlay's `metacopy`)"),
            "whiteout" => Fate::Refuse("it is a whiteout of a kind that hangar does not make"),
            _ => Fate::Clean,
        };
    }
    match name {
        "system.posix_acl_access" | "system.posix_acl_default" => Fate::KeepIds,
        // Those of the other kind of overlay mean nothing here, and would elsewhere.
        _ if name.starts_with("user.overlay.") || name.starts_with("trusted.") => Fate::Clean,
        "security.capability" => Fate::Clean,
        _ if name.starts_with("user.") => Fate::Keep,
        _ => Fate::Ignore,
    }
}

/// What the overlay means by its attribute `opaque`.
pub(super) const OPAQUE: &[u8] = b"y";

/// An access control list with ids as a sandbox sees them. `None` when it does not look like one or names an id of the host.
///
/// The layout is `struct posix_acl_xattr_header` and `…_entry` of the kernel: a version, then tag, permissions and id of each entry, little-endian.
pub(super) fn list_as_inside(value: &[u8], owners: Owners) -> Option<Vec<u8>> {
    const VERSION: [u8; 4] = [2, 0, 0, 0];
    const USER: u16 = 2;
    const GROUP: u16 = 8;
    let mut inside = value.strip_prefix(&VERSION)?.to_vec();
    if inside.len() % 8 != 0 {
        return None;
    }
    for entry in inside.chunks_exact_mut(8) {
        let who = match u16::from_le_bytes([entry[0], entry[1]]) {
            USER => Who::User,
            GROUP => Who::Group,
            _ => continue,
        };
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        entry[4..].copy_from_slice(&owners.inside(who, id)?.to_le_bytes());
    }
    Some(inside)
}
