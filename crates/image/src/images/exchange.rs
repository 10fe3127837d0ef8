//! Images out of this hangar as files, and into it.
//!
//! ```text
//!   export: image ──layers packed──▶ images/exchange/<n>/image.tar, opened and unlinked ──▶ whoever asked
//!   import: bytes ──▶ images/exchange/<n>/image.tar ──unpacked, digests ✓──▶ layers held, manifest ✓ ──adopt──▶ catalog
//! ```
//!
//! Both work in a directory of their own that is gone afterwards; what a killed hangar left of one is swept at the start.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use hangar_sandbox::layers::InUse;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{Images, ImagesError, Lease, task::Ask};
use crate::{
    build::{now_ms, place::Place},
    image::{Image, ImageId},
    oci::{self, Exported, Squeeze},
};

/// Images on their way in or out at once: each needs as much disk as it has layers, and a processor.
pub const EXCHANGES_MAX: usize = 2;
/// The file in the exchange's directory.
const FILE: &str = "image.tar";

/// Why an image was not given out or taken in.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// There is no image of this id, or not any more.
    #[error("there is no image {0}")]
    NoImage(ImageId),
    /// The file is no image, or a layer cannot be written into one.
    #[error(transparent)]
    Oci(#[from] oci::Error),
    /// It is an image of hangar's that cannot be used here.
    #[error("the image was refused: {0}")]
    Unfit(String),
    /// As many as may be are on their way.
    #[error("{EXCHANGES_MAX} images are on their way in or out already")]
    Busy,
    /// A directory cannot be used.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// hangar is ending, or the catalog cannot be written.
    #[error(transparent)]
    Images(#[from] ImagesError),
}

/// An image that was written to a file.
#[derive(Debug)]
pub struct GivenOut {
    /// The file, at its beginning. It has no name any more: its space is free when this is dropped.
    pub file: File,
    /// The image that is in it: the one asked for, or the same files under another id where its layers had to be made one.
    pub image: Image,
    /// What was written.
    pub exported: Exported,
    _place: OwnedSemaphorePermit,
}

/// An image that is coming in. Dropped before it is adopted, nothing of it is left but layers, until they are collected.
#[derive(Debug)]
pub struct ComingIn {
    images: Images,
    place: Place,
    _place: OwnedSemaphorePermit,
}

/// An image that was unpacked and found to be one of hangar's. Nobody uses it before it is adopted.
pub struct CameIn {
    images: Images,
    image: Arc<Image>,
    _held: Vec<InUse>,
    _place: OwnedSemaphorePermit,
}

/// What came of adopting an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// It is in the catalog now.
    New,
    /// It was there before.
    Known,
}

impl Images {
    /// Writes an image to a file, as [`oci::export_image`] does.
    ///
    /// # Errors
    /// When there is no such image, too many are on their way, a layer is missing or changed, or the disk is full.
    pub async fn export(&self, id: &ImageId, squeeze: Squeeze) -> Result<GivenOut, ExchangeError> {
        let image = self.image(id).ok_or_else(|| ExchangeError::NoImage(id.clone()))?;
        let permit = self.exchange()?;
        let lease = self.lease(image);
        let place = self.exchange_place()?;
        let store = Arc::clone(&self.shared.store);
        blocking(move || {
            let path = place.path(FILE);
            let image: &Lease = &lease;
            let (image, exported) = oci::export_image(image.image(), &store, &path, &place.path("scratch"), squeeze)?;
            let file = File::open(&path).map_err(disk(&path))?;
            Ok(GivenOut { file, image, exported, _place: permit })
        })
        .await
    }

    /// Makes room for an image that comes in.
    ///
    /// # Errors
    /// When too many are on their way, or the disk is full.
    pub fn coming_in(&self) -> Result<ComingIn, ExchangeError> {
        let permit = self.exchange()?;
        Ok(ComingIn { images: self.clone(), place: self.exchange_place()?, _place: permit })
    }

    fn exchange(&self) -> Result<OwnedSemaphorePermit, ExchangeError> {
        Arc::clone(&self.shared.exchanges).try_acquire_owned().map_err(|_| ExchangeError::Busy)
    }

    fn exchange_place(&self) -> Result<Place, ExchangeError> {
        let folder = &self.shared.exchange_folder;
        let place = Place::new(folder).map_err(disk(folder))?;
        for part in ["scratch", "parts"] {
            let path = place.path(part);
            std::fs::create_dir(&path).map_err(disk(&path))?;
        }
        Ok(place)
    }
}

impl ComingIn {
    /// Where to write the file that [`oci::export_image`] wrote somewhere.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.place.path(FILE)
    }

    /// Most bytes that the file may have.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.images.shared.import_limits.bytes
    }

    /// Unpacks the file and looks whether it is an image of hangar's.
    ///
    /// # Errors
    /// When it is no image, was changed, or has something in it that no build would have written.
    pub async fn read(self) -> Result<CameIn, ExchangeError> {
        let Self { images, place, _place } = self;
        let (store, limits) = (Arc::clone(&images.shared.store), images.shared.import_limits);
        let (image, held) = blocking(move || {
            let (image, held) = oci::import_image(&place.path(FILE), &store, &place.path("parts"), limits)?;
            match image.flaw(now_ms(), limits.bytes) {
                Some(flaw) => Err(ExchangeError::Unfit(flaw)),
                None => Ok((image, held)),
            }
        })
        .await?;
        Ok(CameIn { images, image: Arc::new(image), _held: held, _place })
    }
}

impl CameIn {
    /// The image.
    #[must_use]
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// Puts it into the catalog. It is the newest of its target unless a later one was built.
    ///
    /// # Errors
    /// When the manifest cannot be written, or hangar is ending.
    pub async fn adopt(self) -> Result<Adopted, ExchangeError> {
        let (answer, adopted) = oneshot::channel();
        self.images.send(Ask::Adopt { image: Arc::clone(&self.image), answer }).await?;
        Ok(adopted.await.map_err(|_| ImagesError::Closed)??)
    }
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> ExchangeError {
    let path = path.to_owned();
    move |source| ExchangeError::Disk { path, source }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExchangeError> + Send + 'static,
) -> Result<T, ExchangeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ExchangeError::Unfit(format!("reading it failed ({error})"))),
    }
}
