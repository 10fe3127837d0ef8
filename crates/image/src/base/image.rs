//! Bases that are images of others.

use std::{fs::File, path::Path, sync::Arc};

use crate::{
    base::{BaseError, BaseMaker, Made, Note, Notes, Record, account, blocking, record},
    oci::{self, Digest, Imported, Registry, Resolved},
};

impl BaseMaker {
    /// Asks a registry what an image is now, and names the base that it would become.
    ///
    /// # Errors
    /// When the registry does not answer or does not have the image.
    pub async fn pull_digest(&self, image: &str) -> Result<Digest, BaseError> {
        let resolved = Registry::new(image, &self.settings.registries)?.resolve().await?;
        Ok(pulled(&resolved))
    }

    /// The image of a registry, pulled if it is not here. Its digest is that of [`BaseMaker::pull_digest`].
    ///
    /// # Errors
    /// When it cannot be pulled or taken in.
    pub async fn pull(&self, image: &str, notes: &Notes) -> Result<Made, BaseError> {
        let bare = self.pull_bare(image, notes).await?;
        self.with_account(bare).await
    }

    /// The same without the agent's account.
    pub(super) async fn pull_bare(&self, image: &str, notes: &Notes) -> Result<Made, BaseError> {
        let registry = Registry::new(image, &self.settings.registries)?;
        let resolved = registry.resolve().await?;
        let inputs = pulled(&resolved);
        if let Some(record) = self.recorded(inputs)? {
            return Ok(Made { name: image.to_owned(), ..record.made });
        }
        notes(Note::Step(format!("pull {image} ({})", resolved.digest)));
        let work = self.work()?;
        let layout = work.path().join("layout");
        std::fs::create_dir(&layout).map_err(BaseError::host(&layout))?;
        registry.fetch(&resolved, &layout, self.settings.limits).await?;
        let (maker, name, notes) = (self.clone(), image.to_owned(), Arc::clone(notes));
        blocking(move || {
            let imported = maker.import(&layout, "", work.path(), &notes)?;
            maker.complete(inputs, name, imported)
        })
        .await
    }

    /// An image in a file of this machine: an OCI layout as a tar file, or what `docker save` writes. `wanted` is a tag where there are several, else
    /// empty. The caller has opened the file, so that no link in somebody's repository leads elsewhere.
    ///
    /// # Errors
    /// When it is no image for this machine or has something harmful in it.
    pub async fn archive(&self, file: File, name: &str, wanted: &str, notes: &Notes) -> Result<Made, BaseError> {
        let bare = self.archive_bare(file, name, wanted, notes).await?;
        self.with_account(bare).await
    }

    async fn archive_bare(&self, file: File, name: &str, wanted: &str, notes: &Notes) -> Result<Made, BaseError> {
        let (maker, name, wanted, notes) = (self.clone(), name.to_owned(), wanted.to_owned(), Arc::clone(notes));
        blocking(move || {
            notes(Note::Step(format!("read {name}")));
            let content = digest_of(&file, &name)?;
            let inputs = record::inputs("archive", &[&content.to_string(), &wanted]);
            if let Some(record) = maker.recorded(inputs)? {
                return Ok(Made { name, ..record.made });
            }
            let work = maker.work()?;
            let parts = work.path().join("parts");
            std::fs::create_dir(&parts).map_err(BaseError::host(&parts))?;
            let limits = maker.settings.limits;
            let total = &mut |layer, of| notes(Note::Step(format!("unpack layer {layer} of {of}")));
            let imported = oci::import_file(file, Path::new(&name), &wanted, &maker.store, &parts, limits, total)?;
            maker.complete(inputs, name, imported)
        })
        .await
    }

    fn import(&self, at: &Path, wanted: &str, work: &Path, notes: &Notes) -> Result<Imported, BaseError> {
        let parts = work.join("parts");
        std::fs::create_dir(&parts).map_err(BaseError::host(&parts))?;
        let on_layer = &mut |layer, of| notes(Note::Step(format!("unpack layer {layer} of {of}")));
        Ok(oci::import(at, wanted, &self.store, &parts, self.settings.limits, on_layer)?)
    }

    fn complete(&self, inputs: Digest, name: String, imported: Imported) -> Result<Made, BaseError> {
        let Imported { layers, config, .. } = imported;
        let made = Made { name, digest: inputs, layers, config };
        self.record(&Record { inputs, made: made.clone(), packages: vec![], made_at_ms: record::now_ms() })?;
        Ok(made)
    }

    /// Puts the agent's account on top, where it is missing.
    pub(super) async fn with_account(&self, bare: Made) -> Result<Made, BaseError> {
        let (maker, mut made) = (self.clone(), bare);
        blocking(move || {
            let work = maker.work()?;
            if let Some(account) = account::on_top(&maker.store, &made.layers, work.path())? {
                made.layers.insert(0, account);
            }
            Ok(made)
        })
        .await
    }
}

fn pulled(resolved: &Resolved) -> Digest {
    record::inputs("image", &[&resolved.digest.to_string()])
}

fn digest_of(file: &File, name: &str) -> Result<Digest, BaseError> {
    use std::io::Seek;
    let mut hashing = oci::digest::Hashing::new(file);
    std::io::copy(&mut hashing, &mut std::io::sink()).map_err(BaseError::host(name))?;
    let mut file = file;
    file.rewind().map_err(BaseError::host(name))?;
    Ok(hashing.digest())
}
