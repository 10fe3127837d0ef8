//! From a registry to a layout in a directory, from which it is taken in like any other.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use oci_client::{
    Client, Reference,
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    manifest::OciDescriptor,
    secrets::RegistryAuth,
};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::oci::{
    Digest, Error, Limits,
    digest::Hasher,
    limits::{DOCUMENT_BYTES_MAX, LAYERS_MAX},
    manifest::{Descriptor, Index, Manifest, Several, choose, is_index, read},
    source::blob_name,
};

/// How long a registry may take to answer the call, and to send the next piece.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);
const READ_PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to send a manifest.
const DOCUMENT_PATIENCE: Duration = Duration::from_secs(120);
/// Layers fetched at once; registries commonly allow as many.
const FETCHED_AT_ONCE: usize = 3;

/// What a registry may be asked for, in order of preference.
const ACCEPTED: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    /// Who hangar is, by registry (`ghcr.io`, `registry.example:5000`). Used for the registry alone, and written nowhere.
    pub credentials: BTreeMap<String, Credential>,
    /// Registries reached without TLS; for those on the same machine or network that have none.
    pub plain_http: Vec<String>,
    /// Files of further certificate authorities, in PEM.
    pub authorities: Vec<PathBuf>,
}

/// A name and a password or token for a registry.
#[derive(Clone)]
pub struct Credential {
    /// The name.
    pub user: String,
    /// The password or token.
    pub password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("user", &self.user).finish_non_exhaustive()
    }
}

/// An image in a registry whose content is known, but not here.
#[derive(Debug)]
pub struct Resolved {
    /// Of the manifest for this machine.
    pub digest: Digest,
    /// The manifest itself.
    bytes: Vec<u8>,
}

/// A way to one image in a registry.
pub struct Registry {
    client: Client,
    reference: Reference,
    auth: RegistryAuth,
    image: String,
}

impl Registry {
    /// A way to `image`: `name`, `name:tag` or `name@sha256:…`, with a registry in front or Docker Hub's.
    ///
    /// # Errors
    /// When the name cannot be understood or a certificate authority's file cannot be read.
    pub fn new(image: &str, registries: &Registries) -> Result<Self, Error> {
        let failed = |reason: String| Error::Registry { image: image.chars().take(300).collect(), reason };
        let reference: Reference =
            image.parse().map_err(|error| failed(format!("the name cannot be understood ({error})")))?;
        let mut authorities = Vec::new();
        for path in &registries.authorities {
            let data = fs::read(path).map_err(Error::host(path))?;
            authorities.push(Certificate { encoding: CertificateEncoding::Pem, data });
        }
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(registries.plain_http.clone()),
            extra_root_certificates: authorities,
            connect_timeout: Some(CONNECT_PATIENCE),
            read_timeout: Some(READ_PATIENCE),
            user_agent: concat!("hangar/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let auth = match registries.credentials.get(reference.registry()) {
            Some(Credential { user, password }) => RegistryAuth::Basic(user.clone(), password.clone()),
            None => RegistryAuth::Anonymous,
        };
        let client = Client::try_from(config).map_err(|error| failed(error.to_string()))?;
        Ok(Self { client, reference, auth, image: image.to_owned() })
    }

    fn failed(&self, reason: impl fmt::Display) -> Error {
        Error::Registry { image: self.image.clone(), reason: reason.to_string() }
    }

    /// Asks what the image is now. A digest in its name is held to.
    ///
    /// # Errors
    /// When the registry does not answer or does not have it, or has another content under its digest.
    pub async fn resolve(&self) -> Result<Resolved, Error> {
        let pinned = self.reference.digest().map(str::parse).transpose()?;
        let (mut digest, mut bytes) = self.manifest(&self.reference, pinned).await?;
        if is_index("", &bytes) {
            let index: Index = read(&bytes, "the registry's index")?;
            let variant = choose(&index.manifests, "", Several::First)?;
            let variant: Digest = variant.digest.parse()?;
            (digest, bytes) =
                self.manifest(&self.reference.clone_with_digest(variant.to_string()), Some(variant)).await?;
        }
        Ok(Resolved { digest, bytes })
    }

