//! How far a backup or a restore is.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// How far a backup or a restore is, and whether it should end: shared by who does it and who watches.
#[derive(Clone, Debug, Default)]
pub struct Course(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Course {
    /// Files done so far.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.0.files.load(Ordering::Relaxed)
    }

    /// Bytes of files done so far, unpacked.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Asks whoever does it to end soon, and to leave nothing behind.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether that was asked.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn add_file(&self) {
        self.0.files.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes.
    ///
    /// # Errors
    /// When it should end.
    pub(super) fn add_bytes(&self, bytes: usize) -> io::Result<()> {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        match self.is_stopped() {
            true => Err(io::Error::other("it was interrupted")),
            false => Ok(()),
        }
    }
}
