//! SHA-256 digests, and readers and writers that compute them on the way.

use std::{
    fmt,
    io::{self, Read, Write},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::oci::{Error, limits::Limits};

/// A SHA-256 digest, written `sha256:` and 64 hexadecimal digits. No other algorithm is accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 64 hexadecimal digits alone.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Fails when `self`, which was promised, is not what was found.
    pub(crate) fn expect(&self, what: impl FnOnce() -> String, found: &Self) -> Result<(), Error> {
        if self == found {
            return Ok(());
        }
        Err(Error::Digest { what: what(), expected: self.to_string(), found: found.to_string() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong =
            || Error::not_an_image(format!("`{}` is no sha256 digest", text.chars().take(100).collect::<String>()));
        let hex = text.strip_prefix("sha256:").ok_or_else(wrong)?;
        if hex.len() != 64 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        let mut digest = [0; 32];
        for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(wrong)?;
        }
        Ok(Self(digest))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

/// Hashes what it is given piece by piece.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn digest(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Hashes and counts what passes.
pub(crate) struct Hashing<T> {
    pub inner: T,
    hash: Sha256,
    pub bytes: u64,
}

impl<T> Hashing<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    /// The digest of all that passed.
    pub(crate) fn digest(self) -> Digest {
        Digest(self.hash.finalize().into())
    }

    pub(crate) fn split(self) -> (T, Digest, u64) {
        (self.inner, Digest(self.hash.finalize().into()), self.bytes)
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.passed(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.passed(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Ends a stream that has become too large, by itself or for what it was packed.
pub(crate) struct Bounded<R> {
    inner: R,
    packed: u64,
    limits: Limits,
    passed: u64,
}

impl<R> Bounded<R> {
    /// `packed` is the size of the stream before it was unpacked, in bytes.
    pub(crate) fn new(inner: R, packed: u64, limits: Limits) -> Self {
        Self { inner, packed, limits, passed: 0 }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.passed += count as u64;
        let Limits { bytes, ratio, ratio_from_bytes, files, file_bytes: _ } = self.limits;
        // The archive's own records come on top of the files' bytes: at most a few blocks for each file.
        let stream_max = bytes.saturating_add(files.saturating_mul(4 * 1024));
        if self.passed > stream_max {
            return Err(io::Error::other(Error::TooMuch { what: "bytes in one layer", limit: stream_max }));
        }
        if self.passed > ratio_from_bytes && self.passed / self.packed.max(1) > ratio {
            return Err(io::Error::other(Error::TooMuch { what: "times the packed size in one layer", limit: ratio }));
        }
        Ok(count)
    }
}
