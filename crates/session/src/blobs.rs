//! Data too large for an event, kept beside the log under the hash of its content.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use hangar_protocol::{Refusal, RefusalCode, event::BlobRef};
use sha2::{Digest, Sha256};
use tokio::{io::AsyncWriteExt, sync::Mutex};

/// Largest blob a session keeps.
pub(crate) const BLOB_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of blobs one session may keep.
pub(crate) const SESSION_BLOBS_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// The folder of blobs in a session's folder.
const FOLDER: &str = "blobs";

/// The blobs of one session.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    folder: PathBuf,
    /// The bytes of all of them; `None` until somebody had to know. Whoever writes a blob holds it, so that two at once cannot pass the limit together.
    stored: Arc<Mutex<Option<u64>>>,
}

impl Blobs {
    /// The blobs in a session's folder.
    pub(crate) fn new(session_folder: &Path) -> Self {
        Self { folder: session_folder.join(FOLDER), stored: Arc::default() }
    }

    /// Keeps bytes. They have been fsynced, name and all, when this answers `Ok`: the event that names them comes after.
    pub(crate) async fn put(&self, bytes: &[u8]) -> std::io::Result<BlobRef> {
        let full = || std::io::Error::new(std::io::ErrorKind::QuotaExceeded, "the session keeps too much output");
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(full());
        }
        let sha256 = hex(&Sha256::digest(bytes));
        let reference = BlobRef { sha256, bytes: bytes.len() as u64 };
        let path = self.folder.join(&reference.sha256);
        let mut stored = self.stored.lock().await;
        if tokio::fs::try_exists(&path).await? {
            return Ok(reference);
        }
        let sum = match *stored {
            Some(sum) => sum,
            None => self.stored_bytes().await?,
        };
        if sum + reference.bytes > SESSION_BLOBS_BYTES_MAX {
            *stored = Some(sum);
            return Err(full());
        }
        // Unknown again unless all goes well: what a full disk left is counted by whoever comes next.
        *stored = None;
        self.write(&path, &reference, bytes).await?;
        *stored = Some(sum + reference.bytes);
        Ok(reference)
    }

    async fn write(&self, path: &Path, reference: &BlobRef, bytes: &[u8]) -> std::io::Result<()> {
        let made = !tokio::fs::try_exists(&self.folder).await?;
        tokio::fs::create_dir_all(&self.folder).await?;
        let unfinished = self.folder.join(format!("{}.{:08x}.part", reference.sha256, rand::random::<u32>()));
        let written = write_synced(&unfinished, bytes).await;
        if let Err(error) = written {
            drop(tokio::fs::remove_file(&unfinished).await);
            return Err(error);
        }
        tokio::fs::rename(&unfinished, path).await?;
        tokio::fs::File::open(&self.folder).await?.sync_all().await?;
        if made && let Some(above) = self.folder.parent() {
            tokio::fs::File::open(above).await?.sync_all().await?;
        }
        Ok(())
    }

    /// The bytes of a blob that an event names.
    pub(crate) async fn get(&self, sha256: &str) -> Result<Vec<u8>, Refusal> {
        let missing = || {
            Refusal::new(
                RefusalCode::NotFound,
                "There is no such blob in this session.",
                "If an event names it, it was lost: `hangar check` says so, and a backup may have it.",
            )
        };
        if !is_hash(sha256) {
            return Err(missing());
        }
        match tokio::fs::read(self.folder.join(sha256)).await {
            Ok(bytes) if hex(&Sha256::digest(&bytes)) == sha256 => Ok(bytes),
            Ok(_) => Err(Refusal::new(
                RefusalCode::Internal,
                "This blob is damaged: it is not what was written.",
                "A backup may have it whole.",
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(missing()),
            Err(error) => Err(Refusal::new(
                RefusalCode::Unavailable,
                format!("The blob cannot be read: {error}."),
                "Look at the disk of hangar's data directory.",
            )),
        }
    }

    async fn stored_bytes(&self) -> std::io::Result<u64> {
        let mut entries = match tokio::fs::read_dir(&self.folder).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut sum = 0;
        while let Some(entry) = entries.next_entry().await? {
            sum += entry.metadata().await?.len();
        }
        Ok(sum)
    }
}

async fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = tokio::fs::File::create(path).await?;
    file.write_all(bytes).await?;
    file.sync_all().await
}

/// What is kept of blobs that were not finished, and the complete ones with their hash, in a session's folder. What has another name is not ours. Blocks.
pub(crate) fn kept(session_folder: &Path) -> std::io::Result<Vec<(PathBuf, Kept)>> {
    let mut kept = Vec::new();
    for path in entries(&session_folder.join(FOLDER))? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if is_hash(&name) {
            kept.push((path, Kept::Complete(name)));
        } else if name
            .strip_suffix(".part")
            .and_then(|rest| rest.split_once('.'))
            .is_some_and(|(hash, _)| is_hash(hash))
        {
            kept.push((path, Kept::Unfinished));
        }
    }
    Ok(kept)
}

/// A file among the blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// A blob, with its hash.
    Complete(String),
    /// What is left of one that was not finished.
    Unfinished,
}

/// What is wrong with a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is none.
    Missing,
    /// It has another content.
    Changed,
    /// The disk does not give it.
    Unreadable,
}

/// What is wrong with a blob that an event of the session in this folder names. Blocks.
pub(crate) fn fault(session_folder: &Path, blob: &BlobRef) -> Option<Fault> {
    match std::fs::read(session_folder.join(FOLDER).join(&blob.sha256)) {
        Ok(bytes) if hex(&Sha256::digest(&bytes)) == blob.sha256 => None,
        Ok(_) => Some(Fault::Changed),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(Fault::Missing),
        Err(_) => Some(Fault::Unreadable),
    }
}

/// Gives the session in `to` these blobs of the session in `from`: the same files under a second name, copied where the file system cannot. They are
/// on disk when this answers. Blocks.
pub(crate) fn share<'a>(from: &Path, to: &Path, hashes: impl Iterator<Item = &'a str>) -> std::io::Result<()> {
    let (from, to) = (from.join(FOLDER), to.join(FOLDER));
    std::fs::create_dir_all(&to)?;
    for hash in hashes.filter(|hash| is_hash(hash)) {
        let (old, new) = (from.join(hash), to.join(hash));
        match std::fs::hard_link(&old, &new) {
            Ok(()) => {}
            // The same output twice.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            // The log says that there was one; whoever asks for it is told that it is missing, as in the other session.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => {
                std::fs::copy(&old, &new)?;
                std::fs::File::open(&new)?.sync_all()?;
            }
        }
    }
    std::fs::File::open(&to)?.sync_all()
}

/// The complete blobs in a session's folder. Blocks.
pub(crate) fn all(session_folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let complete = |(path, kept)| match kept {
        Kept::Complete(_) => Some(path),
        Kept::Unfinished => None,
    };
    Ok(kept(session_folder)?.into_iter().filter_map(complete).collect())
}

fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _always_ok = write!(text, "{byte:02x}");
        text
    })
}
