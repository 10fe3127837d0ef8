//! hangar's own images, given to another hangar or to other programs, and taken back.
//!
//! The image's manifest travels as a label. What comes back is accepted only when its layers are the ones the manifest names and the manifest's id fits it: then it is the
//! same image, wherever it was in between.

use std::{fs::File, path::Path};

use hangar_sandbox::layers::{Below, InUse, LayerStore};

use crate::{
    image::{BaseKind, Image},
    oci::{
        Annotations, Error, Export, ExportLayer, Exported, Limits, RunConfig, Squeeze, export, import_file,
        layer::RENAMED,
    },
};

/// The label that has the manifest of hangar's image.
pub const IMAGE_LABEL: &str = "dev.hangar.image";

/// Writes an image to `file`, which must not exist. `scratch` is a directory for what is on its way. When a layer has something no image can say (a directory of a lower layer
/// that was renamed), the image's layers are made one first; what is written is then that image, with an id of its own. Blocks, for as long as it takes to read the image and pack it.
///
/// An image over the base `host` is written without this machine's programs: another hangar can use it, other programs cannot run it.
///
/// # Errors
/// When a layer is missing or changed, or the disk is full.
pub fn export_image(
    image: &Image,
    store: &LayerStore,
    file: &Path,
    scratch: &Path,
    squeeze: Squeeze,
) -> Result<(Image, Exported), Error> {
    let _held: Vec<_> = image.layers.iter().map(|layer| store.hold(layer)).collect();
    for layer in &image.layers {
        store.verify(layer)?;
    }
    match write(image, store, file, scratch, squeeze) {
        Err(Error::NotExportable { reason, .. }) if reason == RENAMED => {
            let below = match image.base.kind {
                BaseKind::Host => Below::Layers,
                BaseKind::Tree => Below::Nothing,
            };
            let whole = store.squash(&image.layers, below, &format!("all layers of image {}", image.id))?;
            let mut squashed = image.clone();
            squashed.layers = vec![whole];
            squashed.base.layers = Vec::new();
            let squashed = squashed.named();
            let exported = write(&squashed, store, file, scratch, squeeze)?;
            Ok((squashed, exported))
        }
        written => Ok((image.clone(), written?)),
    }
}

