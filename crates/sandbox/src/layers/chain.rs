//! The snapshots of one session: what lies in its directory between its changes and its image.
//!
//! ```text
//!   session/upper/            the changes since the last snapshot
//!   session/work/             the overlay's own
//!   session/frozen/7/         a snapshot that is not sealed yet     (the newest is the topmost)
//!   session/frozen/6.layer    one that was: says which layer it is
//!   session/frozen/5/ and 5.layer    one that is being sealed: the tree counts
//!   session/frozen/7.work/    the work directory of the time before; swept
//!   session/upper.gone/, frozen/7.gone/    on its way out in a rewind; swept
//!   session/part.new/         a directory that has not got its owner yet; swept
//!   session/copies/1/         a copy taken while processes ran; belongs to nobody until it is sealed
//! ```
//!
//! What is on disk is the whole truth: a sandbox that is made over the directory finds its files whenever hangar was killed.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{
    about::About,
    error::LayerError,
    id::LayerId,
    seal::{sealed_as, sync_path},
    store::{LayerStore, write_durably},
};
use crate::steps::Step;

pub(crate) const FROZEN: &str = "frozen";
pub(crate) const COPIES: &str = "copies";
pub(crate) const UPPER: &str = "upper";
pub(crate) const WORK: &str = "work";
/// A directory of the session's before it has its name.
const PART_NEW: &str = "part.new";
/// What becomes [`FROZEN`] once it is complete, or was it until a moment ago.
const FROZEN_NEW: &str = "frozen.new";
/// Ends the name of a directory that is being removed.
const GONE: &str = "gone";
/// Ends the name of a note, or of a directory, that is not complete yet.
const NEW: &str = "new";

/// One snapshot in a session's stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// Not sealed yet.
    Tree(PathBuf),
    /// Sealed as this layer.
    Layer(LayerId),
}

/// The snapshots of the session in this directory, the topmost first. Copies ([`Guarantee::Frozen`](crate::Guarantee::Frozen)) are not among them: nothing lies over them.
///
/// # Errors
/// When the directory or a note in it cannot be read.
pub fn snapshots(session_dir: &Path) -> Result<Vec<Snapshot>, LayerError> {
    numbers(session_dir)?.into_iter().rev().map(|number| snapshot(session_dir, number)).collect()
}

fn snapshot(session_dir: &Path, number: u64) -> Result<Snapshot, LayerError> {
    let tree = tree(session_dir, number);
    if tree.is_dir() {
        return Ok(Snapshot::Tree(tree));
    }
    match sealed_as(&tree)? {
        Some(id) => Ok(Snapshot::Layer(id)),
        None => Err(LayerError::io(format!("find {}", tree.display()))(io::Error::from(io::ErrorKind::NotFound))),
    }
}

/// Whether something was changed since the newest snapshot of the session in this directory, as far as the disk says. A sandbox may run over it.
///
/// # Errors
/// When the directory cannot be read.
pub fn is_changed(session_dir: &Path) -> Result<bool, LayerError> {
    let upper = session_dir.join(UPPER);
    match fs::read_dir(&upper) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(LayerError::at("list", &upper)(error)),
    }
}

/// Begins a session over snapshots of another: with nothing changed since. `layers` has the topmost first. For a restore, a fork, and a rewind into a new session.
/// The directory is made; the layers should be verified and must be kept from being collected (they are in [`snapshots`] from now on).
///
/// # Errors
/// When the session has begun already, or the directory cannot be written.
pub fn begin(session_dir: &Path, layers: &[LayerId]) -> Result<(), LayerError> {
    let frozen = session_dir.join(FROZEN);
    if session_dir.join(UPPER).exists() || frozen.exists() {
        let there = io::Error::from(io::ErrorKind::AlreadyExists);
        return Err(LayerError::at("begin", session_dir)(there));
    }
    // Complete before it has its name, so that a kill leaves all or nothing.
    let new = session_dir.join(FROZEN_NEW);
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(LayerError::at("remove", &new)(error)),
        Ok(()) | Err(_) => {}
    }
    fs::create_dir_all(&new).map_err(LayerError::at("make", &new))?;
    for (number, id) in (1u64..).zip(layers.iter().rev()) {
        let note = new.join(format!("{number}.layer"));
        fs::write(&note, id.as_str()).map_err(LayerError::at("write", &note))?;
    }
    Step::BeginNoted.done();
    fs::rename(&new, &frozen).map_err(LayerError::at("make", &frozen))?;
    Step::BeginDone.done();
    Ok(())
}

