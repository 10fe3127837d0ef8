//! The files of a session as they were after one of its turns: found in its snapshots, and begun anew elsewhere.
//!
//! A fork and a rewind are the same thing done in two places: a directory over the same layers, with nothing changed since.
//!
//! ```text
//!   the log says      snapshots  a(turn 1)  b(turn 2)  c(turn 3)
//!   the disk has      files/frozen    1.layer = a   2.layer = b   3.layer = c   + upper
//!   after turn 2      another directory    1.layer = a   2.layer = b
//! ```
//!
//! A copy that was taken while programs ran lies on no stack: what it holds is over the snapshots before it.
//!
//! **A rewind** is decided by the log: its event is durable before anything is touched. The new directory is complete before `floor.json` names it, and
//! the old one goes afterwards, so that a kill leaves the files of before or those of after; the next time a sandbox is wanted, [`settle`] does what is missing.

use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::Arc,
};

use hangar_protocol::{Seq, TurnId, event::SnapshotGuarantee, state::SnapshotState};
use hangar_sandbox::layers::{About, InUse, Kind, LayerError, LayerId, LayerStore, Snapshot, begin, snapshots};

use crate::{
    floor::{FILES, Floor, FloorError},
    steps::SessionStep,
};

/// What the files were made of at some time.
#[derive(Clone)]
pub(crate) struct Ground {
    /// What they stood on; `None` where there never was a sandbox.
    pub(crate) floor: Option<Floor>,
    /// The session's own layers above it, the topmost first.
    pub(crate) layers: Vec<LayerId>,
    /// They are not collected as long as this lives.
    _held: Arc<Vec<InUse>>,
}

/// Why the files of some time cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroundError {
    /// The log knows of files that are not here.
    #[error("they are not on this server: the session was restored from a backup, which holds no files")]
    Lost,
    /// The snapshot is not among those on disk.
    #[error("their snapshot is not on disk any more")]
    Gone,
    /// The disk.
    #[error(transparent)]
    Floor(#[from] FloorError),
}

impl From<LayerError> for GroundError {
    fn from(error: LayerError) -> Self {
        Self::Floor(error.into())
    }
}

/// A rewind that the files have to follow.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    /// The event that says so.
    pub(crate) seq: Seq,
    /// The snapshots up to where it goes back, oldest first; none for before the first turn.
    pub(crate) snapshots: Vec<SnapshotState>,
}

/// The snapshots up to the one after this turn, oldest first. `None` when there is none after it.
pub(crate) fn up_to_turn(snapshots: &[SnapshotState], turn: TurnId) -> Option<&[SnapshotState]> {
    if turn.0 == 0 {
        return Some(&[]);
    }
    snapshots.iter().rposition(|known| known.turn == Some(turn)).map(|last| &snapshots[..=last])
}

/// What the files of the session in `folder` were made of when the last of `wanted` had been taken: sealed, checked and held. Blocks.
pub(crate) fn at(folder: &Path, store: &LayerStore, wanted: &[SnapshotState]) -> Result<Ground, GroundError> {
    let Some(floor) = Floor::read(folder)? else {
        if !wanted.is_empty() {
            return Err(GroundError::Lost);
        }
        return Ok(Ground { floor: None, layers: Vec::new(), _held: Arc::default() });
    };
    let mut held = floor.hold(folder, store)?;
    let mut stack = snapshots(&floor.files(folder))?;
    stack.reverse();
    let place = place(&stack, wanted).ok_or(GroundError::Gone)?;
    let mut layers = Vec::with_capacity(place.below + 1);
    for snapshot in stack.drain(..place.below) {
        let layer = match snapshot {
            Snapshot::Layer(layer) => layer,
            // Taken just before hangar was killed, and part of all that came after it.
            Snapshot::Tree(tree) => store.seal(&tree, About::new(Kind::Snapshot, "a session's files"))?,
        };
        layers.push(layer);
    }
    layers.extend(place.on_top);
    for layer in &layers {
        store.verify(layer)?;
        held.push(store.hold(layer));
    }
    layers.reverse();
    Ok(Ground { floor: Some(floor), layers, _held: Arc::new(held) })
}

/// Where a snapshot is in a stack.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// So many snapshots, counted from below, are part of it.
    below: usize,
    /// A copy over them.
    on_top: Option<LayerId>,
}

/// Finds the last of `wanted` in a stack whose lowest snapshot comes first. Those before it say where to look: two snapshots may hold the same.
fn place(stack: &[Snapshot], wanted: &[SnapshotState]) -> Option<Place> {
    let mut place = Place { below: 0, on_top: None };
    let Some((last, before)) = wanted.split_last() else { return Some(place) };
    for known in before {
        place.below = found(stack, place.below, known).unwrap_or(place.below);
    }
    match (found(stack, place.below, last), last.guarantee) {
        (Some(below), _) => place.below = below,
        (None, SnapshotGuarantee::Frozen) => place.on_top = Some(last.snapshot.parse().ok()?),
        (None, SnapshotGuarantee::Quiescent) => return None,
    }
    Some(place)
}

