//! A layer is used only when it is what its id says.

use std::{fs, path::Path};

use super::{
    about::FORMAT,
    beneath, digest,
    error::LayerError,
    id::LayerId,
    store::{LayerStore, MANIFEST, TREE, USED, WITNESS, write_durably},
};

impl LayerStore {
    /// Makes sure that a layer is complete and unchanged. To be called before every use: the first time in this process its files' metadata are compared with a
    /// digest taken when it was sealed (inodes and times of change included), some microseconds a file; when they differ, as after a restored
    /// backup, everything is read and hashed again. Later calls cost nothing.
    ///
    /// What this sees: every change through the file system. What it does not: somebody with the host's root rights who forges the digest as well, and changes
    /// after the first call in the life of this process. No sandbox can write to a layer at all.
    ///
    /// # Errors
    /// When the layer is missing, incomplete or changed. It must not be used then.
    pub fn verify(&self, id: &LayerId) -> Result<(), LayerError> {
        if self.is_checked(id) {
            return Ok(());
        }
        let directory = self.directory(id);
        let manifest = self.manifest(id)?;
        if manifest.format != FORMAT {
            let detail = format!("its format {} is not one this hangar knows", manifest.format);
            return Err(LayerError::Tampered { id: id.clone(), detail });
        }
        let tree = directory.join(TREE);
        let root = beneath::root(&tree).map_err(|error| LayerError::Tampered {
            id: id.clone(),
            detail: format!("its tree cannot be opened: {error}"),
        })?;
        let noted = fs::read_to_string(directory.join(WITNESS)).unwrap_or_default();
        if noted != digest::witness(&root)? {
            let witness = self.check_fully(id, &directory)?;
            write_durably(&directory.join(WITNESS), witness.as_bytes())?;
        }
        self.touch(id);
        self.remember_checked(id);
        Ok(())
    }

    /// Reads everything; returns a new witness.
    pub(super) fn check_fully(&self, id: &LayerId, directory: &Path) -> Result<String, LayerError> {
        let tampered = |detail: String| LayerError::Tampered { id: id.clone(), detail };
        if !directory.join(MANIFEST).is_file() {
            return Err(tampered("it has no manifest".into()));
        }
        let root = beneath::root(&directory.join(TREE))
            .map_err(|error| tampered(format!("its tree cannot be opened: {error}")))?;
        let digested = digest::digest(&root, self.owners()).map_err(|error| tampered(error.to_string()))?;
        let found = LayerId::of(&digested.digest);
        if found != *id {
            return Err(tampered(format!("its content is that of {found}")));
        }
        digest::witness(&root)
    }

    /// Notes that a layer is used now. Only `collect` reads it, so a failure does no harm but to make the layer look older.
    pub(super) fn touch(&self, id: &LayerId) {
        let used = self.directory(id).join(USED);
        if let Err(error) = fs::write(&used, b"") {
            tracing::debug!(%error, layer = %id, "the last use of a layer is not noted");
        }
    }
}
