//! Gives a tree that the host made to a sandbox: afterwards its files belong to ids of the disk range.

use std::{
    collections::HashMap,
    ffi::CStr,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, Gid, Uid, chownat, linkat, renameat, unlinkat};

use super::{
    beneath,
    content::{Thing, names},
    copy::{Marks, copy_thing},
    error::LayerError,
    owners::{Owners, Who},
    store::LayerStore,
    walk::{Seen, walk},
};

/// Whose the files of an adopted tree become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Everything becomes the agent's, whoever had it: for a clone or another directory of a person.
    ToAgent,
    /// Id N of the host becomes id N inside, 0 to 65535: for a root file system made by a package manager.
    IdById,
}

impl LayerStore {
    /// Makes the files of a host-made tree belong to a sandbox, so that it can be sealed. Device files and sockets are removed; a file that has another name outside of
    /// the tree (as `git clone` makes them) is replaced by a copy, so that nothing outside changes.
    ///
    /// Doing it again, also after an interruption, is fine. Nothing may write to the tree meanwhile. Blocks.
    ///
    /// # Errors
    /// When an id does not fit, a limit is exceeded, or the disk is full. As an ordinary user: when a file is somebody else's.
    pub fn adopt(&self, tree: &Path, given: Given) -> Result<(), LayerError> {
        let owners = self.owners();
        let root = beneath::root(tree).map_err(LayerError::at("open", tree))?;
        // For files with several names: how many are still to be found. Looked up ahead, because the number falls as names are replaced.
        let mut missing: HashMap<u64, u64> = HashMap::new();
        walk(&root, &mut |seen| {
            if has_names(seen) {
                *missing.entry(seen.stat.st_ino).or_insert(names(&seen.stat)) -= 1;
            }
            Ok(())
        })?;
        missing.retain(|_, missing| *missing > 0);
        // Where the copies of files with names outside are.
        let mut copies: HashMap<u64, PathBuf> = HashMap::new();
        walk(&root, &mut |seen| {
            if let Thing::Device | Thing::Socket = seen.thing {
                return unlinkat(seen.parent, seen.name, AtFlags::empty()).map_err(LayerError::at("remove", seen.path));
            }
            if !missing.contains_key(&seen.stat.st_ino) {
                return give(seen, given, owners, seen.parent, seen.name);
            }
            separate(seen, &root, copies.get(&seen.stat.st_ino), owners, given)?;
            copies.entry(seen.stat.st_ino).or_insert_with(|| seen.path.to_owned());
            Ok(())
        })
    }
}

/// Whether it may have several names.
fn has_names(seen: &Seen<'_>) -> bool {
    matches!(seen.thing, Thing::File | Thing::Symlink | Thing::Pipe) && names(&seen.stat) > 1
}

/// A name that no tree has: it is being replaced.
const REPLACEMENT: &CStr = c".hangar-replacement";

/// Replaces a name of a shared file by a name of a copy of it.
fn separate(
    seen: &Seen<'_>,
    root: &impl AsFd,
    copied: Option<&PathBuf>,
    owners: Owners,
    given: Given,
) -> Result<(), LayerError> {
    // What an interrupted attempt left.
    let _ = unlinkat(seen.parent, REPLACEMENT, AtFlags::empty());
    match copied {
        None => {
            copy_thing(seen.parent, seen.name, &seen.stat, seen.parent, REPLACEMENT, Marks::Copied(owners), seen.path)?;
            give(seen, given, owners, seen.parent, REPLACEMENT)?;
        }
        Some(first) => {
            let (directory, name) = split(first);
            let parent = if directory.as_os_str().is_empty() {
                beneath::directory(root, c".")
            } else {
                beneath::directory(root, directory)
            };
            let parent = parent.map_err(LayerError::at("open", directory))?;
            linkat(parent, name, seen.parent, REPLACEMENT, AtFlags::empty())
                .map_err(LayerError::at("link", seen.path))?;
        }
    }
    renameat(seen.parent, REPLACEMENT, seen.parent, seen.name).map_err(LayerError::at("replace", seen.path))
}

/// A path's directory and its last name.
pub(super) fn split(path: &Path) -> (&Path, &std::ffi::OsStr) {
    (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_else(|| std::ffi::OsStr::from_bytes(b".")))
}

fn give(seen: &Seen<'_>, given: Given, owners: Owners, at: impl AsFd, name: &CStr) -> Result<(), LayerError> {
    let (uid, gid) = (seen.stat.st_uid, seen.stat.st_gid);
    let (user, group) = match (owners, given) {
        (Owners::Single { .. }, _) => {
            let own = owners.inside(Who::User, uid).is_some();
            return if own {
                Ok(())
            } else {
                Err(LayerError::refused(seen.path, "it belongs to another user of the host"))
            };
        }
        (Owners::Range, Given::ToAgent) => owners.agent(),
        (Owners::Range, Given::IdById) => {
            let shifted = |who, id| match owners.inside(who, id) {
                Some(_) => Some(id),
                None if id < crate::ids::IdRange::IDS => Some(owners.on_disk(who, id)),
                None => None,
            };
            match (shifted(Who::User, uid), shifted(Who::Group, gid)) {
                (Some(user), Some(group)) => (Uid::from_raw(user), Gid::from_raw(group)),
                _ => return Err(LayerError::refused(seen.path, "its owner has an id above 65535")),
            }
        }
    };
    if (user.as_raw(), group.as_raw()) == (uid, gid) && name != REPLACEMENT {
        return Ok(());
    }
    chownat(at, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(LayerError::at("give away", seen.path))
}
