//! Snapshots of sandboxes whose root cannot change its layers while it is mounted: the changes are copied while nothing runs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::Error,
    frozen::{Frozen, Guarantee},
    layers::LayerStore,
    random,
};

/// Where copies lie until they are sealed, below the engine's state.
pub(super) const FOLDER: &str = "frozen";

/// Copies the changes of a sandbox that is paused. Blocks.
pub(super) fn copy(data_dir: &Path, state: &Path, changes: &Path) -> Result<Frozen, Error> {
    let folder = state.join(FOLDER);
    fs::create_dir_all(&folder).map_err(Error::host(&folder))?;
    let tree: PathBuf = folder.join(random::hex());
    let copied = LayerStore::open(data_dir).and_then(|store| store.copy(changes, &tree));
    if let Err(error) = copied {
        // Half a copy is of no use to anybody; what cannot be removed is swept at the next start.
        let _ = fs::remove_dir_all(&tree);
        return Err(Error::Setup(format!("the changes could not be copied: {error}")));
    }
    Ok(Frozen { tree, guarantee: Guarantee::Frozen })
}
