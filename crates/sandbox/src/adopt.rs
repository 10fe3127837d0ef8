//! Takes a tree that the host has made in among the layers.

use std::{fs, io, os::unix::fs::lchown, path::Path};

use crate::{error::Error, ids::IdRange, namespace::rights::Rights};

/// Gives every file of a tree to the agent, as its ids lie on disk. Without root everything belongs to the one user there is, and nothing is done. Blocks.
///
/// # Errors
/// When something in the tree cannot be given away.
pub fn adopt(tree: &Path) -> Result<(), Error> {
    match Rights::detect() {
        Rights::Root => give(tree).map_err(Error::host(tree)),
        Rights::Rootless => Ok(()),
    }
}

fn give(path: &Path) -> io::Result<()> {
    let agent = IdRange::DISK.agent();
    lchown(path, Some(agent), Some(agent))?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path())?;
        }
    }
    Ok(())
}
