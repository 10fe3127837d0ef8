//! What a session's files stand on: the image it began with, and the snapshots that were taken since.
//!
//! ```text
//!   what changed since the last snapshot     files/upper
//!   ── snapshots, the newest on top ──       files/frozen (hangar-sandbox keeps them; `layers::snapshots` says what they are)
//!   ── the image ──                          layers/<id>, … named in floor.json
//! ```
//!
//! A session keeps its image for as long as it lives, whatever becomes of the repository's images. `floor.json` in its folder says which; it is
//! on disk before the first sandbox relies on it.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use hangar_image::{
    BaseKind, Image,
    recipe::{Service, Step},
};
use hangar_protocol::{Refusal, RefusalCode, Seq};
use hangar_sandbox::{
    Root,
    layers::{InUse, LayerError, LayerId, LayerStore, Snapshot, snapshots},
};
use serde::{Deserialize, Serialize};

use crate::removal;

/// The file in the session's folder.
const FILE: &str = "floor.json";
/// Where a session's sandbox keeps its changes, in its folder or its place of the pool.
pub(crate) const FILES: &str = "files";
/// The pool's folder in the data directory.
const POOL: &str = "pool";

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Floor {
    /// The image's id; `None` where there was none, and a prepared clone of the commit lies below.
    pub(crate) image: Option<String>,
    /// The commit it was built from, or of which the clone is (40 hex digits).
    pub(crate) commit: String,
    base: BaseKind,
    /// Its layers, the topmost first.
    layers: Vec<LayerId>,
    /// What the image adds to every command's environment.
    pub(crate) env: BTreeMap<String, String>,
    /// What it may reach beyond what every session may: rules in the words of `network.allow`.
    pub(crate) network: Vec<String>,
    /// What runs when a sandbox starts.
    pub(crate) start: Vec<Step>,
    /// What has to be running.
    pub(crate) services: Vec<Service>,
    /// The session's files are in this place of the pool, which made them; `None` where they are in its own folder.
    #[serde(default)]
    pool: Option<String>,
    /// The name of the directory with the session's files in its own folder, where that is not `files`: each rewind begins another one.
    #[serde(default)]
    directory: Option<String>,
    /// The rewind that the files have followed last, by the number of its event.
    #[serde(default)]
    pub(crate) rewound: Option<Seq>,
    /// Snapshots beside the stack: copies that were made while programs ran. Somebody may go back to them.
    #[serde(default)]
    aside: Vec<LayerId>,
}

