//! File changes, as they happen.

use hangar_protocol::guest::{FileChange, Reply};

use crate::{error::Error, link::Exchange};

/// Files that changed within about 100 ms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Each path once, relative to the watched directory, with what it is now.
    pub files: Vec<FileChange>,
    /// More changed than is told (many at once, or the reader was slow): look again at whatever matters.
    pub overflow: bool,
}

/// A watch over a directory. Ignores `.git` and what `.gitignore` names. Ends when dropped.
///
/// A reader that is slow makes nothing grow: changes beyond a small queue are dropped, and the next ones say so by `overflow`.
pub struct Watch {
    exchange: Exchange,
}

impl Watch {
    /// Waits until the watch stands.
    pub(crate) async fn begin(mut exchange: Exchange) -> Result<Self, Error> {
        match exchange.next().await? {
            (Reply::Watching, _) => Ok(Self { exchange }),
            _ => Err(Error::Protocol),
        }
    }

    /// The next changes.
    ///
    /// # Errors
    /// When the sandbox ends.
    pub async fn next(&mut self) -> Result<Changes, Error> {
        match self.exchange.next().await? {
            (Reply::Changed { changes, overflow }, _) => {
                Ok(Changes { files: changes, overflow: overflow | self.exchange.take_behind() })
            }
            _ => Err(Error::Protocol),
        }
    }
}
