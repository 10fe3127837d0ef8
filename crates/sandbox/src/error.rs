//! What can go wrong, in words that say what to do.

use std::{io, path::PathBuf};

use hangar_protocol::guest::{EXCHANGES_MAX, Failure};

use crate::layers::LayerError;

/// Why a sandbox did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel or its configuration does not allow a sandbox.
    #[error("cannot {what}: {source}. Run `hangar doctor` to see what this machine is missing")]
    Kernel {
        /// What was being done.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The guest could not set the sandbox up.
    #[error("the sandbox could not be set up: {0}. Run `hangar doctor` to see what this machine is missing")]
    Setup(String),
    /// The guest ended while the sandbox was being set up.
    #[error(
        "the sandbox could not be set up: its guest ended ({0}). Run `hangar doctor` to see what this machine is missing"
    )]
    GuestEnded(io::Error),
    /// A directory or file of the host could not be used.
    #[error("{}: {source}", path.display())]
    Host {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk that holds hangar's data is full.
    #[error("the disk is full ({what}); free some space and try again, nothing was lost")]
    DiskFull {
        /// What was being done.
        what: String,
    },
    /// Another engine has this state directory.
    #[error("{} is in use by another hangar; stop that one, or choose another data directory", .0.display())]
    StateDirInUse(PathBuf),
    /// The engine has as many sandboxes as it may.
    #[error("{0} sandboxes are running, which is the limit; stop a session, or raise the limit in hangar.toml")]
    TooMany(usize),
    /// The name is not one a sandbox can have.
    #[error("`{0}` cannot name a sandbox: use 1 to 60 letters, digits and hyphens")]
    BadName(String),
    /// A path that must lie below the data directory does not.
    #[error("{} is not below the data directory {}", path.display(), data_dir.display())]
    Outside {
        /// Which.
        path: PathBuf,
        /// The engine's data directory.
        data_dir: PathBuf,
    },
    /// This backend cannot do it on this machine.
    #[error("the backend `{backend}` cannot {what}: {why}")]
    Unsupported {
        /// Which backend.
        backend: &'static str,
        /// What was asked.
        what: &'static str,
        /// Why not, and what would help.
        why: String,
    },
    /// Too many requests are open in this sandbox.
    #[error("{EXCHANGES_MAX} requests are open in this sandbox; wait for some to end")]
    Busy,
    /// The sandbox has ended; its files are still there.
    #[error("the sandbox has ended; create it again over the same directory and its files are back")]
    Gone,
    /// A layer could not be used or made.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The guest refused or failed one request.
    #[error(transparent)]
    Guest(#[from] Failure),
    /// The guest said something that does not fit.
    #[error("the sandbox gave an answer that does not fit its request")]
    Protocol,
    /// More bytes than one request may carry.
    #[error("{bytes} bytes are too many for one request; the limit is {limit}")]
    TooLarge {
        /// How many there were.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
}

impl Error {
    /// The workspace cannot be held.
    pub(crate) fn cannot_hold(backend: &'static str, why: &str) -> Self {
        Self::Unsupported { backend, what: "hold a workspace read only", why: why.into() }
    }

    /// Turns a system error into one that says what was being done.
    pub(crate) fn kernel<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Kernel { what, source: source.into() }
    }

    /// Turns a system error into one that names the path.
    pub(crate) fn host<E: Into<io::Error>>(path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |error| {
            let source: io::Error = error.into();
            // The kernel's own file systems say the same when there are too many of something.
            let on_disk = !["/sys", "/proc"].iter().any(|kernel| path.starts_with(kernel));
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded if on_disk => {
                    Self::DiskFull { what: format!("{} cannot be written", path.display()) }
                }
                _ => Self::Host { path, source },
            }
        }
    }
}
