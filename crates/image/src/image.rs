//! An image: a manifest over layers.

use std::{collections::BTreeMap, fmt, str::FromStr};

use hangar_protocol::RepoPath;
use hangar_sandbox::{
    Base, Root,
    layers::{LayerId, LayerStore},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    oci::limits::LAYERS_MAX,
    recipe::{BESIDE_MAX, Recipe, SERVICES_MAX, STEPS_MAX, hex},
};

/// Letters of an image's id.
const ID_CHARS: usize = 32;

/// So much later than now an image of another machine may have been built: its clock may go wrong. One day.
const CLOCKS_APART_MAX_MS: u64 = 24 * 60 * 60 * 1000;

/// What an image is built for: a repository, and which of its environments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The repository whose files are at `/workspace`.
    pub repo: RepoPath,
    /// `.hangar/environments/<name>.toml` says what it is made of; empty for the repository's usual recipe.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub environment: String,
}

impl Target {
    /// A repository with its usual recipe.
    #[must_use]
    pub fn of(repo: RepoPath) -> Self {
        Self { repo, environment: String::new() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.environment.as_str() {
            "" => self.repo.fmt(f),
            name => write!(f, "{} ({name})", self.repo),
        }
    }
}

/// The name of an image: 32 small hexadecimal letters that follow from its manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(String);

impl ImageId {
    /// The letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ImageId {
    type Error = BadImageId;

    fn try_from(text: String) -> Result<Self, BadImageId> {
        let fits = text.len() == ID_CHARS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if fits { Ok(Self(text)) } else { Err(BadImageId) }
    }
}

impl FromStr for ImageId {
    type Err = BadImageId;

    fn from_str(text: &str) -> Result<Self, BadImageId> {
        Self::try_from(text.to_owned())
    }
}

impl From<ImageId> for String {
    fn from(id: ImageId) -> Self {
        id.0
    }
}

/// A text that is no image's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an image's id is {ID_CHARS} hexadecimal letters, as `hangar image ls` shows them")]
pub struct BadImageId;

/// A repository with everything it needs, as a session starts from it. Never changed once written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its name.
    pub id: ImageId,
    /// What it is for.
    pub target: Target,
    /// The commit of `/workspace` (40 hexadecimal digits).
    pub commit: String,
    /// The branch this commit was the head of.
    pub branch: String,
    /// The other repositories in it.
    pub beside: Vec<BesideAt>,
    /// What lies below.
    pub base: BaseUsed,
    /// Its own layers and then the base's, topmost first.
    pub layers: Vec<LayerId>,
    /// What it was built from.
    pub recipe: Recipe,
    /// See [`Recipe::digest`].
    pub recipe_digest: String,
    /// Which reading of recipes this was: another version of hangar may understand the same files differently.
    pub recipe_version: u32,
    /// Environment of every command, with nothing left to fill in.
    pub env: BTreeMap<String, String>,
    /// What the first build, the tests and the check gave.
    pub verification: Vec<Checked>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// When it was complete: milliseconds since 1970.
    pub built_at_ms: u64,
    /// How long it took.
    pub took: Took,
    /// The image it was built on top of.
    pub parent: Option<ImageId>,
    /// How many images it was built on top of, one on the other.
    pub generation: u32,
    /// What its own layers take on disk, without the base's, in bytes.
    pub disk_bytes: u64,
}

/// Another repository in an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BesideAt {
    /// Which.
    pub repo: RepoPath,
    /// Its commit.
    pub commit: String,
    /// Its branch.
    pub branch: String,
    /// Its directory is `/repos/<name>`.
    pub name: String,
}

/// What lies below an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseUsed {
    /// How the engine makes a root of it.
    pub kind: BaseKind,
    /// As a person calls it: `host`, `debian bookworm`, `node:22`.
    pub name: String,
    /// Names its content: another digest makes another image.
    pub digest: String,
    /// Its layers, topmost first; none for the host's own programs. They are part of [`Image::layers`] too.
    pub layers: Vec<LayerId>,
    /// Environment that belongs to it, as the `ENV` of a Dockerfile.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// How the engine makes a root of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseKind {
    /// The machine's own programs, read only.
    Host,
    /// The last layer is a complete root file system.
    Tree,
}

/// How one check of an image went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The step.
    pub step: String,
    /// It succeeded.
    pub ok: bool,
    /// What it said last, when it did not.
    pub said: String,
    /// How long it took.
    pub duration_ms: u64,
}

