//! From layers to one file that other programs read: a tar file of an OCI layout, with the `manifest.json` that older `docker load` wants.
//!
//! The same layers and words give the same bytes: nothing says when or where the file was written.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::oci::{
    Digest, Error, Owners, RunConfig,
    config::{History, ImageConfig, RootFs, Written, architecture},
    digest::Hashing,
    layer::pack,
    manifest::{REF_NAME, Saved},
    source::blob_name,
};

/// An image to write.
#[derive(Clone, Debug)]
pub struct Export {
    /// Its layers, topmost first, as everywhere.
    pub layers: Vec<ExportLayer>,
    /// How it is run.
    pub config: RunConfig,
    /// What it is.
    pub annotations: Annotations,
    /// What it is called, as `name:tag`.
    pub name: String,
    /// How layers are packed.
    pub squeeze: Squeeze,
}

/// A layer to write.
#[derive(Clone, Debug)]
pub struct ExportLayer {
    /// Its tree, from the layer store; verified by the caller.
    pub tree: PathBuf,
    /// What made it, for the image's history.
    pub made_by: String,
}

/// What an exported image says about where it comes from. Empty words are left out.
#[derive(Clone, Debug, Default)]
pub struct Annotations {
    /// `owner/name` or an address. No credential belongs in here.
    pub repository: String,
    /// The commit it was built from.
    pub commit: String,
    /// The digest of the recipe it was built by.
    pub recipe: String,
    /// When it was built, as RFC 3339.
    pub built_at: String,
}

/// How layers are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squeeze {
    /// gzip: every program reads it.
    Gzip,
    /// zstd: smaller and several times faster; docker before 23 does not read it.
    Zstd,
    /// Not at all: fastest.
    Not,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Of the image's manifest: what the image is called by anywhere.
    pub digest: Digest,
    /// The digests of the uncompressed layers, topmost first.
    pub diff_ids: Vec<Digest>,
    /// Size of the file.
    pub bytes: u64,
}

/// How much effort packing takes: gzip 0 to 9, zstd 1 to 22. Both are the programs' own defaults.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

const MEDIA_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const MEDIA_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MEDIA_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Writes the image to `file`, which must not exist; on failure it does not exist afterwards either. `scratch` is a directory for layers on their way.
/// Blocks.
///
/// # Errors
/// When a layer has something no image can say, or the disk is full.
pub fn export(image: &Export, file: &Path, scratch: &Path) -> Result<Exported, Error> {
    let new = File::options().write(true).create_new(true).open(file).map_err(Error::host(file))?;
    let written = write(image, new, scratch);
    if written.is_err() {
        // The first error tells more than a second one would.
        let _ = std::fs::remove_file(file);
    }
    written
}

fn write(image: &Export, file: File, scratch: &Path) -> Result<Exported, Error> {
    let failed = || Error::stream("write the image");
    let mut archive = Archive { to: tar::Builder::new(BufWriter::new(file)), written: HashSet::new() };
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let (mut descriptors, mut diff_ids, mut history) = (Vec::new(), Vec::new(), Vec::new());
    for layer in image.layers.iter().rev() {
        let packed = squeeze(layer, image.squeeze, scratch)?;
        archive.blob(&packed)?;
        descriptors
            .push(json!({ "mediaType": media_type(image.squeeze), "digest": packed.digest, "size": packed.bytes }));
        diff_ids.push(packed.diff_id);
        history.push(History { created_by: Some(layer.made_by.clone()), ..History::default() });
    }
    let annotations = annotations(&image.annotations);
    let mut run = image.config.clone();
    run.labels.extend(annotations.clone());
    let config = ImageConfig {
        created: (!image.annotations.built_at.is_empty()).then(|| image.annotations.built_at.clone()),
        architecture: architecture().into(),
        os: "linux".into(),
        config: Some(Written::from(&run)),
        rootfs: RootFs { kind: "layers".into(), diff_ids: diff_ids.iter().map(Digest::to_string).collect() },
        history: Some(history),
    };
    let config = serde_json::to_vec(&config).map_err(io::Error::from).map_err(failed())?;
    let config_digest = archive.document(&config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MEDIA_MANIFEST,
        "config": { "mediaType": MEDIA_CONFIG, "digest": config_digest, "size": config.len() },
        "layers": descriptors,
        "annotations": annotations,
    });
    let manifest = serde_json::to_vec(&manifest).map_err(io::Error::from).map_err(failed())?;
    let digest = archive.document(&manifest)?;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MEDIA_INDEX,
        "manifests": [{
            "mediaType": MEDIA_MANIFEST,
            "digest": digest,
            "size": manifest.len(),
            "platform": { "architecture": architecture(), "os": "linux" },
            "annotations": { REF_NAME: image.name },
        }],
    });
    archive.file("index.json", &serde_json::to_vec(&index).map_err(io::Error::from).map_err(failed())?)?;
    let layers = descriptors.iter().filter_map(|layer| layer.get("digest")?.as_str()?.parse().ok().map(blob_name));
    let saved = [Saved {
        config: blob_name(config_digest),
        repo_tags: (!image.name.is_empty()).then(|| vec![image.name.clone()]),
        layers: layers.collect(),
    }];
    archive.file("manifest.json", &serde_json::to_vec(&saved).map_err(io::Error::from).map_err(failed())?)?;
    let bytes = archive.finish().map_err(failed())?;
    diff_ids.reverse();
    Ok(Exported { digest, diff_ids, bytes })
}

