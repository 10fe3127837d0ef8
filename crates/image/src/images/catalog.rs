//! Images on disk: one manifest file each, and for each target how its last build went.
//!
//! `data/images/manifests/<id>.json` is an image; its modification time is when it was last used. `data/images/last/<target>.json` is the last attempt.
//! Both are written whole beside their place and moved there, so that a kill at any moment leaves the old file or the new one.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use hangar_sandbox::layers::LayerStore;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{
    build::BuildFailure,
    image::{Image, ImageId, Target},
    recipe::hex,
    steps::BuildStep,
};

/// Ends the name of a file that is not complete.
const PART: &str = "part";

/// How the last build of a target went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastBuild {
    /// Of what.
    pub target: Target,
    /// When it ended: milliseconds since 1970.
    pub ended_at_ms: u64,
    /// Why there is no image of it; `None` when there is.
    pub failure: Option<BuildFailure>,
    /// Failed builds since the last good one.
    pub failures_in_a_row: u32,
}

/// The files.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    folder: PathBuf,
}

impl Catalog {
    /// Opens `folder` and sweeps what is half written.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        let catalog = Self { folder };
        for folder in [catalog.manifests(), catalog.lasts()] {
            fs::create_dir_all(&folder)?;
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|ends| ends == PART) {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(catalog)
    }

    fn manifests(&self) -> PathBuf {
        self.folder.join("manifests")
    }

    fn lasts(&self) -> PathBuf {
        self.folder.join("last")
    }

    fn manifest(&self, id: &ImageId) -> PathBuf {
        self.manifests().join(format!("{id}.json"))
    }

    /// Every image whose manifest is whole and whose layers are there. One that is not is told and left alone.
    pub(crate) fn images(&self, store: &LayerStore) -> io::Result<Vec<Arc<Image>>> {
        let mut found: Vec<Arc<Image>> = Vec::new();
        for image in read_all::<Image>(&self.manifests())? {
            if image.fitting_id() != image.id {
                tracing::warn!(image = %image.id, "an image's manifest was changed; it is not used");
            } else if let Some(missing) = image.layers.iter().find(|layer| !store.holds(layer)) {
                tracing::warn!(image = %image.id, %missing, "an image lacks a layer; it is not used");
            } else {
                found.push(Arc::new(image));
            }
        }
        found.sort_by_key(|image| image.built_at_ms);
        Ok(found)
    }

    pub(crate) fn last_builds(&self) -> io::Result<Vec<LastBuild>> {
        read_all(&self.lasts())
    }

    pub(crate) fn add(&self, image: &Image) -> io::Result<()> {
        write(&self.manifest(&image.id), image)
    }

    pub(crate) fn remove(&self, id: &ImageId) -> io::Result<()> {
        fs::remove_file(self.manifest(id))
    }

    pub(crate) fn note(&self, last: &LastBuild) -> io::Result<()> {
        let name = hex(&Sha256::digest(last.target.to_string()))[..32].to_owned();
        write(&self.lasts().join(format!("{name}.json")), last)
    }

    /// Marks an image as used now.
    pub(crate) fn touch(&self, id: &ImageId) -> io::Result<()> {
        File::open(self.manifest(id))?.set_modified(SystemTime::now())
    }

    /// When an image was last used.
    pub(crate) fn used_at(&self, id: &ImageId) -> io::Result<SystemTime> {
        fs::metadata(self.manifest(id))?.modified()
    }
}

fn read_all<T: DeserializeOwned>(folder: &Path) -> io::Result<Vec<T>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match serde_json::from_slice(&fs::read(&path)?) {
            Ok(value) => found.push(value),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a file of the image catalog cannot be read; it is left alone")
            }
        }
    }
    Ok(found)
}

fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let part = path.with_extension(PART);
    let mut file = File::create(&part)?;
    file.write_all(&serde_json::to_vec_pretty(value)?)?;
    file.sync_all()?;
    BuildStep::CatalogPartWritten.done();
    fs::rename(&part, path)?;
    BuildStep::CatalogMoved.done();
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
