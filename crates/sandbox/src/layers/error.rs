//! What can go wrong with layers, in words that say what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::id::LayerId;

/// Why an operation on layers was not done.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The text is no id.
    #[error("`{0}` is not the id of a layer: 64 hexadecimal letters")]
    BadId(String),
    /// There is no such layer.
    #[error("there is no layer {0}; what was built on it has to be built again")]
    Missing(LayerId),
    /// The layer's files are not what its id says.
    #[error(
        "layer {id} was changed or is incomplete and is not used ({detail}); restore it from a backup, or build again what it belongs to"
    )]
    Tampered {
        /// Which.
        id: LayerId,
        /// What was found.
        detail: String,
    },
    /// The tree holds something a layer cannot have.
    #[error("`{}` cannot be part of a layer: {why}", path.display())]
    Refused {
        /// Where in the tree.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The tree exceeds a limit.
    #[error("the tree has more than {limit} {what}, which is the limit of a layer; delete what is not needed")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        limit: u64,
    },
    /// A file changed while it was read.
    #[error("`{}` changed while it was read; end whatever writes to the tree and try again", .0.display())]
    Changed(PathBuf),
    /// The disk is full.
    #[error("the disk is full ({what}); free some space and try again, nothing was lost")]
    DiskFull {
        /// What was being done.
        what: String,
    },
    /// The system refused something.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl LayerError {
    /// Turns a system error into one that says what was being done.
    pub(super) fn io<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| {
            let source: io::Error = error.into();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { what },
                _ => Self::Io { what, source },
            }
        }
    }

    /// The same for a path.
    pub(super) fn at<'a, E: Into<io::Error>>(verb: &'a str, path: &'a Path) -> impl FnOnce(E) -> Self + 'a {
        move |error| Self::io(format!("{verb} {}", path.display()))(error)
    }

    pub(super) fn refused(path: &Path, why: &'static str) -> Self {
        Self::Refused { path: path.to_owned(), why }
    }
}