/// Takes a session back to its `keep` lowest snapshots: what was changed since is gone. No sandbox may run over the directory.
///
/// # Errors
/// When something cannot be removed; doing it again completes it.
pub fn rewind(session_dir: &Path, keep: usize) -> Result<(), LayerError> {
    let goes = numbers(session_dir)?.split_off(keep.min(numbers(session_dir)?.len()));
    // From the top, so that a kill in the middle leaves a state that the session once had.
    // A tree that is half removed would be such a state as well, so each goes away whole first.
    let changes = discard(&session_dir.join(UPPER))?;
    Step::RewindChangesMoved.done();
    remove(&changes)?;
    remove(&session_dir.join(WORK))?;
    Step::RewindChangesRemoved.done();
    for number in goes.into_iter().rev() {
        let tree = tree(session_dir, number);
        if tree.exists() && sealed_as(&tree)?.is_some() {
            // Without the tree the note would count.
            remove(&note(session_dir, number))?;
        }
        let discarded = discard(&tree)?;
        remove(&note(session_dir, number))?;
        Step::RewindTopMoved.done();
        remove(&discarded)?;
    }
    Ok(())
}

impl LayerStore {
    /// Makes every snapshot of a session durable. Returns the session's layers, the topmost first. A sandbox may run over the directory. Blocks.
    ///
    /// # Errors
    /// As for [`seal`](Self::seal).
    pub fn seal_session(&self, session_dir: &Path, about: &About) -> Result<Vec<LayerId>, LayerError> {
        let sealed = snapshots(session_dir)?.into_iter().map(|snapshot| match snapshot {
            Snapshot::Layer(id) => Ok(id),
            Snapshot::Tree(tree) => self.seal(&tree, about.clone()),
        });
        sealed.collect()
    }

    /// Makes one layer of a session's sealed snapshots, if there are more than `most`. No sandbox may run over the directory, as its next start finds other layers. Blocks.
    ///
    /// # Errors
    /// As for [`squash`](Self::squash).
    pub fn squash_session(&self, session_dir: &Path, most: usize) -> Result<(), LayerError> {
        let snapshots = snapshots(session_dir)?;
        let layers: Vec<LayerId> = snapshots
            .iter()
            .filter_map(|snapshot| match snapshot {
                Snapshot::Layer(id) => Some(id.clone()),
                Snapshot::Tree(_) => None,
            })
            .collect();
        if layers.len() <= most || layers.len() != snapshots.len() {
            return Ok(());
        }
        let one = self.squash(&layers, super::Below::Layers, "snapshots of a session")?;
        let Some(highest) = numbers(session_dir)?.pop() else { return Ok(()) };
        // All notes at once: of the squashed layer above some of those it was made of, the overlay would show something else. A directory that was renamed
        // would be looked for under its old name in layers where it has the new one already.
        let (frozen, new) = (session_dir.join(FROZEN), session_dir.join(FROZEN_NEW));
        remove(&new)?;
        fs::create_dir(&new).map_err(LayerError::at("make", &new))?;
        write_durably(&new.join(format!("{highest}.layer")), one.as_str().as_bytes())?;
        Step::SessionSquashNoted.done();
        renameat_with(CWD, &new, CWD, &frozen, RenameFlags::EXCHANGE).map_err(LayerError::at("exchange", &frozen))?;
        sync_path(session_dir)?;
        Step::SessionSquashed.done();
        remove(&new)?;
        Ok(())
    }
}

