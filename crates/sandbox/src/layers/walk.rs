//! Looks at a whole tree, in the one order that counts: each directory before what is in it, names by their bytes.

use std::{
    ffi::{CStr, CString},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::fs::Stat;

use super::{beneath, content::Thing, error::LayerError};

/// Things one layer may have.
pub const FILES_MAX: u64 = 1_000_000;
/// Bytes of content one layer may have.
pub const BYTES_MAX: u64 = 256 * 1024 * 1024 * 1024;
/// Deepest directory of a layer.
pub const DEPTH_MAX: u64 = 256;
/// Longest path in a layer; the kernel takes no longer one in a single call.
pub const PATH_BYTES_MAX: u64 = 4000;

/// Something in a tree, on the way through it.
pub(super) struct Seen<'a> {
    /// From the tree's root; empty for the root itself.
    pub path: &'a Path,
    /// The directory that holds it; for the root, the root.
    pub parent: &'a OwnedFd,
    /// Its name in there; `.` for the root.
    pub name: &'a CStr,
    pub stat: Stat,
    pub thing: Thing,
}

impl Seen<'_> {
    pub(super) fn is_root(&self) -> bool {
        self.path.as_os_str().is_empty()
    }
}

/// Calls `visit` for everything in the tree.
pub(super) fn walk(
    root: &OwnedFd,
    visit: &mut dyn FnMut(&Seen<'_>) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    let mut counted = Counted { files: 0, bytes: 0 };
    let stat = beneath::stat(root, c".").map_err(LayerError::io("look at the tree"))?;
    let path = PathBuf::new();
    visit(&Seen { path: &path, parent: root, name: c".", thing: Thing::of(&stat), stat })?;
    below(root, &path, 1, &mut counted, visit)
}

struct Counted {
    files: u64,
    bytes: u64,
}

fn below(
    directory: &OwnedFd,
    path: &Path,
    depth: u64,
    counted: &mut Counted,
    visit: &mut dyn FnMut(&Seen<'_>) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    let names = beneath::names(directory).map_err(LayerError::at("list", path))?;
    counted.files += names.len() as u64;
    within("files", counted.files, FILES_MAX)?;
    for name in names {
        let path = path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        within("bytes in one path", path.as_os_str().len() as u64, PATH_BYTES_MAX)?;
        let stat = beneath::stat(directory, &name).map_err(LayerError::at("look at", &path))?;
        let seen = Seen { path: &path, parent: directory, name: &name, thing: Thing::of(&stat), stat };
        visit(&seen)?;
        match seen.thing {
            Thing::Directory => {
                within("directories inside each other", depth, DEPTH_MAX)?;
                let directory = open_directory(directory, &name, &path)?;
                below(&directory, &path, depth + 1, counted, visit)?;
            }
            Thing::File => {
                counted.bytes += stat.st_size.unsigned_abs();
                within("bytes", counted.bytes, BYTES_MAX)?;
            }
            Thing::Symlink | Thing::Pipe | Thing::Whiteout | Thing::Socket | Thing::Device => {}
        }
    }
    Ok(())
}

fn open_directory(at: impl AsFd, name: &CString, path: &Path) -> Result<OwnedFd, LayerError> {
    beneath::directory(at, name.as_c_str()).map_err(LayerError::at("open", path))
}

pub(super) fn within(what: &'static str, count: u64, limit: u64) -> Result<(), LayerError> {
    if count > limit { Err(LayerError::TooLarge { what, limit }) } else { Ok(()) }
}
