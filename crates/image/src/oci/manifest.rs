//! Finds the one image meant in a layout, an archive or a registry's answer.

use serde::{Deserialize, Serialize};

use crate::oci::{
    Digest, Error,
    config::{ImageConfig, architecture},
    limits::LAYERS_MAX,
    source::{Source, blob_name},
};

/// How deep indexes may refer to indexes.
const INDEXES_MAX: usize = 3;

/// An index of a layout or a registry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub manifests: Vec<Descriptor>,
}

/// The manifest of an image.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

/// A reference to content.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    #[serde(default)]
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// What a manifest of an index is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Platform {
    pub architecture: String,
    pub os: String,
}

/// An image that was found, its parts still unread.
#[derive(Debug)]
pub(crate) struct FoundImage {
    /// Of the manifest, where there is one.
    pub digest: Option<Digest>,
    pub config: ImageConfig,
    pub config_digest: Digest,
    /// Lowest first.
    pub layers: Vec<FoundLayer>,
}

/// A layer of it.
#[derive(Debug)]
pub(crate) struct FoundLayer {
    pub name: String,
    /// Of the stream as it lies there. `docker save` does not say it.
    pub digest: Option<Digest>,
    /// Of the uncompressed stream.
    pub diff_id: Digest,
}

/// `manifest.json` of `docker save`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Saved {
    pub config: String,
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    pub layers: Vec<String>,
}

impl FoundImage {
    /// Finds the image in a layout or an archive. `wanted` names it where there are several; empty takes the only one.
    pub(crate) fn find(source: &Source, wanted: &str) -> Result<Self, Error> {
        if source.has("index.json") && source.has("oci-layout") {
            let index: Index = read(&source.document("index.json")?, "index.json")?;
            return Self::of_descriptor(source, choose(&index.manifests, wanted, Several::Ask)?, 0);
        }
        if source.has("manifest.json") {
            let saved: Vec<Saved> = read(&source.document("manifest.json")?, "manifest.json")?;
            return Self::of_saved(source, choose_saved(&saved, wanted)?);
        }
        Err(Error::not_an_image("there is neither an `index.json` with `oci-layout` nor a `manifest.json`"))
    }

    fn of_descriptor(source: &Source, descriptor: &Descriptor, depth: usize) -> Result<Self, Error> {
        let digest: Digest = descriptor.digest.parse()?;
        let bytes = source.blob_document(digest)?;
        if is_index(&descriptor.media_type, &bytes) {
            if depth >= INDEXES_MAX {
                return Err(Error::not_an_image("its indexes refer to each other too deeply"));
            }
            let index: Index = read(&bytes, "an index")?;
            return Self::of_descriptor(source, choose(&index.manifests, "", Several::First)?, depth + 1);
        }
        let manifest: Manifest = read(&bytes, "its manifest")?;
        let config_digest = manifest.config.digest.parse()?;
        let config = ImageConfig::read(&source.blob_document(config_digest)?)?;
        let layers = layers(&config, manifest.layers.len())?;
        let layers = manifest.layers.iter().zip(layers).map(|(layer, diff_id)| {
            check_media_type(&layer.media_type)?;
            let digest: Digest = layer.digest.parse()?;
            Ok(FoundLayer { name: blob_name(digest), digest: Some(digest), diff_id })
        });
        let layers = layers.collect::<Result<_, Error>>()?;
        Ok(Self { digest: Some(digest), config, config_digest, layers })
    }

    fn of_saved(source: &Source, saved: &Saved) -> Result<Self, Error> {
        let bytes = source.document(&saved.config)?;
        let (config, config_digest) = (ImageConfig::read(&bytes)?, Digest::of(&bytes));
        let diff_ids = layers(&config, saved.layers.len())?;
        let layers = saved.layers.iter().zip(diff_ids);
        let layers = layers.map(|(name, diff_id)| FoundLayer { name: name.clone(), digest: None, diff_id }).collect();
        Ok(Self { digest: None, config, config_digest, layers })
    }
}