/// How many snapshots lie below and with the one that is looked for. One that was taken when nothing had changed is the one before.
fn found(stack: &[Snapshot], from: usize, wanted: &SnapshotState) -> Option<usize> {
    let is_it = |snapshot: &Snapshot| matches!(snapshot, Snapshot::Layer(layer) if layer.as_str() == wanted.snapshot);
    let first = from.saturating_sub(1);
    stack[first..].iter().position(is_it).map(|index| first + index + 1)
}

/// Begins the files of a session that has none yet, over another's. When this answers they are on disk. Blocks.
pub(crate) fn begin_files(folder: &Path, ground: &Ground, rewound: Option<Seq>) -> Result<(), FloorError> {
    let Some(floor) = &ground.floor else { return Ok(()) };
    let floor = floor.moved(None, rewound);
    begin_durably(&floor.files(folder), &ground.layers)?;
    floor.write(folder)
}

/// Lets the files of the session in `folder` follow a rewind, if they have not yet. No sandbox runs over them. Blocks.
pub(crate) fn settle(folder: &Path, store: &LayerStore, due: &Due) -> Result<(), GroundError> {
    let Some(floor) = Floor::read(folder)? else { return Ok(()) };
    if floor.rewound < Some(due.seq) {
        let ground = at(folder, store, &due.snapshots)?;
        let name = format!("{FILES}-{}", due.seq);
        let (old, new) = (floor.files(folder), folder.join(&name));
        // A kill may have left a part of it.
        remove(&new)?;
        begin_durably(&new, &ground.layers)?;
        SessionStep::RewindFilesBegun.done();
        floor.moved(Some(name), Some(due.seq)).write(folder)?;
        SessionStep::RewindFilesNamed.done();
        remove(&floor.place_in_pool(folder).unwrap_or(old))?;
        SessionStep::RewindFilesGone.done();
    }
    sweep(folder)
}

/// Removes directories of files that were left by a rewind.
fn sweep(folder: &Path) -> Result<(), GroundError> {
    let Some(floor) = Floor::read(folder)? else { return Ok(()) };
    let current = floor.files(folder);
    for entry in fs::read_dir(folder).map_err(FloorError::from)? {
        let path = entry.map_err(FloorError::from)?.path();
        let is_files = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FILES));
        if is_files && path != current {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(directory: &Path) -> Result<(), FloorError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Begins files over layers, and syncs what says so: an event that relies on it may follow.
fn begin_durably(files: &Path, layers: &[LayerId]) -> Result<(), FloorError> {
    begin(files, layers)?;
    for snapshot in fs::read_dir(files.join("frozen"))? {
        File::open(snapshot?.path())?.sync_all()?;
    }
    for directory in [files.join("frozen").as_path(), files] {
        File::open(directory)?.sync_all()?;
    }
    match files.parent() {
        Some(folder) => Ok(File::open(folder)?.sync_all()?),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    fn layer(letter: char) -> LayerId {
        letter.to_string().repeat(64).parse().unwrap()
    }

    /// `a` is a snapshot by rotation, `A` a copy of a running sandbox.
    fn told(letters: &str) -> Vec<SnapshotState> {
        let one = |letter: char| SnapshotState {
            snapshot: layer(letter.to_ascii_lowercase()).to_string(),
            turn: None,
            guarantee: if letter.is_uppercase() { SnapshotGuarantee::Frozen } else { SnapshotGuarantee::Quiescent },
        };
        letters.chars().map(one).collect()
    }

    /// `-` is one that was not sealed.
    fn stacked(letters: &str) -> Vec<Snapshot> {
        let one = |letter| match letter {
            '-' => Snapshot::Tree("frozen/1".into()),
            letter => Snapshot::Layer(layer(letter)),
        };
        letters.chars().map(one).collect()
    }

    #[test]
    fn a_snapshot_is_found_where_it_lies_and_nowhere_else() {
        let rows = [
            ("abc", "", Some((0, None))),
            ("abc", "a", Some((1, None))),
            ("abc", "ab", Some((2, None))),
            // Nothing had changed: the same snapshot again.
            ("abc", "abb", Some((2, None))),
            // The same content at two places: the later one is meant.
            ("aba", "aba", Some((3, None))),
            ("aba", "a", Some((1, None))),
            // One was never told, because hangar was killed before it was sealed.
            ("a-b", "ab", Some((3, None))),
            // A copy lies over what was there when it was taken.
            ("ab", "aCb", Some((2, None))),
            ("ab", "aC", Some((1, Some('c')))),
            ("", "C", Some((0, Some('c')))),
            // Files that followed a rewind to a copy have it on their stack.
            ("acd", "aC", Some((2, None))),
            ("acd", "aCd", Some((3, None))),
            // One in between is not here any more; it is not asked for.
            ("ac", "abc", Some((2, None))),
            ("ac", "ab", None),
            ("", "a", None),
        ];
        for (stack, wanted, expected) in rows {
            let found = place(&stacked(stack), &told(wanted)).map(|place| (place.below, place.on_top));
            let expected = expected.map(|(below, on_top): (usize, Option<char>)| (below, on_top.map(layer)));
            assert_eq!(found, expected, "{wanted} in {stack}");
        }
    }
}
