//! Makes the list anew from the logs.
//!
//! It works beside a running server: SQLite keeps writers apart, and a step is only taken in where it goes on from what is there.

use std::path::Path;

use hangar_protocol::SessionId;
use hangar_store::{StoreError, Writers};

use super::{CatchUpError, Index, catch_up};
use crate::log::{self, LogReader};

/// What was made anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rebuilt {
    /// How many sessions are in the list.
    pub sessions: u64,
    /// Those whose logs are damaged, with how: they are in it as far as they can be read.
    pub damaged: Vec<Damaged>,
}

/// A session whose log is damaged.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damaged {
    /// Which.
    pub session: SessionId,
    /// How.
    pub reason: String,
}

/// Makes the list in `sessions_dir` anew from the logs there. A server may be at work on it.
///
/// # Errors
/// When the folder or the list cannot be used: [`StoreError::Damaged`] for a list that cannot even be rewritten. It may be removed, or
/// [put aside](super::put_aside), while no server runs.
pub async fn rebuild(sessions_dir: &Path) -> Result<Rebuilt, StoreError> {
    let index = Index::open_there(&Writers::start()?, sessions_dir).await?;
    let rebuilt = rebuild_all(&index, sessions_dir).await;
    index.close().await?;
    rebuilt
}

async fn rebuild_all(index: &Index, sessions_dir: &Path) -> Result<Rebuilt, StoreError> {
    // First: where the search does not fit what is searched, no row of it could be removed.
    index.fit_search().await?;
    let mut rebuilt = Rebuilt::default();
    let there = log::sessions_in(sessions_dir)?;
    for gone in index.known().await?.iter().filter(|id| !there.contains(id)) {
        index.forget(gone).await?;
    }
    for session in there {
        match catch_up::anew(index, &LogReader::new(&sessions_dir.join(session.as_str()))).await {
            Ok(()) => rebuilt.sessions += 1,
            Err(CatchUpError::Log(error)) => {
                rebuilt.damaged.push(Damaged { session, reason: error.to_string() });
            }
            Err(CatchUpError::List(error)) => return Err(error),
            Err(CatchUpError::Busy) => {
                return Err(StoreError::Sqlite(format!("others write the entry of {session} without end")));
            }
        }
    }
    index.harden().await?;
    Ok(rebuilt)
}