pub(crate) fn read<T: for<'a> Deserialize<'a>>(bytes: &[u8], what: &str) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::not_an_image(format!("{what} cannot be read ({error})")))
}

/// Whether a document lists images instead of being one.
pub(crate) fn is_index(media_type: &str, bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Look {
        manifests: Option<serde::de::IgnoredAny>,
    }
    let named = media_type.contains("image.index") || media_type.contains("manifest.list");
    named || serde_json::from_slice::<Look>(bytes).is_ok_and(|look| look.manifests.is_some())
}

fn check_media_type(media_type: &str) -> Result<(), Error> {
    // Encrypted and foreign layers, and artifacts that are no images.
    if media_type.contains("encrypted") || media_type.contains("foreign") || media_type.contains("nondistributable") {
        let what = format!("a layer of the kind `{}`", media_type.chars().take(100).collect::<String>());
        return Err(Error::Unsupported {
            what,
            instead: "use an image whose layers are plain, gzip or zstd archives".into(),
        });
    }
    if media_type.is_empty() || media_type.contains("tar") {
        return Ok(());
    }
    let what = format!("a layer of the kind `{}`", media_type.chars().take(100).collect::<String>());
    Err(Error::Unsupported {
        what,
        instead: "use a container image; this is something else that a registry stores".into(),
    })
}

/// The digests of the uncompressed layers, as many as there are layers.
fn layers(config: &ImageConfig, count: usize) -> Result<Vec<Digest>, Error> {
    if count > LAYERS_MAX {
        return Err(Error::TooMuch { what: "layers", limit: LAYERS_MAX as u64 });
    }
    if count == 0 {
        return Err(Error::not_an_image("it has no layers"));
    }
    if config.rootfs.diff_ids.len() != count {
        return Err(Error::not_an_image("its configuration and its manifest have different numbers of layers"));
    }
    config.rootfs.diff_ids.iter().map(|diff_id| diff_id.parse()).collect()
}

/// What tags of layouts are called in annotations.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What to do when several manifests fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Several {
    /// They are variants of one image, the best first.
    First,
    /// They are different images.
    Ask,
}

/// The manifest for this machine, and of this name.
pub(crate) fn choose<'a>(manifests: &'a [Descriptor], wanted: &str, several: Several) -> Result<&'a Descriptor, Error> {
    let named = |descriptor: &&Descriptor| {
        wanted.is_empty() || descriptor.annotations.get(REF_NAME).is_some_and(|name| name == wanted)
    };
    // An image without a platform is judged by its configuration.
    let fits = |descriptor: &&Descriptor| {
        let platform = descriptor.platform.as_ref();
        platform.is_none_or(|platform| platform.os == "linux" && platform.architecture == architecture())
    };
    let mut found = manifests.iter().filter(named).filter(fits);
    match (found.next(), found.next(), several) {
        (Some(one), None, _) | (Some(one), Some(_), Several::First) => Ok(one),
        (Some(_), Some(_), Several::Ask) => {
            let names = manifests.iter().filter_map(|descriptor| descriptor.annotations.get(REF_NAME));
            let names: Vec<_> = names.take(20).map(String::as_str).collect();
            Err(Error::not_an_image(format!("it has several images ({}); name one", names.join(", "))))
        }
        (None, _, _) if manifests.iter().any(|descriptor| named(&descriptor)) => {
            let what = "an image without a variant for this machine".into();
            Err(Error::Unsupported { what, instead: format!("use one for linux/{}", architecture()) })
        }
        (None, _, _) => Err(Error::not_an_image(format!("it has no image named `{wanted}`"))),
    }
}

fn choose_saved<'a>(saved: &'a [Saved], wanted: &str) -> Result<&'a Saved, Error> {
    let named = |saved: &&Saved| wanted.is_empty() || saved.repo_tags.iter().flatten().any(|tag| tag == wanted);
    let mut found = saved.iter().filter(named);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Error::not_an_image("it has several images; name one by its tag")),
        (None, _) => Err(Error::not_an_image(format!("it has no image named `{wanted}`"))),
    }
}
