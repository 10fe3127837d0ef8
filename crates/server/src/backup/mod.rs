//! `hangar backup` and `hangar restore`: everything of a data directory that cannot be made again, in one file.
//!
//! The file is a tar packed with zstd, which `tar --zstd -tf` lists, with a seal behind it:
//!
//! ```text
//!   zstd frame: tar of the files, then manifest.json        which files there are, their sizes and SHA-256
//!   zstd skippable frame (8 + 32 bytes): the seal           SHA-256 of everything before it
//! ```
//!
//! The manifest stands last because sizes and hashes are known only when the files have been read. The seal is checked before anything is
//! unpacked, so that a damaged file is refused at once; the manifest is checked before anything unpacked gets its name.
//!
//! What is taken, and in which order it is consistent, say `take.rs`, `hangar_session`'s `backup.rs` and `hangar_forge::backup`.

mod course;
mod manifest;
mod restore;
mod seal;
mod take;
mod unpack;
mod write;

pub use course::Course;
pub use restore::{Restored, restore};
pub use take::{Taken, take};

use std::{fmt, io, path::Path};

use hangar_protocol::{Refusal, RefusalCode};
use hangar_store::StoreError;

/// Only the user who makes a backup may read it: it holds configured keys, people's addresses and everything that was said.
const FILE_MODE: u32 = 0o600;
/// So many files a backup may have. Its list of them is held in memory.
const FILES_MAX: usize = 4_000_000;

/// A file or directory that cannot be read.
fn cannot_read(path: &Path, error: &dyn fmt::Display) -> Refusal {
    Refusal::new(
        RefusalCode::Unavailable,
        format!("{} cannot be read: {error}.", path.display()),
        "Run it as the user that the server runs as; nothing was written.",
    )
}

/// A database that cannot be copied. `advice`: what else may be done where it is damaged.
fn cannot_copy(from: &Path, place: &Path, error: &StoreError, advice: &str) -> Refusal {
    match error {
        StoreError::DiskFull => cannot_write(place, &io::ErrorKind::StorageFull.into()),
        StoreError::Newer { .. }
        | StoreError::Older { .. }
        | StoreError::ReadOnly
        | StoreError::Damaged(_)
        | StoreError::File(_)
        | StoreError::Sqlite(_)
        | StoreError::Closed => Refusal::new(
            RefusalCode::Unavailable,
            format!("{} cannot be copied: {error}.", from.display()),
            format!("Nothing was written. Run it as the user that the server runs as. Where it is damaged, {advice}."),
        ),
    }
}

/// A place that cannot be written to.
fn cannot_write(path: &Path, error: &io::Error) -> Refusal {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "Free some space there, or name a place on another disk."
        }
        _ => "Look whether the directory exists and this user may write to it.",
    };
    Refusal::new(RefusalCode::Unavailable, format!("{} cannot be written to: {error}.", path.display()), hint)
}

/// A backup that is not what it was when it was written.
fn damaged(file: &Path, how: impl fmt::Display) -> Refusal {
    Refusal::new(
        RefusalCode::BadRequest,
        format!("{} is no whole backup of hangar: {how}.", file.display()),
        "Nothing was restored. Copy the file again from where it is kept, or use another backup.",
    )
}
