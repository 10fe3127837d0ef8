//! Removes layers that nobody needs.

use std::{
    collections::HashSet,
    fs,
    time::{Duration, SystemTime},
};

use super::{
    about::Manifest,
    error::LayerError,
    id::LayerId,
    store::{DAMAGED, LayerStore, MANIFEST, USED, locked},
};
use crate::steps::Step;

/// How long layers stay that nothing refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// At least so long after they were made or used: whoever makes a layer needs time to write down its id. One hour by default.
    pub at_least: Duration,
    /// At most so long, seven days by default.
    pub at_most: Duration,
    /// All layers together should take no more than this; if they do, those unused for longest go after `at_least`. 100 GiB by default.
    pub disk_bytes: u64,
}

impl Default for Keep {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self { at_least: HOUR, at_most: HOUR * 24 * 7, disk_bytes: 100 * 1024 * 1024 * 1024 }
    }
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Layers that are gone.
    pub removed: Vec<LayerId>,
    /// What they took on disk.
    pub disk_bytes: u64,
}

impl LayerStore {
    /// Removes layers that are neither in `in_use` nor held by anybody ([`hold`](Self::hold)) and that `keep` lets go. Blocks.
    ///
    /// `in_use` must name every layer that images, sessions and snapshots refer to.
    ///
    /// # Errors
    /// When a directory cannot be read or removed. What is half removed is never used again; the next start removes the rest.
    pub fn collect(&self, in_use: &HashSet<LayerId>, keep: &Keep) -> Result<Collected, LayerError> {
        let mut idle: Vec<(Duration, Manifest)> = Vec::new();
        let mut total = 0;
        for manifest in self.list()? {
            total += manifest.disk_bytes;
            if !in_use.contains(&manifest.id) {
                idle.push((self.unused_for(&manifest.id), manifest));
            }
        }
        idle.sort_by_key(|(unused, _)| std::cmp::Reverse(*unused));
        let mut collected = Collected::default();
        for (unused, manifest) in idle {
            let goes = unused >= keep.at_least && (unused >= keep.at_most || total > keep.disk_bytes);
            if goes && self.remove(&manifest.id)? {
                total -= manifest.disk_bytes;
                collected.disk_bytes += manifest.disk_bytes;
                collected.removed.push(manifest.id);
            }
        }
        self.remove_damaged(keep)?;
        Ok(collected)
    }

    /// Time since it was made or used last. Unknown counts as now: it stays.
    fn unused_for(&self, id: &LayerId) -> Duration {
        let directory = self.directory(id);
        let latest = [USED, MANIFEST]
            .iter()
            .filter_map(|name| fs::metadata(directory.join(name)).and_then(|found| found.modified()).ok())
            .max();
        latest.and_then(|time| SystemTime::now().duration_since(time).ok()).unwrap_or_default()
    }

    /// Removes a layer unless somebody holds it. First it is no longer a layer, then its files go.
    fn remove(&self, id: &LayerId) -> Result<bool, LayerError> {
        let trash = {
            let _one_at_a_time = self.publishing();
            // Held over the move, so that nobody takes hold in between.
            let users = locked(self.users());
            if users.contains_key(id) {
                return Ok(false);
            }
            let trash = self.scratch()?.join("layer");
            let directory = self.directory(id);
            fs::rename(&directory, &trash).map_err(LayerError::at("remove", &directory))?;
            self.forget(id);
            trash
        };
        self.sync_directory()?;
        Step::CollectMoved.done();
        let manifest = trash.join(MANIFEST);
        fs::remove_file(&manifest).map_err(LayerError::at("remove", &manifest))?;
        Step::CollectHalfRemoved.done();
        let parent = trash.parent().unwrap_or(&trash);
        fs::remove_dir_all(parent).map_err(LayerError::at("remove", parent))?;
        Ok(true)
    }

    fn remove_damaged(&self, keep: &Keep) -> Result<(), LayerError> {
        for name in self.names(DAMAGED)? {
            let path = self.damaged(&name);
            let age = fs::metadata(&path).and_then(|found| found.modified());
            let age = age.ok().and_then(|time| SystemTime::now().duration_since(time).ok()).unwrap_or_default();
            if age >= keep.at_most {
                fs::remove_dir_all(&path).map_err(LayerError::at("remove", &path))?;
            }
        }
        Ok(())
    }
}
