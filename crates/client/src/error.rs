//! What can go wrong between a client and hangar.

use std::error::Error as _;

use hangar_protocol::Refusal;

/// The exit status of the command line when no hangar answers (documented in `docs/cli.md`).
const EXIT_UNREACHABLE: u8 = 7;

/// Why a request of a client had no success.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// hangar (or, for its own settings, the client) says no, and what to do now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing answered at the address.
    #[error(
        "No hangar answers at {url}: {cause}. Is `hangar up` running there? `hangar login --url URL` or HANGAR_URL choose another address."
    )]
    Unreachable {
        /// The address that was tried.
        url: String,
        /// What the network said.
        cause: String,
    },
    /// Something answered, but not in hangar's words.
    #[error(
        "The answer from {url} is not one of hangar's: {cause}. Check the address; if it is right, update this `hangar` program."
    )]
    NotHangar {
        /// The address that was asked.
        url: String,
        /// What is strange about the answer.
        cause: String,
    },
}

impl Error {
    /// The exit status of the command line (documented in `docs/cli.md`).
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Refused(refusal) => refusal.code.exit_status(),
            Self::Unreachable { .. } => EXIT_UNREACHABLE,
            Self::NotHangar { .. } => 1,
        }
    }

    pub(crate) fn transport(url: &str, error: &reqwest::Error) -> Self {
        let url = url.to_owned();
        if error.is_decode() {
            return Self::NotHangar { url, cause: innermost(error) };
        }
        let cause = if error.is_timeout() { "it took too long to answer".to_owned() } else { innermost(error) };
        Self::Unreachable { url, cause }
    }
}

/// The last link of an error's chain: `connection refused`, without the layers of plumbing around it.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text.trim_end_matches('.').to_owned()
}