/// Why a floor cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FloorError {
    /// The file.
    #[error("the session's {FILE} cannot be read or written: {0}")]
    File(#[from] io::Error),
    /// A layer.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

impl Floor {
    /// The floor of an image.
    pub(crate) fn of_image(image: &Image) -> Self {
        Self {
            image: Some(image.id.to_string()),
            commit: image.commit.clone(),
            base: image.base.kind,
            layers: image.layers.clone(),
            env: image.env.clone(),
            network: image.recipe.network.agent.clone(),
            start: image.recipe.start.clone(),
            services: image.recipe.services.clone(),
            pool: None,
            directory: None,
            rewound: None,
            aside: Vec::new(),
        }
    }

    /// The same, with the files where the pool made them.
    pub(crate) fn in_pool(mut self, session_dir: &Path) -> Self {
        let place = session_dir.parent().and_then(Path::file_name);
        self.pool = place.map(|place| place.to_string_lossy().into_owned());
        self
    }

    /// Where the files of the session in this folder are.
    pub(crate) fn files(&self, folder: &Path) -> PathBuf {
        match self.place_in_pool(folder) {
            Some(place) => place.join(FILES),
            None => folder.join(self.directory.as_deref().unwrap_or(FILES)),
        }
    }

    /// The place of the pool that has the files of the session in this folder.
    pub(crate) fn place_in_pool(&self, folder: &Path) -> Option<PathBuf> {
        Some(folder.ancestors().nth(2)?.join(POOL).join(self.pool.as_ref()?))
    }

    /// The floor of a session whose files are in the directory `directory` of its own folder, and have followed the rewind `rewound`.
    pub(crate) fn moved(&self, directory: Option<String>, rewound: Option<Seq>) -> Self {
        Self { pool: None, directory, rewound, ..self.clone() }
    }

    /// The floor of a repository that has no image yet: the machine's own programs and a clone of the commit.
    pub(crate) fn of_clone(commit: String) -> Self {
        Self {
            image: None,
            commit,
            base: BaseKind::Host,
            layers: Vec::new(),
            env: BTreeMap::new(),
            network: Vec::new(),
            start: Vec::new(),
            services: Vec::new(),
            pool: None,
            directory: None,
            rewound: None,
            aside: Vec::new(),
        }
    }

    /// The floor of the session in this folder; `None` before its first sandbox. Blocks.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, FloorError> {
        match fs::read(folder.join(FILE)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text).map_err(io::Error::from)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts it on disk: the old or the new, never half of one. Blocks.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), FloorError> {
        let (new, place) = (folder.join("floor.json.new"), folder.join(FILE));
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::from)?;
        let mut file = File::create(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, &place)?;
        Ok(File::open(folder)?.sync_all()?)
    }

    /// What a sandbox is made of below the session's own snapshots, every layer checked. Blocks.
    pub(crate) fn root(&self, store: &LayerStore) -> Result<Root, LayerError> {
        let layers = self.layers.iter().map(|layer| {
            store.verify(layer)?;
            Ok(store.tree(layer))
        });
        let layers = layers.collect::<Result<Vec<PathBuf>, LayerError>>()?;
        Ok(match self.base {
            BaseKind::Host => Root::host(layers),
            BaseKind::Tree => Root::tree(layers),
        })
    }

    /// A copy of the changes became a layer; the session goes on without it. Blocks.
    pub(crate) fn set_aside(&mut self, folder: &Path, layer: LayerId) -> Result<(), FloorError> {
        self.aside.push(layer);
        self.write(folder)
    }

    /// Keeps every layer that this session needs or somebody may go back to from being collected, for as long as the answer lives. Blocks.
    pub(crate) fn hold(&self, folder: &Path, store: &LayerStore) -> Result<Vec<InUse>, FloorError> {
        let own = snapshots(&self.files(folder))?.into_iter().filter_map(|snapshot| match snapshot {
            Snapshot::Layer(layer) => Some(layer),
            Snapshot::Tree(_) => None,
        });
        let all: HashSet<LayerId> = own.chain(self.aside.iter().cloned()).chain(self.layers.iter().cloned()).collect();
        Ok(all.iter().map(|layer| store.hold(layer)).collect())
    }
}

/// Every layer that a session below `sessions_dir` needs: what a collection must leave alone. A session whose floor cannot be read is an error, so that nothing it
/// may need is removed. Blocks.
pub(crate) fn in_use(sessions_dir: &Path) -> Result<HashSet<LayerId>, FloorError> {
    let mut used = HashSet::new();
    for (folder, floor) in all(sessions_dir)? {
        for snapshot in snapshots(&floor.files(&folder))? {
            if let Snapshot::Layer(layer) = snapshot {
                used.insert(layer);
            }
        }
        used.extend(floor.layers);
        used.extend(floor.aside);
    }
    Ok(used)
}

/// The commits of all clones that a session below `sessions_dir` stands on. As with [`in_use`], a floor that cannot be read is an error. Blocks.
pub(crate) fn cloned_commits(sessions_dir: &Path) -> Result<HashSet<String>, FloorError> {
    let cloned = all(sessions_dir)?.into_iter().filter(|(_, floor)| floor.image.is_none());
    Ok(cloned.map(|(_, floor)| floor.commit).collect())
}

/// Every session's folder and floor.
fn all(sessions_dir: &Path) -> Result<Vec<(PathBuf, Floor)>, FloorError> {
    let mut all = Vec::new();
    for entry in fs::read_dir(sessions_dir)? {
        let folder = entry?.path();
        // The list of sessions lies beside them.
        if folder.is_dir()
            && !removal::is_left_over(&folder)
            && let Some(floor) = Floor::read(&folder)?
        {
            all.push((folder, floor));
        }
    }
    Ok(all)
}

/// Runs what blocks beside everything else, and says what went wrong in words for people.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FloorError> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(std::io::Error::other(error).into())).map_err(|error| floor_refusal(&error))
}

pub(crate) fn floor_refusal(error: &FloorError) -> Refusal {
    tracing::error!(%error, "what a session's files stand on cannot be used");
    Refusal::new(
        RefusalCode::Unavailable,
        format!("What the session's files stand on cannot be used: {error}."),
        "Nothing was changed. The server's log and `hangar doctor` say more.",
    )
}