fn write(image: &Image, store: &LayerStore, file: &Path, scratch: &Path, squeeze: Squeeze) -> Result<Exported, Error> {
    let manifest =
        serde_json::to_string(image).map_err(std::io::Error::from).map_err(Error::stream("write the image"))?;
    let built_at = i64::try_from(image.built_at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let made_by = |layer| store.manifest(layer).map(|manifest| manifest.about.label).unwrap_or_default();
    let layers = image.layers.iter();
    let repo = image.target.repo.to_string();
    let commit: String = image.commit.chars().take(12).collect();
    let image = Export {
        layers: layers.map(|layer| ExportLayer { tree: store.tree(layer), made_by: made_by(layer) }).collect(),
        config: RunConfig {
            env: image.env.clone(),
            working_dir: "/workspace".into(),
            user: "1000:1000".into(),
            labels: [(IMAGE_LABEL.to_owned(), manifest)].into(),
            ..RunConfig::default()
        },
        annotations: Annotations {
            repository: repo.clone(),
            commit: image.commit.clone(),
            recipe: image.recipe_digest.clone(),
            built_at: built_at.map(|time| time.to_string()).unwrap_or_default(),
        },
        name: format!("{}:{commit}", repo.to_lowercase()),
        squeeze,
    };
    export(&image, file, scratch)
}

/// Takes in an image that [`export_image`] wrote. Its layers are in the store afterwards, and stay as long as what is returned beside the image lives. `work` is an empty directory in the
/// store's file system. Blocks.
///
/// # Errors
/// As [`import`](fn@crate::oci::import); and when it is no image of hangar's, or not as it was written.
pub fn import_image(
    file: &Path,
    store: &LayerStore,
    work: &Path,
    limits: Limits,
) -> Result<(Image, Vec<InUse>), Error> {
    let opened = File::open(file).map_err(Error::host(file))?;
    let imported = import_file(opened, file, "", store, work, limits, &mut |_, _| {})?;
    let manifest = imported.config.labels.get(IMAGE_LABEL).ok_or_else(|| Error::Unsupported {
        what: "an image that hangar did not build".into(),
        instead: "name the file as the `archive` of a recipe's base".into(),
    })?;
    let image: Image = serde_json::from_str(manifest)
        .map_err(|error| Error::not_an_image(format!("its hangar manifest cannot be read ({error})")))?;
    if image.layers != imported.layers || image.fitting_id() != image.id {
        return Err(Error::not_an_image(
            "its hangar manifest does not fit its layers (it was changed, or written by a hangar with other rights)",
        ));
    }
    let held = image.layers.iter().map(|layer| store.hold(layer)).collect();
    match image.layers.iter().find(|layer| !store.holds(layer)) {
        Some(layer) => {
            Err(Error::not_an_image(format!("its layer {layer} was collected meanwhile; bring it in again")))
        }
        None => Ok((image, held)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use std::{collections::BTreeMap, fs, path::PathBuf};

    use hangar_sandbox::layers::{About, Given, Kind, LayerId};

    use super::*;
    use crate::{
        image::{BaseUsed, Target, Took},
        recipe::Recipe,
    };

    fn seal(store: &LayerStore, at: PathBuf, make: impl FnOnce(&Path)) -> LayerId {
        fs::create_dir(&at).unwrap();
        make(&at);
        store.adopt(&at, Given::IdById).unwrap();
        store.seal(&at, About::new(Kind::Image, "a layer of a test")).unwrap()
    }

    fn image(layers: Vec<LayerId>) -> Image {
        Image {
            id: Image::unnamed(),
            target: Target::of("Acme/App".parse().unwrap()),
            commit: "c0ffee".repeat(7).chars().take(40).collect(),
            branch: "main".into(),
            beside: vec![],
            base: BaseUsed {
                kind: BaseKind::Tree,
                name: "debian".into(),
                digest: "d".into(),
                layers: layers.iter().skip(1).cloned().collect(),
                env: BTreeMap::new(),
            },
            layers,
            recipe: Recipe::empty("a test"),
            recipe_digest: "r".into(),
            recipe_version: 1,
            env: [("A".to_owned(), "b".to_owned())].into(),
            verification: vec![],
            notes: vec![],
            built_at_ms: 1_767_225_600_000,
            took: Took::default(),
            parent: None,
            generation: 0,
            disk_bytes: 1,
        }
        .named()
    }

    #[test]
    fn an_image_comes_back_as_itself_and_nothing_else_does() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (from, to) = (LayerStore::open(here.path()).unwrap(), LayerStore::open(there.path()).unwrap());
        let base = seal(&from, here.path().join("base"), |at| fs::write(at.join("program"), "x").unwrap());
        let top = seal(&from, here.path().join("top"), |at| fs::write(at.join("code"), "y").unwrap());
        let built = image(vec![top, base.clone()]);
        let file = here.path().join("image.tar");
        let (written, exported) = export_image(&built, &from, &file, here.path(), Squeeze::Zstd).unwrap();
        assert_eq!((&written, exported.diff_ids.len()), (&built, 2));
        let work = |name: &str| {
            let work = there.path().join(name);
            fs::create_dir(&work).unwrap();
            work
        };
        assert_eq!(import_image(&file, &to, &work("one"), Limits::default()).unwrap().0, built);

        // Other words about the same layers are not this image.
        let mut forged = built.clone();
        forged.commit = "0".repeat(40);
        let file = here.path().join("forged.tar");
        write(&forged, &from, &file, here.path(), Squeeze::Not).unwrap();
        let error = import_image(&file, &to, &work("two"), Limits::default()).map(drop).unwrap_err().to_string();
        assert!(error.contains("does not fit"), "{error}");

        // What no image can say is made one layer first.
        let redirect = crate::oci::Owners::detect().redirect();
        let low = seal(&from, here.path().join("low"), |at| {
            fs::create_dir(at.join("old")).unwrap();
            fs::write(at.join("old/inside"), "z").unwrap();
        });
        let renamed = seal(&from, here.path().join("renamed"), |at| {
            fs::create_dir(at.join("new")).unwrap();
            let none = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(at.join("new"), redirect, b"/old", none).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                at.join("old"),
                rustix::fs::FileType::CharacterDevice,
                rustix::fs::Mode::empty(),
                0,
            )
            .unwrap();
        });
        let built = image(vec![renamed, low, base]);
        let file = here.path().join("renamed.tar");
        let (written, _) = export_image(&built, &from, &file, here.path(), Squeeze::Gzip).unwrap();
        assert!(written.id != built.id && written.layers.len() == 1);
        let (back, _held) = import_image(&file, &to, &work("three"), Limits::default()).unwrap();
        let tree = to.tree(&back.layers[0]);
        assert_eq!(fs::read_to_string(tree.join("new/inside")).unwrap(), "z");
        assert!(!tree.join("old").exists() && tree.join("program").exists());
    }
}
