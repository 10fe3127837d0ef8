//! The directory of layers.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::{
    about::Manifest,
    error::LayerError,
    id::LayerId,
    owners::Owners,
    seal::{now_ms, sync_path},
};

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const WITNESS: &str = "witness";
pub(super) const TREE: &str = "tree";
/// Empty; its time says when the layer was last used.
pub(super) const USED: &str = "used";
/// Ends the name of a layer that is not complete.
const SEALING: &str = ".sealing";
/// Ends the name of a layer that was found changed. Kept for whoever wants to look; removed by `collect` in time.
pub(super) const DAMAGED: &str = ".damaged";
/// Holds what is being removed and what is being made; emptied at every start.
const SCRATCH: &str = "scratch";

/// The layers of one data directory. One process at a time may have it open (the engine's lock sees to that).
///
/// All operations block; an async caller runs them on a thread for that.
///
/// A cheap handle: whoever opens the same directory in one process gets the same store.
#[derive(Clone, Debug)]
pub struct LayerStore {
    shelf: Arc<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    root: PathBuf,
    owners: Owners,
    /// Layers that were checked since this process began.
    checked: Mutex<HashSet<LayerId>>,
    /// Held while a layer comes or goes.
    publishing: Mutex<()>,
    users: Users,
}

/// How often each layer is in use.
pub(super) type Users = Arc<Mutex<HashMap<LayerId, usize>>>;

/// Keeps a layer from being collected, until dropped.
#[derive(Debug)]
pub struct InUse {
    id: LayerId,
    users: Users,
}

/// What layers take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// Layers there are.
    pub layers: u64,
    /// Their files, directories, links and whiteouts.
    pub files: u64,
    /// What they take on disk.
    pub disk_bytes: u64,
}

