//! From a tree to a layer.
//!
//! ```text
//!   clean ─▶ hash ─▶ <id>.sealing/{manifest.json, witness} ─▶ note beside the tree ─▶ sync ─▶ tree moves to <id>.sealing/tree ─▶ <id>.sealing becomes <id> ─▶ sync
//! ```
//!
//! Killed before the tree moves, it is where it was; the note does not count as long as the tree is there. Killed between the two moves, the next
//! [`LayerStore::open`](super::LayerStore::open) checks the layer and completes the last step.
//!
//! Synced is the whole file system, twice: for 200 files of 5 KB on ext4 that took 9 ms where `fsync` of every file and directory took 240 to 310 ms, and beside 200 MB that others had
//! written 98 ms where it took 520 to 580 ms (each `fsync` waits for a commit of the journal).

use std::{
    ffi::{CString, OsString},
    fs::{self, File},
    io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::fs::{AtFlags, unlinkat};

use super::{
    about::{About, FORMAT, LABEL_CHARS_MAX, Manifest},
    beneath,
    content::{self, Fate, Thing},
    digest,
    error::LayerError,
    id::LayerId,
    owners::Owners,
    store::{LayerStore, MANIFEST, TREE, WITNESS},
    walk::walk,
};
use crate::steps::Step;

/// Ends the name of the note that is left beside a tree.
const NOTE: &str = ".layer";

impl LayerStore {
    /// Makes the tree at `tree` a layer and returns its id once everything is on disk. The tree is moved into the store; a note beside it
    /// ([`sealed_as`]) says which layer it became.
    ///
    /// Nothing may write to the tree. A sandbox may have it as a lower layer meanwhile.
    ///
    /// Doing it again after it was interrupted is fine. When a layer with the same content is there already, its id is returned and the tree stays
    /// where it is: it is the caller's to remove once no sandbox has it mounted.
    ///
    /// Blocks for as long as it takes to read and sync the tree.
    ///
    /// # Errors
    /// When the tree holds something a layer cannot have, exceeds a limit or changes meanwhile, or the disk is full. The tree is then still where it was.
    pub fn seal(&self, tree: &Path, about: About) -> Result<LayerId, LayerError> {
        self.seal_squashed(tree, about, Vec::new())
    }

    pub(super) fn seal_squashed(
        &self,
        tree: &Path,
        about: About,
        squashed: Vec<LayerId>,
    ) -> Result<LayerId, LayerError> {
        if !tree.exists()
            && let Some(id) = sealed_as(tree)?
            && self.holds(&id)
        {
            return Ok(id);
        }
        let root = beneath::root(tree).map_err(LayerError::at("open", tree))?;
        let cleaned = clean(&root, self.owners())?;
        Step::SealCleaned.done();
        let digested = digest::digest(&root, self.owners())?;
        let id = LayerId::of(&digested.digest);
        Step::SealHashed.done();
        if self.holds(&id) {
            match self.verify(&id) {
                Ok(()) => return Ok(id),
                Err(LayerError::Tampered { .. }) => self.set_aside(&id)?,
                Err(other) => return Err(other),
            }
        }
        let witness = digest::witness(&root)?;
        let manifest = Manifest {
            format: FORMAT,
            id: id.clone(),
            about: About { kind: about.kind, label: about.label.chars().take(LABEL_CHARS_MAX).collect() },
            sealed_at_ms: now_ms(),
            files: digested.files,
            bytes: digested.bytes,
            disk_bytes: digested.disk_bytes,
            cleaned,
            squashed,
        };
        self.publish(tree, &root, &manifest, &witness)?;
        self.remember_checked(&id);
        Ok(id)
    }

    /// Everything after the tree is known.
    fn publish(&self, tree: &Path, root: &OwnedFd, manifest: &Manifest, witness: &str) -> Result<(), LayerError> {
        let _one_at_a_time = self.publishing();
        let id = &manifest.id;
        if self.holds(id) {
            // Somebody else had the same content and was faster.
            return Ok(());
        }
        let sealing = self.sealing(id);
        let written = (|| {
            fs::create_dir_all(&sealing).map_err(LayerError::at("make", &sealing))?;
            fs::set_permissions(&sealing, fs::Permissions::from_mode(0o700))
                .map_err(LayerError::at("make", &sealing))?;
            let text = serde_json::to_vec_pretty(manifest).map_err(io::Error::from);
            let text = text.map_err(LayerError::io("write a layer's manifest"))?;
            write(&sealing.join(WITNESS), witness.as_bytes())?;
            write(&sealing.join(MANIFEST), &text)?;
            Step::SealManifestWritten.done();
            write(&note(tree), id.as_str().as_bytes())?;
            Step::SealNoted.done();
            // The tree was opened before, so an error of writing it back is told here.
            rustix::fs::syncfs(root).map_err(LayerError::io("sync the disk"))?;
            Step::SealSynced.done();
            fs::rename(tree, sealing.join(TREE)).map_err(LayerError::at("move", tree))
        })();
        if let Err(error) = written {
            // The tree has not moved. What cannot be removed now is swept at the next start.
            let _ = fs::remove_file(note(tree));
            let _ = fs::remove_dir_all(&sealing);
            return Err(error);
        }
        Step::SealTreeMoved.done();
        fs::rename(&sealing, self.directory(id)).map_err(LayerError::at("move", &sealing))?;
        rustix::fs::syncfs(root).map_err(LayerError::io("sync the disk"))?;
        Step::SealPublished.done();
        Ok(())
    }
}

/// Which layer the tree at this path became, if it was sealed. It counts only when the tree itself is gone.
///
/// # Errors
/// When the note cannot be read.
pub fn sealed_as(tree: &Path) -> Result<Option<LayerId>, LayerError> {
    let note = note(tree);
    match fs::read_to_string(&note) {
        Ok(text) => text.parse().map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LayerError::at("read", &note)(error)),
    }
}