/// Numbers of the snapshots, lowest first.
fn numbers(session_dir: &Path) -> Result<Vec<u64>, LayerError> {
    let frozen = session_dir.join(FROZEN);
    let entries = match fs::read_dir(&frozen) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LayerError::at("list", &frozen)(error)),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(LayerError::at("list", &frozen))?.file_name();
        let name = name.to_str().map(|name| name.strip_suffix(".layer").unwrap_or(name));
        numbers.extend(name.and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

fn tree(session_dir: &Path, number: u64) -> PathBuf {
    session_dir.join(FROZEN).join(number.to_string())
}

fn note(session_dir: &Path, number: u64) -> PathBuf {
    session_dir.join(FROZEN).join(format!("{number}.layer"))
}

fn remove(path: &Path) -> Result<(), LayerError> {
    let removed = fs::symlink_metadata(path)
        .and_then(|there| if there.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LayerError::at("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Takes a directory out of the way, where it does not count; it may be missing. What a kill leaves there is swept.
fn discard(directory: &Path) -> Result<PathBuf, LayerError> {
    let gone = directory.with_extension(GONE);
    remove(&gone)?;
    match fs::rename(directory, &gone) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LayerError::at("move", directory)(error)),
        Ok(()) | Err(_) => Ok(gone),
    }
}

/// Where the newest snapshot is or was, if there is one.
pub(crate) fn newest(session_dir: &Path) -> Result<Option<PathBuf>, LayerError> {
    Ok(numbers(session_dir)?.last().map(|number| tree(session_dir, *number)))
}

/// Where the next snapshot of a session goes.
pub(crate) struct Next {
    /// The tree, once it is frozen.
    pub tree: PathBuf,
    /// What becomes of the old work directory.
    pub work: PathBuf,
}

/// The place of the next snapshot; its directory is made.
pub(crate) fn next(session_dir: &Path) -> Result<Next, LayerError> {
    let frozen = session_dir.join(FROZEN);
    fs::create_dir_all(&frozen).map_err(LayerError::at("make", &frozen))?;
    let number = numbers(session_dir)?.last().map_or(1, |last| last + 1);
    Ok(Next { tree: tree(session_dir, number), work: frozen.join(format!("{number}.work")) })
}

/// A place for a copy.
pub(crate) fn next_copy(session_dir: &Path) -> Result<PathBuf, LayerError> {
    let copies = session_dir.join(COPIES);
    fs::create_dir_all(&copies).map_err(LayerError::at("make", &copies))?;
    let free = (1u64..).map(|number| copies.join(number.to_string()));
    let mut free = free.filter(|path| !path.exists() && matches!(sealed_as(path), Ok(None)));
    free.next().ok_or_else(|| LayerError::io("number a copy")(io::Error::from(io::ErrorKind::StorageFull)))
}

/// Mode, owner and group of a directory that sandboxes see.
pub(crate) struct Facts {
    /// Its permission bits.
    pub mode: u32,
    /// Who owns it; whoever makes it where this process cannot give it away.
    pub owner: Option<(u32, u32)>,
}

/// Makes an empty directory of a session's at `place`, on the file system of `session_dir`. It has its name only once it has its owner: one that a kill left to the host's root could never be sealed.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn make_part(session_dir: &Path, place: &Path, facts: &Facts) -> Result<(), LayerError> {
    let new = session_dir.join(PART_NEW);
    remove(&new)?;
    fs::create_dir(&new).map_err(LayerError::at("make", &new))?;
    Step::PartMade.done();
    fs::set_permissions(&new, fs::Permissions::from_mode(facts.mode)).map_err(LayerError::at("change", &new))?;
    if let Some((owner, group)) = facts.owner {
        chown(&new, Some(owner), Some(group)).map_err(LayerError::at("give away", &new))?;
    }
    fs::rename(&new, place).map_err(LayerError::at("make", place))
}

/// Removes what an earlier process left in a session's directory. No sandbox runs over it.
pub(crate) fn sweep(session_dir: &Path) -> Result<(), LayerError> {
    remove(&session_dir.join(COPIES))?;
    remove(&session_dir.join(PART_NEW))?;
    remove(&session_dir.join(FROZEN_NEW))?;
    for part in [UPPER, WORK] {
        remove(&session_dir.join(part).with_extension(GONE))?;
    }
    let frozen = session_dir.join(FROZEN);
    let entries = match fs::read_dir(&frozen) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(LayerError::at("list", &frozen)(error)),
    };
    for entry in entries {
        let path = entry.map_err(LayerError::at("list", &frozen))?.path();
        // Also where the snapshot of the same number does not exist: its work directory is moved there first, and the next snapshot will want the place.
        if path.extension().is_some_and(|end| [WORK, GONE, NEW].iter().any(|swept| end == *swept)) {
            remove(&path)?;
        }
    }
    Ok(())
}
