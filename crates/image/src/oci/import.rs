//! From an image's files to layers in the store.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use hangar_sandbox::layers::{About, Kind, LayerId, LayerStore};

use crate::oci::{
    Digest, Error, Limits, Owners,
    config::RunConfig,
    digest::{Bounded, Hashing},
    layer::unpack,
    limits::Budget,
    manifest::{FoundImage, FoundLayer},
    source::{Packing, Source},
};

/// An image that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Of the image's manifest, or of its configuration where there is no manifest (`docker save`).
    pub digest: Digest,
    /// Its layers in the store, topmost first.
    pub layers: Vec<LayerId>,
    /// The digests of its uncompressed layers, in the same order.
    pub diff_ids: Vec<Digest>,
    /// How it is run.
    pub config: RunConfig,
    /// Device files that were left out, over all layers.
    pub devices_left_out: u64,
    /// Extended attributes that were left out, over all layers.
    pub attributes_left_out: u64,
}

/// Tells how far it is: which layer of how many, from 1.
pub type OnLayer<'a> = &'a mut dyn FnMut(usize, usize);

/// Takes in the image in an OCI layout (a directory or a tar file of it) or in a file that `docker save` wrote; either may be packed with gzip or
/// zstd. `wanted` is a tag where there are several images, else empty. `work` is an empty directory in the store's file system. Blocks.
///
/// # Errors
/// When it is no image for this machine, has something harmful in it or too much of anything, or is not what its digests say. Layers that were
/// complete before stay in the store until they are collected.
pub fn import(
    path: &Path,
    wanted: &str,
    store: &LayerStore,
    work: &Path,
    limits: Limits,
    on_layer: OnLayer<'_>,
) -> Result<Imported, Error> {
    let source = Source::open(path, work, limits)?;
    let image = FoundImage::find(&source, wanted)?;
    take_in(&source, image, store, work, limits, on_layer)
}

/// The same for a file that is open already; `name` is for errors.
///
/// # Errors
/// As [`import`].
pub fn import_file(
    file: File,
    name: &Path,
    wanted: &str,
    store: &LayerStore,
    work: &Path,
    limits: Limits,
    on_layer: OnLayer<'_>,
) -> Result<Imported, Error> {
    let source = Source::of_file(file, name, work, limits)?;
    let image = FoundImage::find(&source, wanted)?;
    take_in(&source, image, store, work, limits, on_layer)
}

/// Unpacks a plain tar stream of a program on this machine into the empty directory `tree`.
pub(crate) fn unpack_plain(stream: &mut dyn Read, tree: &Path, owners: Owners, limits: Limits) -> Result<(), Error> {
    unpack(stream, tree, &[], owners, &mut Budget::new(limits)).map(drop)
}

fn take_in(
    source: &Source,
    image: FoundImage,
    store: &LayerStore,
    work: &Path,
    limits: Limits,
    on_layer: OnLayer<'_>,
) -> Result<Imported, Error> {
    let FoundImage { digest, config, config_digest, layers: found } = image;
    let mut budget = Budget::new(limits);
    let mut imported = Imported {
        digest: digest.unwrap_or(config_digest),
        layers: Vec::new(),
        diff_ids: Vec::new(),
        config: config.config.map(RunConfig::from).unwrap_or_default(),
        devices_left_out: 0,
        attributes_left_out: 0,
    };
    // Held until the caller has written down what it got.
    let mut held = Vec::new();
    for (index, layer) in found.iter().enumerate() {
        on_layer(index + 1, found.len());
        let tree = work.join(format!("layer-{index}"));
        std::fs::create_dir(&tree).map_err(Error::host(&tree))?;
        let below: Vec<_> = imported.layers.iter().map(|id| store.tree(id)).collect();
        let unpacked =
            checked(source, layer, |stream| unpack(stream, &tree, &below, Owners::detect(), &mut budget), limits)?;
        imported.devices_left_out += unpacked.devices_left_out;
        imported.attributes_left_out += unpacked.attributes_left_out;
        let kind = if index == 0 { Kind::Base } else { Kind::Image };
        let id = store.seal(&tree, About::new(kind, format!("layer {} of {}", index + 1, imported.digest)))?;
        if tree.exists() {
            // The store had it already.
            std::fs::remove_dir_all(&tree).map_err(Error::host(&tree))?;
        }
        held.push(store.hold(&id));
        imported.layers.insert(0, id);
        imported.diff_ids.insert(0, layer.diff_id);
    }
    Ok(imported)
}

/// Gives the uncompressed stream of a layer to `unpack`, and what that made only when both digests are right.
fn checked<T>(
    source: &Source,
    layer: &FoundLayer,
    unpack: impl FnOnce(&mut dyn Read) -> Result<T, Error>,
    limits: Limits,
) -> Result<T, Error> {
    let part = source.part(&layer.name)?;
    let packed_bytes = part.bytes;
    let mut packed = Hashing::new(part.content);
    let mut first = [0; 4];
    let count = read_first(&mut packed, &mut first)?;
    let first = first.get(..count).unwrap_or_default().to_vec();
    let packing = Packing::of(&first);
    let result = {
        let whole = BufReader::new(first.as_slice().chain(&mut packed));
        let plain = Bounded::new(packing.open(whole)?, packed_bytes, limits);
        let mut plain = Hashing::new(plain);
        let result = unpack(&mut plain)?;
        layer.diff_id.expect(|| "an unpacked layer of the image".into(), &plain.digest())?;
        result
    };
    // What a decoder leaves behind the packed stream counts for its digest.
    io::copy(&mut packed, &mut io::sink()).map_err(Error::stream("read a layer"))?;
    if let Some(digest) = layer.digest {
        digest.expect(|| "a layer of the image".into(), &packed.digest())?;
    }
    Ok(result)
}

fn read_first(from: &mut impl Read, first: &mut [u8; 4]) -> Result<usize, Error> {
    let mut count = 0;
    while let Some(rest) = first.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match from.read(rest).map_err(Error::stream("read a layer"))? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}
