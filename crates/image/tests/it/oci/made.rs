//! Images made by hand, also such as no honest program makes.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use hangar_image::oci::{self, Digest, Error, Imported, Limits};
use hangar_sandbox::layers::LayerStore;
use serde_json::{Value, json};

/// A data directory with a store of layers.
pub(crate) struct Bench {
    pub directory: tempfile::TempDir,
    pub store: LayerStore,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = LayerStore::open(directory.path()).unwrap();
        Self { directory, store }
    }

    /// A new empty directory in here.
    pub(crate) fn fresh(&self) -> PathBuf {
        tempfile::Builder::new().prefix("fresh-").tempdir_in(self.directory.path()).unwrap().keep()
    }

    pub(crate) fn import(&self, image: &Path) -> Result<Imported, Error> {
        self.import_within(image, Limits::default())
    }

    pub(crate) fn import_within(&self, image: &Path, limits: Limits) -> Result<Imported, Error> {
        oci::import(image, "", &self.store, &self.fresh(), limits, &mut |_, _| {})
    }

    /// Takes in an image of these uncompressed layers, lowest first.
    pub(crate) fn import_layers(&self, layers: &[Vec<u8>]) -> Result<Imported, Error> {
        self.import(&layout(&self.fresh(), layers))
    }
}

/// One entry of a tar file, with nothing checked.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub name: Vec<u8>,
    pub kind: u8,
    pub target: Vec<u8>,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub content: Vec<u8>,
    /// Said instead of the content's length.
    pub size: Option<u64>,
    pub device: (u32, u32),
    pub mtime: u64,
}

impl Entry {
    fn new(kind: u8, name: impl Into<Vec<u8>>) -> Self {
        let mode = if kind == b'5' { 0o755 } else { 0o644 };
        let (target, content) = (Vec::new(), Vec::new());
        Self {
            name: name.into(),
            kind,
            target,
            mode,
            uid: 0,
            gid: 0,
            content,
            size: None,
            device: (0, 0),
            mtime: 1_000_000_000,
        }
    }

    pub(crate) fn file(name: impl Into<Vec<u8>>, content: impl Into<Vec<u8>>) -> Self {
        Self { content: content.into(), ..Self::new(b'0', name) }
    }

    pub(crate) fn directory(name: impl Into<Vec<u8>>) -> Self {
        Self::new(b'5', name)
    }

    pub(crate) fn symlink(name: impl Into<Vec<u8>>, target: impl Into<Vec<u8>>) -> Self {
        Self { target: target.into(), ..Self::new(b'2', name) }
    }

    pub(crate) fn hard_link(name: impl Into<Vec<u8>>, target: impl Into<Vec<u8>>) -> Self {
        Self { target: target.into(), ..Self::new(b'1', name) }
    }

    pub(crate) fn device(name: impl Into<Vec<u8>>, device: (u32, u32)) -> Self {
        Self { device, ..Self::new(b'3', name) }
    }

    /// Another kind of entry, by its letter.
    pub(crate) fn odd(kind: u8, name: impl Into<Vec<u8>>, content: impl Into<Vec<u8>>) -> Self {
        Self { content: content.into(), ..Self::new(kind, name) }
    }

    pub(crate) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    pub(crate) fn owner(self, uid: u64, gid: u64) -> Self {
        Self { uid, gid, ..self }
    }

    pub(crate) fn says_size(self, size: u64) -> Self {
        Self { size: Some(size), ..self }
    }

    fn write(&self, to: &mut Vec<u8>) {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..self.name.len().min(100)].copy_from_slice(&self.name[..self.name.len().min(100)]);
        header.as_old_mut().linkname[..self.target.len().min(100)]
            .copy_from_slice(&self.target[..self.target.len().min(100)]);
        header.set_entry_type(tar::EntryType::new(self.kind));
        header.set_mode(self.mode);
        header.set_uid(self.uid);
        header.set_gid(self.gid);
        header.set_mtime(self.mtime);
        header.set_size(self.size.unwrap_or(self.content.len() as u64));
        header.set_device_major(self.device.0).unwrap();
        header.set_device_minor(self.device.1).unwrap();
        header.set_cksum();
        to.extend_from_slice(header.as_bytes());
        to.extend_from_slice(&self.content);
        to.resize(to.len().next_multiple_of(512), 0);
    }
}

/// An extended record ahead of an entry.
pub(crate) fn said(records: &[(&str, &[u8])]) -> Entry {
    let mut content = Vec::new();
    for (key, value) in records {
        let bare = key.len() + value.len() + 3;
        let length =
            (1..).map(|digits| bare + digits).find(|length| bare + length.to_string().len() == *length).unwrap();
        content.extend(format!("{length} {key}=").into_bytes());
        content.extend_from_slice(value);
        content.push(b'\n');
    }
    Entry::odd(b'x', "said", content)
}

/// A tar file of these entries.
pub(crate) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        entry.write(&mut bytes);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A blob of a layout, and its descriptor.
pub(crate) fn blob(layout: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::of(bytes);
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(digest.hex()), bytes).unwrap();
    json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
}

/// A layout of an image with these layers, lowest first, each as (packed, uncompressed).
pub(crate) fn layout_packed(layout: &Path, layers: &[(Vec<u8>, Vec<u8>)]) -> PathBuf {
    layout_with(layout, layers, &|_| {})
}

pub(crate) fn layout(at: &Path, layers: &[Vec<u8>]) -> PathBuf {
    let layers: Vec<_> = layers.iter().map(|layer| (layer.clone(), layer.clone())).collect();
    layout_packed(at, &layers)
}

/// The same, with something about the documents changed (by name: `config`, `manifest`, `index`).
pub(crate) fn layout_with(
    layout: &Path,
    layers: &[(Vec<u8>, Vec<u8>)],
    change: &dyn Fn(&mut BTreeMap<&str, Value>),
) -> PathBuf {
    let media = "application/vnd.oci.image.layer.v1.tar";
    let descriptors: Vec<_> = layers.iter().map(|(packed, _)| blob(layout, media, packed)).collect();
    let diff_ids: Vec<_> = layers.iter().map(|(_, plain)| Digest::of(plain)).collect();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": { "Env": ["PATH=/usr/bin:/bin", "LANG=C.UTF-8"], "WorkingDir": "/srv", "User": "1000:1000", "Entrypoint": ["/init"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let mut documents = BTreeMap::from([("config", config)]);
    change(&mut documents);
    let config = blob(layout, "application/vnd.oci.image.config.v1+json", documents["config"].to_string().as_bytes());
    documents.insert("manifest", json!({ "schemaVersion": 2, "config": config, "layers": descriptors }));
    change(&mut documents);
    let manifest =
        blob(layout, "application/vnd.oci.image.manifest.v1+json", documents["manifest"].to_string().as_bytes());
    documents.insert("index", json!({ "schemaVersion": 2, "manifests": [manifest] }));
    change(&mut documents);
    fs::write(layout.join("index.json"), documents["index"].to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    layout.to_owned()
}