impl LayerStore {
    /// Opens `data_dir/layers`, making it where missing; in one process, everybody gets the same store. The first time, layers that were interrupted on their last step are checked and completed; what was half
    /// written or half removed is swept.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(data_dir: &Path) -> Result<Self, LayerError> {
        // Whoever opens it a second time must not sweep what the first is making.
        static OPEN: Mutex<Vec<Weak<Shelf>>> = Mutex::new(Vec::new());
        let root = data_dir.join("layers");
        fs::create_dir_all(&root).map_err(LayerError::at("make", &root))?;
        // Nobody else on the host has any business in here, whatever modes the files in it have.
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).map_err(LayerError::at("protect", &root))?;
        let root = fs::canonicalize(&root).map_err(LayerError::at("find", &root))?;
        let mut open = locked(&OPEN);
        open.retain(|shelf| shelf.strong_count() > 0);
        if let Some(shelf) = open.iter().filter_map(Weak::upgrade).find(|shelf| shelf.root == root) {
            return Ok(Self { shelf });
        }
        let shelf = Arc::new(Shelf {
            root,
            owners: Owners::detect(),
            checked: Mutex::default(),
            publishing: Mutex::default(),
            users: Users::default(),
        });
        let store = Self { shelf };
        store.sweep()?;
        open.push(Arc::downgrade(&store.shelf));
        Ok(store)
    }

    /// Where the tree of a layer is, for an overlay. Call [`verify`](Self::verify) first, once.
    #[must_use]
    pub fn tree(&self, id: &LayerId) -> PathBuf {
        self.directory(id).join(TREE)
    }

    /// Whether there is such a layer.
    #[must_use]
    pub fn holds(&self, id: &LayerId) -> bool {
        self.directory(id).join(MANIFEST).is_file()
    }

    /// What is written down about a layer.
    ///
    /// # Errors
    /// When there is no such layer, or its manifest cannot be read.
    pub fn manifest(&self, id: &LayerId) -> Result<Manifest, LayerError> {
        let path = self.directory(id).join(MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LayerError::Missing(id.clone())),
            Err(error) => return Err(LayerError::at("read", &path)(error)),
        };
        let damaged = |detail: String| LayerError::Tampered { id: id.clone(), detail };
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| damaged(format!("its manifest is damaged: {error}")))?;
        if manifest.id == *id { Ok(manifest) } else { Err(damaged("its manifest is another layer's".into())) }
    }

    /// Every layer there is, in the order of their ids.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Manifest>, LayerError> {
        let mut manifests = Vec::new();
        for id in self.names("")?.iter().filter_map(|name| name.parse::<LayerId>().ok()) {
            match self.manifest(&id) {
                Ok(manifest) => manifests.push(manifest),
                Err(error) => tracing::warn!(%error, layer = %id, "a layer is left out of the list"),
            }
        }
        manifests.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(manifests)
    }

    /// What all layers take together, by their manifests.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn disk_use(&self) -> Result<DiskUse, LayerError> {
        Ok(self.list()?.iter().fold(DiskUse::default(), |sum, manifest| DiskUse {
            layers: sum.layers + 1,
            files: sum.files + manifest.files,
            disk_bytes: sum.disk_bytes + manifest.disk_bytes,
        }))
    }

    /// Keeps a layer from being collected as long as the result lives: whoever mounts it holds one.
    #[must_use]
    pub fn hold(&self, id: &LayerId) -> InUse {
        *locked(&self.shelf.users).entry(id.clone()).or_default() += 1;
        InUse { id: id.clone(), users: Arc::clone(&self.shelf.users) }
    }

    /// An empty directory in the store's file system for something that is being made. Removed at the next start if it is still there.
    pub(super) fn scratch(&self) -> Result<PathBuf, LayerError> {
        let name = super::id::hex(&random());
        let path = self.shelf.root.join(SCRATCH).join(name);
        fs::create_dir_all(&path).map_err(LayerError::at("make", &path))?;
        Ok(path)
    }

    pub(super) fn owners(&self) -> Owners {
        self.shelf.owners
    }

    pub(super) fn directory(&self, id: &LayerId) -> PathBuf {
        self.shelf.root.join(id.as_str())
    }

    pub(super) fn sealing(&self, id: &LayerId) -> PathBuf {
        self.shelf.root.join(format!("{id}{SEALING}"))
    }

    pub(super) fn damaged(&self, name: &str) -> PathBuf {
        self.shelf.root.join(format!("{name}{DAMAGED}"))
    }

    pub(super) fn publishing(&self) -> MutexGuard<'_, ()> {
        locked(&self.shelf.publishing)
    }

    pub(super) fn users(&self) -> &Users {
        &self.shelf.users
    }

    pub(super) fn is_checked(&self, id: &LayerId) -> bool {
        locked(&self.shelf.checked).contains(id)
    }

    pub(super) fn remember_checked(&self, id: &LayerId) {
        locked(&self.shelf.checked).insert(id.clone());
    }

    pub(super) fn forget(&self, id: &LayerId) {
        locked(&self.shelf.checked).remove(id);
    }

    pub(super) fn sync_directory(&self) -> Result<(), LayerError> {
        sync_path(&self.shelf.root)
    }

    /// Takes a damaged layer out of the way, so that it is never used.
    pub(super) fn set_aside(&self, id: &LayerId) -> Result<(), LayerError> {
        let _one_at_a_time = self.publishing();
        let directory = self.directory(id);
        let aside = self.damaged(&format!("{id}.{}", now_ms()));
        fs::rename(&directory, &aside).map_err(LayerError::at("move", &directory))?;
        self.forget(id);
        self.sync_directory()
    }

    /// Names of entries that end in `end`, without it.
    pub(super) fn names(&self, end: &str) -> Result<Vec<String>, LayerError> {
        let entries = fs::read_dir(&self.shelf.root).map_err(LayerError::at("list", &self.shelf.root))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(LayerError::at("list", &self.shelf.root))?;
            if let Some(name) = entry.file_name().to_str().and_then(|name| name.strip_suffix(end)) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Completes or removes what an earlier process left.
    fn sweep(&self) -> Result<(), LayerError> {
        let scratch = self.shelf.root.join(SCRATCH);
        match fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LayerError::at("remove", &scratch)(error));
            }
            _ => {}
        }
        for id in self.names(SEALING)?.iter().filter_map(|name| name.parse::<LayerId>().ok()) {
            self.complete(&id)?;
        }
        for id in self.names("")?.iter().filter_map(|name| name.parse::<LayerId>().ok()) {
            if !self.holds(&id) {
                // Not the work of `seal`, which moves complete layers only.
                tracing::warn!(layer = %id, "a layer without a manifest is set aside");
                self.set_aside(&id)?;
            }
        }
        Ok(())
    }

    fn complete(&self, id: &LayerId) -> Result<(), LayerError> {
        let sealing = self.sealing(id);
        if !sealing.join(TREE).is_dir() {
            // Its tree is where it was: sealing it again begins anew.
            return fs::remove_dir_all(&sealing).map_err(LayerError::at("remove", &sealing));
        }
        match self.check_fully(id, &sealing) {
            Ok(_) => {
                sync_path(&sealing)?;
                fs::rename(&sealing, self.directory(id)).map_err(LayerError::at("move", &sealing))?;
                tracing::info!(layer = %id, "a layer that was interrupted on its last step is complete");
            }
            Err(error) => {
                tracing::warn!(layer = %id, %error, "an interrupted layer is set aside");
                let aside = self.damaged(&format!("{id}.{}", now_ms()));
                fs::rename(&sealing, &aside).map_err(LayerError::at("move", &sealing))?;
            }
        }
        self.sync_directory()
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut users = locked(&self.users);
        if let Some(count) = users.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.id);
            }
        }
    }
}

/// Nothing that holds these locks can leave what they guard half done.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a file so that it is there in full or as before, also after a power cut.
pub(super) fn write_durably(path: &Path, content: &[u8]) -> Result<(), LayerError> {
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&new);
        LayerError::at("write", path)(error)
    })
}

/// A name that nothing else has.
fn random() -> [u8; 8] {
    let mut bytes = [0; 8];
    // Filling a few bytes does not fail once the machine has started; a zero name would be caught by whoever makes it.
    let _ = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    bytes
}