    async fn manifest(&self, reference: &Reference, expected: Option<Digest>) -> Result<(Digest, Vec<u8>), Error> {
        let asked = self.client.pull_manifest_raw(reference, &self.auth, ACCEPTED);
        let answer = tokio::time::timeout(DOCUMENT_PATIENCE, asked).await;
        let answer = answer.map_err(|_| self.failed("the registry takes too long to send the manifest"))?;
        let (bytes, _) = answer.map_err(|error| self.failed(error))?;
        if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(Error::TooMuch { what: "bytes in a manifest or configuration", limit: DOCUMENT_BYTES_MAX });
        }
        let digest = Digest::of(&bytes);
        if let Some(expected) = expected {
            expected.expect(|| format!("the manifest of {}", self.image), &digest)?;
        }
        Ok((digest, bytes.to_vec()))
    }

    /// Fetches the image into the empty directory `layout`. Every part is checked while it arrives.
    ///
    /// # Errors
    /// When the registry ends early, sends something else than it promised, or more than `limits` allow, or the disk is full.
    pub async fn fetch(&self, resolved: &Resolved, layout: &Path, limits: Limits) -> Result<(), Error> {
        let manifest: Manifest = read(&resolved.bytes, "the registry's manifest")?;
        if manifest.layers.len() > LAYERS_MAX {
            return Err(Error::TooMuch { what: "layers", limit: LAYERS_MAX as u64 });
        }
        let promised: u64 = manifest.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add);
        if promised > limits.bytes {
            return Err(Error::TooMuch { what: "bytes in all layers", limit: limits.bytes });
        }
        if manifest.config.size > DOCUMENT_BYTES_MAX {
            return Err(Error::TooMuch { what: "bytes in a manifest or configuration", limit: DOCUMENT_BYTES_MAX });
        }
        let blobs = layout.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(Error::host(&blobs))?;
        let mut parts: BTreeMap<Digest, &Descriptor> = BTreeMap::new();
        for part in manifest.layers.iter().chain([&manifest.config]) {
            parts.insert(part.digest.parse()?, part);
        }
        let fetches: Vec<_> = parts.into_iter().map(|(digest, part)| self.blob(digest, part, layout).boxed()).collect();
        stream::iter(fetches).buffer_unordered(FETCHED_AT_ONCE).try_collect::<()>().await?;
        let at = layout.join(blob_name(resolved.digest));
        fs::write(&at, &resolved.bytes).map_err(Error::host(&at))?;
        let index =
            json!({ "schemaVersion": 2, "manifests": [{ "digest": resolved.digest, "size": resolved.bytes.len() }] });
        for (name, text) in
            [("index.json", index.to_string()), ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#.into())]
        {
            let at = layout.join(name);
            fs::write(&at, text).map_err(Error::host(&at))?;
        }
        Ok(())
    }

    async fn blob(&self, digest: Digest, part: &Descriptor, layout: &Path) -> Result<(), Error> {
        let at = layout.join(blob_name(digest));
        let asked = OciDescriptor {
            digest: digest.to_string(),
            size: i64::try_from(part.size).unwrap_or(0),
            ..OciDescriptor::default()
        };
        let answer = self.client.pull_blob_stream(&self.reference, &asked).await;
        let mut arriving = answer.map_err(|error| self.failed(error))?.stream;
        let mut file = tokio::fs::File::create_new(&at).await.map_err(Error::host(&at))?;
        let mut hasher = Hasher::default();
        let mut left = part.size;
        while let Some(piece) = arriving.next().await {
            let piece = piece.map_err(|error| self.failed(error))?;
            left = left
                .checked_sub(piece.len() as u64)
                .ok_or_else(|| self.failed(format!("{digest} is longer than its manifest says")))?;
            hasher.update(&piece);
            file.write_all(&piece).await.map_err(Error::host(&at))?;
        }
        file.flush().await.map_err(Error::host(&at))?;
        digest.expect(|| format!("a part of {}", self.image), &hasher.digest())
    }
}
