//! What can go wrong with somebody else's image, in words that say what to do.

use std::{io, path::PathBuf};

/// Why an image was not taken in, or not given out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of this machine could not be used.
    #[error("{}: {source}", path.display())]
    Host {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading or writing failed half-way.
    #[error("cannot {what}: {source}")]
    Stream {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is no image that hangar can read.
    #[error("{what}. hangar reads an OCI layout (a directory or a tar file of it) and what `docker save` writes")]
    NotAnImage {
        /// What was found or missed.
        what: String,
    },
    /// One entry of a layer would do harm, or cannot be told apart from one that would.
    #[error("the layer was refused: `{entry}` {reason}")]
    Refused {
        /// The entry's name as the archive has it, shortened.
        entry: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More than an image may have.
    #[error("the image was refused: more than {limit} {what}")]
    TooMuch {
        /// What there is too much of, with its unit.
        what: &'static str,
        /// How much there may be.
        limit: u64,
    },
    /// The content is not what its digest says.
    #[error(
        "{what} has the digest {found} instead of {expected}: it was damaged or changed. Fetch or export the image again"
    )]
    Digest {
        /// Which content.
        what: String,
        /// What was promised.
        expected: String,
        /// What was there.
        found: String,
    },
    /// The image has something hangar knows and does not do.
    #[error("{what} is not supported; {instead}")]
    Unsupported {
        /// What.
        what: String,
        /// What to do now.
        instead: String,
    },
    /// A registry did not give the image.
    #[error("cannot pull {image}: {reason}")]
    Registry {
        /// The image as asked for.
        image: String,
        /// What the registry or the way to it said.
        reason: String,
    },
    /// A layer cannot be written in a form other programs read.
    #[error("cannot export: `{}` {reason}", path.display())]
    NotExportable {
        /// The path inside the layer.
        path: PathBuf,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// The store of layers refused.
    #[error(transparent)]
    Layers(#[from] hangar_sandbox::layers::LayerError),
}

impl Error {
    pub(crate) fn host<E: Into<io::Error>>(path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Host { path, source: source.into() }
    }

    /// Turns a system error into one that says what was being done; a refusal that travelled through a reader comes out as itself.
    pub(crate) fn stream<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| {
            let source: io::Error = source.into();
            match source.downcast::<Self>() {
                Ok(error) => error,
                Err(source) => Self::Stream { what, source },
            }
        }
    }

    pub(crate) fn not_an_image(what: impl Into<String>) -> Self {
        Self::NotAnImage { what: what.into() }
    }
}
