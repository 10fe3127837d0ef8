//! What a backup says of itself.

use std::{
    io::{self, Read},
    path::{Component, Path},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Course;

/// The manifest's name in the archive.
pub(super) const NAME: &str = "manifest.json";
/// Largest manifest that is read, in bytes.
pub(super) const BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// What a backup is called that this program writes and reads. A change that older programs would misread raises it.
pub(super) const FORMAT: u32 = 1;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// The version of the hangar that wrote it.
    pub(super) hangar: String,
    /// When it was begun, milliseconds since 1970.
    pub(super) begun_ms: u64,
    /// How many sessions are in it.
    pub(super) sessions: u64,
    /// How many repositories.
    pub(super) repositories: u64,
    /// Every file before this one, in order.
    pub(super) files: Vec<FileLine>,
}

/// A file in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileLine {
    /// Where it lies in the data directory. For people: bytes that are not UTF-8 are shown as U+FFFD; the order says which file is meant.
    pub(super) path: String,
    /// How long it is.
    pub(super) bytes: u64,
    /// The SHA-256 of its content, in hex.
    pub(super) sha256: String,
}

/// Whether a name leads to a place inside the directory that is restored.
pub(super) fn stays_inside(name: &Path) -> bool {
    name.components().next().is_some() && name.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Reads a file and remembers what it read.
pub(super) struct Measured<'a, R> {
    inner: R,
    course: &'a Course,
    hash: Sha256,
    bytes: u64,
}

impl<'a, R: Read> Measured<'a, R> {
    pub(super) fn new(inner: R, course: &'a Course) -> Self {
        Self { inner, course, hash: Sha256::new(), bytes: 0 }
    }

    /// The line of the file that was read to its end.
    pub(super) fn line(self, path: &Path) -> FileLine {
        self.course.add_file();
        FileLine { path: path.to_string_lossy().into_owned(), bytes: self.bytes, sha256: hex(&self.hash.finalize()) }
    }
}

impl<R: Read> Read for Measured<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.bytes += read as u64;
        self.course.add_bytes(read)?;
        Ok(read)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _always_ok = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_told_from_those_that_do_not() {
        for inside in ["hangar.db", "sessions/a/log.db", "./hangar.db"] {
            assert_eq!(stays_inside(Path::new(inside)), !inside.starts_with('.'), "{inside}");
        }
        for outside in ["", "/etc/passwd", "../hangar.db", "sessions/../../x"] {
            assert!(!stays_inside(Path::new(outside)), "{outside}");
        }
    }
}
