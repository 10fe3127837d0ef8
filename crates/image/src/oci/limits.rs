//! How much an image from elsewhere may bring. Every number is far above what real images have and far below what hurts.

use crate::oci::Error;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// Layers of one image. The kernel mounts 500; session layers must fit above.
pub const LAYERS_MAX: usize = 200;
/// Longest path inside a layer, in bytes, as the kernel's.
pub const PATH_BYTES_MAX: usize = 4095;
/// Longest name of one file, in bytes, as the kernel's.
pub const NAME_BYTES_MAX: usize = 255;
/// Deepest directory.
pub const DEPTH_MAX: usize = 128;
/// Largest manifest, index or configuration, in bytes. Registries refuse larger ones too (4 MiB).
pub const DOCUMENT_BYTES_MAX: u64 = 4 * MIB;
/// What an archive may say about one file (long names, extended attributes), in bytes.
pub const EXTENSION_BYTES_MAX: u64 = MIB;
/// Extended attributes of one file together, in bytes.
pub const XATTR_BYTES_MAX: usize = 64 * 1024;
/// Entries of an image's outer archive.
pub const ARCHIVE_ENTRIES_MAX: usize = 20_000;
/// One id more than the largest user or group id inside a sandbox.
pub const IDS: u64 = 65_536;

/// What all layers of one image may bring together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files, unpacked.
    pub bytes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Files, directories and links.
    pub files: u64,
    /// How many times larger a layer may be unpacked than packed; counts from [`Limits::ratio_from_bytes`] on.
    pub ratio: u64,
    /// Unpacked bytes of one layer below which any ratio is fine.
    pub ratio_from_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 * GIB, file_bytes: 8 * GIB - 1, files: 2_000_000, ratio: 200, ratio_from_bytes: 256 * MIB }
    }
}

/// What is left of the limits of one image.
#[derive(Debug)]
pub(crate) struct Budget {
    pub limits: Limits,
    pub bytes: u64,
    pub files: u64,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, bytes: 0, files: 0 }
    }

    /// One more file of so many bytes, before anything is written.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), Error> {
        let Limits { bytes: bytes_max, file_bytes, files: files_max, ratio: _, ratio_from_bytes: _ } = self.limits;
        if bytes > file_bytes {
            return Err(Error::TooMuch { what: "bytes in one file", limit: file_bytes });
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.files += 1;
        if self.bytes > bytes_max {
            return Err(Error::TooMuch { what: "bytes in all files", limit: bytes_max });
        }
        if self.files > files_max {
            return Err(Error::TooMuch { what: "files", limit: files_max });
        }
        Ok(())
    }
}