/// How long the parts of a build took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    /// Making the base, if it was not there.
    pub base_ms: u64,
    /// The clone, or bringing the new commits in.
    pub sync_ms: u64,
    /// The set-up.
    pub setup_ms: u64,
    /// The first build, the tests and the check.
    pub warm_ms: u64,
    /// Ending everything and freezing the layer.
    pub freeze_ms: u64,
    /// All of it.
    pub total_ms: u64,
}

impl Image {
    /// What a sandbox over this image is made of. Check the layers first, once for each process ([`LayerStore::verify`]).
    #[must_use]
    pub fn root(&self, store: &LayerStore) -> Root {
        let base = match self.base.kind {
            BaseKind::Host => Base::Host,
            BaseKind::Tree => Base::Tree,
        };
        Root { base, layers: self.layers.iter().map(|layer| store.tree(layer)).collect() }
    }

    /// Every commit in it: the main repository's first.
    pub fn commits(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.commit.as_str()).chain(self.beside.iter().map(|beside| beside.commit.as_str()))
    }

    /// Its own layers, without the base's.
    #[must_use]
    pub fn own_layers(&self) -> &[LayerId] {
        &self.layers[..self.layers.len().saturating_sub(self.base.layers.len())]
    }

    /// What no build would have written, if anything: for an image that comes from elsewhere. Its layers are checked by their content and its id by all of
    /// this; what remains are words that hangar acts upon. `layer_bytes_max` is what its layers may take.
    pub(crate) fn flaw(&self, now_ms: u64, layer_bytes_max: u64) -> Option<String> {
        let hex = |commit: &str| commit.len() == 40 && commit.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let word = |text: &str| {
            !text.is_empty()
                && !text.starts_with(['-', '.'])
                && text.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))
        };
        let branch = |text: &str| !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_control);
        let own = self.layers.len().checked_sub(self.base.layers.len());
        let below = own.and_then(|own| self.layers.get(own..));
        let recipe = &self.recipe;
        let steps = [&recipe.setup, &recipe.warm, &recipe.start].into_iter().map(Vec::len).max().unwrap_or_default();
        let variables = |env: &BTreeMap<String, String>| {
            env.iter().all(|(name, value)| !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'))
        };
        let beside = |beside: &BesideAt| hex(&beside.commit) && branch(&beside.branch) && word(&beside.name);
        let (services, others) = (recipe.services.len(), self.beside.len());
        [
            (!self.commits().all(hex), "its commits are none"),
            (!branch(&self.branch), "its branch is none"),
            (!self.beside.iter().all(beside), "the repositories beside it have names that no directory may have"),
            (
                !self.target.environment.is_empty() && !word(&self.target.environment),
                "its environment has no usable name",
            ),
            (self.layers.is_empty() || self.layers.len() > LAYERS_MAX, "it has no layers, or too many"),
            (below != Some(&self.base.layers), "its base is not what its lowest layers are"),
            (self.disk_bytes > layer_bytes_max, "it is larger than an image from elsewhere may be (`bases.image_gib`)"),
            (
                steps > STEPS_MAX || services > SERVICES_MAX || others > BESIDE_MAX,
                "its recipe has more parts than one may have",
            ),
            (
                !variables(&self.env) || !variables(&self.base.env),
                "its variables have names or values that none can have",
            ),
            (
                self.built_at_ms > now_ms.saturating_add(CLOCKS_APART_MAX_MS),
                "it was built in the future; look at both machines' clocks",
            ),
        ]
        .into_iter()
        .find_map(|(flawed, flaw)| flawed.then(|| flaw.to_owned()))
    }

    /// The id that fits everything else.
    pub(crate) fn fitting_id(&self) -> ImageId {
        let nameless = Self { id: ImageId(String::new()), ..self.clone() };
        // Structs, vectors and sorted maps: serialising them cannot fail and always gives the same text.
        let text = serde_json::to_vec(&nameless).unwrap_or_default();
        let mut id = hex(&Sha256::digest(text));
        id.truncate(ID_CHARS);
        ImageId(id)
    }

    /// Gives it the id that fits.
    pub(crate) fn named(mut self) -> Self {
        self.id = self.fitting_id();
        self
    }

    /// An id for a manifest that is still being filled in.
    pub(crate) fn unnamed() -> ImageId {
        ImageId(String::new())
    }
}