fn media_type(squeeze: Squeeze) -> &'static str {
    match squeeze {
        Squeeze::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Squeeze::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        Squeeze::Not => "application/vnd.oci.image.layer.v1.tar",
    }
}

fn annotations(annotations: &Annotations) -> BTreeMap<String, String> {
    let Annotations { repository, commit, recipe, built_at } = annotations;
    let said = [
        ("org.opencontainers.image.source", repository),
        ("org.opencontainers.image.revision", commit),
        ("org.opencontainers.image.created", built_at),
        ("dev.hangar.recipe.digest", recipe),
    ];
    said.into_iter().filter(|(_, word)| !word.is_empty()).map(|(name, word)| (name.to_owned(), word.clone())).collect()
}

/// A layer's stream, packed, in a nameless file.
struct Squeezed {
    file: File,
    digest: Digest,
    diff_id: Digest,
    bytes: u64,
}

fn squeeze(layer: &ExportLayer, squeeze: Squeeze, scratch: &Path) -> Result<Squeezed, Error> {
    let failed = || Error::stream("pack a layer");
    let file = tempfile::tempfile_in(scratch).map_err(Error::host(scratch))?;
    let packed = Hashing::new(BufWriter::new(file));
    let (packed, diff_id) = match squeeze {
        Squeeze::Not => {
            let mut plain = Hashing::new(packed);
            pack(&layer.tree, Owners::detect(), &mut plain)?;
            let (packed, diff_id, _) = plain.split();
            (packed, diff_id)
        }
        Squeeze::Gzip => {
            let encoder = flate2::GzBuilder::new().mtime(0).operating_system(255);
            let mut plain = Hashing::new(encoder.write(packed, flate2::Compression::new(GZIP_LEVEL)));
            pack(&layer.tree, Owners::detect(), &mut plain)?;
            let (encoder, diff_id, _) = plain.split();
            (encoder.finish().map_err(failed())?, diff_id)
        }
        Squeeze::Zstd => {
            let mut plain = Hashing::new(zstd::Encoder::new(packed, ZSTD_LEVEL).map_err(failed())?);
            pack(&layer.tree, Owners::detect(), &mut plain)?;
            let (encoder, diff_id, _) = plain.split();
            (encoder.finish().map_err(failed())?, diff_id)
        }
    };
    let (buffered, digest, bytes) = packed.split();
    let mut file = buffered.into_inner().map_err(|error| failed()(error.into_error()))?;
    file.seek(SeekFrom::Start(0)).map_err(failed())?;
    Ok(Squeezed { file, digest, diff_id, bytes })
}

/// The file that is being written.
struct Archive {
    to: tar::Builder<BufWriter<File>>,
    /// Layers may be equal; each blob is written once.
    written: HashSet<Digest>,
}

impl Archive {
    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.append(name, bytes.len() as u64, bytes)
    }

    fn document(&mut self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if self.written.insert(digest) {
            self.file(&blob_name(digest), bytes)?;
        }
        Ok(digest)
    }

    fn blob(&mut self, blob: &Squeezed) -> Result<(), Error> {
        if !self.written.insert(blob.digest) {
            return Ok(());
        }
        self.append(&blob_name(blob.digest), blob.bytes, &blob.file)
    }

    fn append(&mut self, name: &str, bytes: u64, content: impl io::Read) -> Result<(), Error> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes);
        self.to.append_data(&mut header, name, content).map_err(Error::stream("write the image"))
    }

    /// Puts everything on disk and returns the file's size.
    fn finish(self) -> io::Result<u64> {
        let mut buffered = self.to.into_inner()?;
        buffered.flush()?;
        let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}