fn note(tree: &Path) -> PathBuf {
    let mut name = tree.file_name().map_or_else(OsString::new, OsString::from);
    name.push(NOTE);
    tree.with_file_name(name)
}

/// Removes what layers do not have; see the table in `content.rs`. Returns how much that was.
pub(super) fn clean(root: &OwnedFd, owners: Owners) -> Result<u64, LayerError> {
    let mut cleaned = 0;
    walk(root, &mut |seen| {
        match seen.thing {
            Thing::Socket => {
                unlinkat(seen.parent, seen.name, AtFlags::empty()).map_err(LayerError::at("remove", seen.path))?;
                cleaned += 1;
                return Ok(());
            }
            Thing::Whiteout => return Ok(()),
            Thing::Device => return Err(LayerError::refused(seen.path, "it is a device file")),
            Thing::Directory | Thing::File | Thing::Symlink | Thing::Pipe => {}
        }
        let read = LayerError::at("read the attributes of", seen.path);
        for name in beneath::attribute_names(seen.parent, seen.name).map_err(read)? {
            if let Fate::Clean = content::fate(&name, owners) {
                beneath::remove_attribute(seen.parent, seen.name, &name)
                    .map_err(LayerError::at("remove an attribute of", seen.path))?;
                cleaned += u64::from(is_worth_telling(&name));
            }
        }
        let mode = seen.stat.st_mode & 0o7777;
        if seen.thing == Thing::File && mode & content::SET_ID_BITS != 0 {
            let file = beneath::file(seen.parent, seen.name).map_err(LayerError::at("open", seen.path))?;
            let mode = fs::Permissions::from_mode(mode & !content::SET_ID_BITS);
            file.set_permissions(mode).map_err(LayerError::at("change the mode of", seen.path))?;
            cleaned += 1;
        }
        Ok(())
    })?;
    Ok(cleaned)
}

/// The overlay's own notes are no loss to anybody.
fn is_worth_telling(name: &CString) -> bool {
    !name.to_bytes().starts_with(b"trusted.overlay.") && !name.to_bytes().starts_with(b"user.overlay.")
}

fn write(path: &Path, content: &[u8]) -> Result<(), LayerError> {
    fs::write(path, content).map_err(LayerError::at("write", path))
}

pub(super) fn sync_path(directory: &Path) -> Result<(), LayerError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(LayerError::at("sync", directory))
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
