//! Which images go. The choice is pure; removing is the task's.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, SystemTime},
};

use hangar_sandbox::layers::{Keep, LayerId};

use super::{ImagesError, Shared, View};
use crate::image::ImageId;

/// Which images stay.
#[derive(Clone, Debug)]
pub struct KeepImages {
    /// An image that a newer one has replaced stays so long after its last use.
    pub replaced: Duration,
    /// The newest image of a target stays so long after its last use.
    pub unused: Duration,
    /// All images together should take no more than this on disk, in bytes; if they do, replaced ones go at once, those unused for longest first.
    pub disk_bytes: u64,
    /// Which layers stay that no image needs.
    pub layers: Keep,
}

impl Default for KeepImages {
    fn default() -> Self {
        Self {
            replaced: Duration::from_secs(60 * 60),
            unused: Duration::from_secs(30 * 24 * 60 * 60),
            disk_bytes: 100 * 1024 * 1024 * 1024,
            layers: Keep::default(),
        }
    }
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Images that are gone.
    pub images: Vec<ImageId>,
    /// Layers that are gone.
    pub layers: Vec<LayerId>,
    /// What the layers took on disk.
    pub disk_bytes: u64,
}

/// One image, as far as it matters here.
#[derive(Clone, Debug)]
struct Candidate {
    id: ImageId,
    newest: bool,
    followed: bool,
    leased: bool,
    unused_for: Duration,
    disk_bytes: u64,
}

/// Those that go: never one that is leased, and the newest one of a followed target only when it was not used for long.
fn those_that_go(mut candidates: Vec<Candidate>, keep: &KeepImages) -> Vec<ImageId> {
    candidates.sort_by(|one, other| other.unused_for.cmp(&one.unused_for).then(one.id.cmp(&other.id)));
    let mut total: u64 = candidates.iter().map(|candidate| candidate.disk_bytes).sum();
    let mut going = Vec::new();
    for candidate in candidates {
        let over = total > keep.disk_bytes;
        let goes = match (candidate.leased, candidate.newest) {
            (true, _) => false,
            (false, false) => over || candidate.unused_for >= keep.replaced,
            (false, true) => candidate.unused_for >= if candidate.followed { keep.unused } else { keep.replaced },
        };
        if goes {
            total -= candidate.disk_bytes;
            going.push(candidate.id);
        }
    }
    going
}

/// Removes what goes and takes it out of the view. Blocks.
pub(super) fn collect(shared: &Shared, view: &mut View, elsewhere: HashSet<LayerId>) -> Result<Collected, ImagesError> {
    let leases: BTreeMap<ImageId, usize> = shared.leases().clone();
    let now = SystemTime::now();
    let candidates = view.images.iter().map(|image| Candidate {
        id: image.id.clone(),
        newest: view.newest.get(&image.target).is_some_and(|newest| newest.id == image.id),
        followed: view.followed.contains(&image.target),
        leased: leases.contains_key(&image.id),
        unused_for: shared
            .catalog
            .used_at(&image.id)
            .ok()
            .and_then(|used| now.duration_since(used).ok())
            .unwrap_or_default(),
        disk_bytes: image.disk_bytes,
    });
    let going = those_that_go(candidates.collect(), &shared.keep);
    for id in &going {
        shared.catalog.remove(id).map_err(|source| ImagesError::Disk { path: id.as_str().into(), source })?;
    }
    view.images.retain(|image| !going.contains(&image.id));
    view.newest.retain(|_, image| !going.contains(&image.id));
    let mut in_use = elsewhere;
    in_use.extend(view.images.iter().flat_map(|image| image.layers.iter().cloned()));
    let collected = shared.store.collect(&in_use, &shared.keep.layers)?;
    Ok(Collected { images: going, layers: collected.removed, disk_bytes: collected.disk_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(
        letter: char,
        newest: bool,
        followed: bool,
        leased: bool,
        unused_s: u64,
        disk_bytes: u64,
    ) -> Candidate {
        let id = letter.to_string().repeat(32).parse().unwrap();
        Candidate { id, newest, followed, leased, unused_for: Duration::from_secs(unused_s), disk_bytes }
    }

    #[test]
    fn what_is_used_or_newest_stays() {
        let keep = KeepImages { disk_bytes: 100, ..KeepImages::default() };
        let gone = |candidates: &[Candidate]| -> String {
            those_that_go(candidates.to_vec(), &keep).iter().map(|id| &id.as_str()[..1]).collect()
        };
        let hour = 3600;
        assert_eq!(gone(&[]), "");
        assert_eq!(gone(&[candidate('a', false, true, false, hour - 1, 1)]), "", "a replaced one stays a while");
        assert_eq!(gone(&[candidate('a', false, true, false, hour, 1)]), "a");
        assert_eq!(gone(&[candidate('a', false, true, true, 1000 * hour, 1)]), "", "one in use never goes");
        assert_eq!(
            gone(&[candidate('a', true, true, false, 1000 * hour, 1)]),
            "a",
            "a newest one goes when it is not used for long"
        );
        assert_eq!(gone(&[candidate('a', true, true, false, 100 * hour, 1)]), "");
        assert_eq!(gone(&[candidate('a', true, false, false, hour, 1)]), "a", "nobody follows it any more");
        let over = [
            candidate('a', false, true, false, 10, 60),
            candidate('b', false, true, false, 20, 60),
            candidate('c', true, true, false, 30, 60),
        ];
        assert_eq!(gone(&over), "ba", "over the budget, those unused for longest go first and newest ones stay");
        let little = [candidate('a', false, true, false, 10, 50), candidate('b', false, true, false, 20, 60)];
        assert_eq!(gone(&little), "b", "no more than needed");
    }
}
