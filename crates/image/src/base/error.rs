//! Why there is no base, in words that say what to do.

use std::{io, path::PathBuf};

use crate::oci;

/// Why a base was not made.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// A file or directory of this machine could not be used.
    #[error("{}: {source}", path.display())]
    Host {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program that makes bases is not there.
    #[error(
        "{program} is not installed on the machine hangar runs on; install it (`apt-get install {package}`), or use another base"
    )]
    Missing {
        /// The program.
        program: &'static str,
        /// Its Debian package.
        package: &'static str,
    },
    /// Something in the recipe cannot be.
    #[error("{what}; {instead}")]
    Unfit {
        /// What.
        what: String,
        /// What to write.
        instead: String,
    },
    /// A program failed.
    #[error("cannot {what}: {said}")]
    Failed {
        /// What was being done.
        what: String,
        /// What it said last.
        said: String,
    },
    /// An image was not taken in.
    #[error(transparent)]
    Image(#[from] oci::Error),
    /// The store of layers refused.
    #[error(transparent)]
    Layers(#[from] hangar_sandbox::layers::LayerError),
    /// A sandbox for a step failed.
    #[error(transparent)]
    Sandbox(#[from] hangar_sandbox::Error),
}

impl BaseError {
    pub(crate) fn host<E: Into<io::Error>>(path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Host { path, source: source.into() }
    }

    pub(crate) fn unfit(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self::Unfit { what: what.into(), instead: instead.into() }
    }
}
