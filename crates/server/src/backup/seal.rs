//! The seal: the SHA-256 of everything before it, in a frame that zstd's programs skip.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use super::Course;

/// Length of the hash.
const HASH_BYTES: usize = 32;
/// The frame's head: the first of the numbers that RFC 8878 (3.1.2) keeps for frames to be skipped, and the length of what follows, both little-endian.
const HEAD: [u8; 8] = [0x50, 0x2A, 0x4D, 0x18, HASH_BYTES as u8, 0, 0, 0];
/// Length of the whole seal.
pub(super) const BYTES: u64 = (HEAD.len() + HASH_BYTES) as u64;
/// Read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Writes what is to be sealed.
pub(super) struct Sealing<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Sealing<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    /// Puts the seal behind it; the length of all.
    pub(super) fn finish(mut self) -> io::Result<(W, u64)> {
        self.inner.write_all(&HEAD)?;
        self.inner.write_all(&self.hash.finalize())?;
        self.inner.flush()?;
        Ok((self.inner, self.bytes + BYTES))
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Whether what is read, `bytes` long in all, ends with its seal.
pub(super) fn holds(mut from: impl Read, bytes: u64, course: &Course) -> io::Result<bool> {
    let Some(sealed) = bytes.checked_sub(BYTES) else { return Ok(false) };
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut body = from.by_ref().take(sealed);
    loop {
        let read = body.read(&mut piece)?;
        if read == 0 {
            break;
        }
        hash.update(&piece[..read]);
        if course.is_stopped() {
            return Err(io::Error::other("it was interrupted"));
        }
    }
    let mut seal = Vec::new();
    from.take(BYTES + 1).read_to_end(&mut seal)?;
    Ok(seal.strip_prefix(&HEAD).is_some_and(|found| *found == *hash.finalize()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_changed_missing_and_added_byte_breaks_the_seal() {
        let mut sealing = Sealing::new(Vec::new());
        sealing.write_all(b"everything").unwrap();
        let (whole, bytes) = sealing.finish().unwrap();
        assert_eq!(bytes, whole.len() as u64);
        let holds = |bytes: &[u8]| holds(bytes, bytes.len() as u64, &Course::default()).unwrap();
        assert!(holds(&whole));
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            assert!(!holds(&changed), "{place}");
            assert!(!holds(&whole[..place]), "{place}");
        }
        assert!(!holds(&[&whole[..], b"x"].concat()));
    }
}
