//! What was made, written down by what it was made from.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hangar_sandbox::layers::LayerId;
use serde::{Deserialize, Serialize};

use crate::{
    base::{BaseError, BaseMaker, Made, mmdebstrap},
    oci::{Digest, RunConfig},
};

/// Holds what is being made; emptied at every start.
pub(super) const WORK: &str = "work";
/// Changes when a base of the same inputs would come out differently.
const FORMAT: u32 = 1;

/// A base that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it was made from.
    pub inputs: Digest,
    /// The base.
    pub made: Made,
    /// Debian packages in it, as `name=version`, sorted; empty where there is no package database.
    pub packages: Vec<String>,
    /// When, milliseconds since 1970.
    pub made_at_ms: u64,
}

/// How it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    name: String,
    digest: Digest,
    layers: Vec<LayerId>,
    config: RunConfig,
    packages: Vec<String>,
    made_at_ms: u64,
}

/// Makes `data_dir/bases` and empties its work directory.
pub(super) fn open(data_dir: &Path) -> Result<PathBuf, BaseError> {
    let directory = data_dir.join("bases");
    let work = directory.join(WORK);
    match fs::remove_dir_all(&work) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(BaseError::host(work)(error)),
        _ => {}
    }
    fs::create_dir_all(&work).map_err(BaseError::host(&work))?;
    // Trees on their way to the store are nobody's business on the host.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).map_err(BaseError::host(&directory))?;
    let directory = fs::canonicalize(&directory).map_err(BaseError::host(directory))?;
    mmdebstrap::sweep(&directory);
    Ok(directory)
}

/// The digest of what a base is made from. Each part is preceded by its length.
pub(super) fn inputs(kind: &str, parts: &[&str]) -> Digest {
    let mut text = format!("hangar base {FORMAT}\n");
    for part in std::iter::once(&kind).chain(parts) {
        text.push_str(&format!("{} {part}\n", part.len()));
    }
    Digest::of(text.as_bytes())
}

impl BaseMaker {
    fn record_path(&self, inputs: Digest) -> PathBuf {
        self.directory.join(format!("{}.json", inputs.hex()))
    }

    /// The base made from these inputs, if it is written down and its layers are there.
    pub(super) fn recorded(&self, inputs: Digest) -> Result<Option<Record>, BaseError> {
        let path = self.record_path(inputs);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BaseError::host(path)(error)),
        };
        let Ok(written) = serde_json::from_slice::<Written>(&text) else {
            // Of another version, or damaged: it is made again.
            tracing::warn!(path = %path.display(), "a base that is written down cannot be read");
            return Ok(None);
        };
        let Written { format, name, digest, layers, config, packages, made_at_ms } = written;
        let complete = format == FORMAT && layers.iter().all(|layer| self.store.holds(layer));
        let made = Made { name, digest, layers, config };
        Ok(complete.then_some(Record { inputs, made, packages, made_at_ms }))
    }

    /// Writes down a base. Afterwards it is found, also after a power cut.
    pub(super) fn record(&self, record: &Record) -> Result<(), BaseError> {
        let Record { inputs, made, packages, made_at_ms } = record;
        let Made { name, digest, layers, config } = made.clone();
        let written = Written {
            format: FORMAT,
            name,
            digest,
            layers,
            config,
            packages: packages.clone(),
            made_at_ms: *made_at_ms,
        };
        let path = self.record_path(*inputs);
        let new = path.with_extension("new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec_pretty(&written)?)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(BaseError::host(&path))
    }

    /// Every base that is written down, with all its layers there.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, BaseError> {
        let entries = fs::read_dir(&self.directory).map_err(BaseError::host(&self.directory))?;
        let mut records = Vec::new();
        for entry in entries {
            let name = entry.map_err(BaseError::host(&self.directory))?.file_name();
            let hex = name.to_str().and_then(|name| name.strip_suffix(".json"));
            if let Some(inputs) = hex.and_then(|hex| format!("sha256:{hex}").parse().ok()) {
                records.extend(self.recorded(inputs)?);
            }
        }
        records.sort_by_key(|record| record.inputs);
        Ok(records)
    }

    /// Forgets bases made longer ago than `age`; their layers go with the next collection unless an image has them. What is forgotten is made again when it
    /// is asked for.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn forget_older_than(&self, age: Duration) -> Result<usize, BaseError> {
        let before = now_ms().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let old = self.records()?.into_iter().filter(|record| record.made_at_ms < before);
        let mut forgotten = 0;
        for record in old {
            let path = self.record_path(record.inputs);
            fs::remove_file(&path).map_err(BaseError::host(path))?;
            forgotten += 1;
        }
        Ok(forgotten)
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The digest of a base's content: its layers and how it is run.
pub(super) fn content(layers: &[LayerId], config: &RunConfig) -> Digest {
    // Structs, vectors and sorted maps: serialising them cannot fail and always gives the same text.
    Digest::of(&serde_json::to_vec(&(FORMAT, layers, config)).unwrap_or_default())
}
