//! Data too large for an event, kept beside the log under the hash of its content.

use std::path::{Path, PathBuf};

use hangar_protocol::{Refusal, RefusalCode, event::BlobRef};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

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
}

impl Blobs {
    /// The blobs in a session's folder.
    pub(crate) fn new(session_folder: &Path) -> Self {
        Self { folder: session_folder.join(FOLDER) }
    }

    /// Keeps bytes. They have been fsynced, name and all, when this answers `Ok`: the event that names them comes after.
    pub(crate) async fn put(&self, bytes: &[u8]) -> std::io::Result<BlobRef> {
        if bytes.len() > BLOB_BYTES_MAX || self.stored_bytes().await? + bytes.len() as u64 > SESSION_BLOBS_BYTES_MAX {
            return Err(std::io::Error::new(std::io::ErrorKind::QuotaExceeded, "the session keeps too much output"));
        }
        let sha256 = hex(&Sha256::digest(bytes));
        let reference = BlobRef { sha256, bytes: bytes.len() as u64 };
        let path = self.folder.join(&reference.sha256);
        if tokio::fs::try_exists(&path).await? {
            return Ok(reference);
        }
        tokio::fs::create_dir_all(&self.folder).await?;
        let unfinished = self.folder.join(format!("{}.{:08x}.part", reference.sha256, rand::random::<u32>()));
        let mut file = tokio::fs::File::create(&unfinished).await?;
        file.write_all(bytes).await?;
        file.sync_all().await?;
        tokio::fs::rename(&unfinished, &path).await?;
        tokio::fs::File::open(&self.folder).await?.sync_all().await?;
        Ok(reference)
    }

    /// The bytes of a blob.
    pub(crate) async fn get(&self, sha256: &str) -> Result<Vec<u8>, Refusal> {
        let missing = || Refusal::new(RefusalCode::NotFound, "There is no such blob in this session.", "");
        if !is_hash(sha256) {
            return Err(missing());
        }
        tokio::fs::read(self.folder.join(sha256)).await.map_err(|_| missing())
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
    let entries = match std::fs::read_dir(session_folder.join(FOLDER)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.file_name().is_some_and(|name| is_hash(&name.to_string_lossy()))).collect())
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
