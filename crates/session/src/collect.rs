//! Removes what no event names: blobs whose event was never written (the server died in between, or the log could not be written), and
//! what is left of blobs that were not finished.
//!
//! It never removes a blob that is being written or about to be named, because of when it runs: for a session that was marked as at work, while
//! the server starts, before that session or any other has a task. Blobs are written by what a session's task set going, and named by an event
//! of the same task. So nobody writes one now; and one that no event of the whole log names will not be named by a task that is gone. A
//! later task with the same output to keep finds none and writes it again. No grace by age could make this any safer, and
//! clocks jump.

use std::{collections::HashSet, path::Path};

use hangar_protocol::{Event, Seq, limits::EVENT_PAGE_MAX};

use crate::{
    blobs::{self, Kept},
    examine::blob_of,
    log::{self, LogError},
};

/// Why blobs stay.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    /// The log does not say what it names: then everything is kept.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] std::io::Error),
}

/// See the module's documentation for when. Gives how many files were removed from the session in this folder. Blocks.
pub(crate) fn collect(session_folder: &Path) -> Result<u64, CollectError> {
    let kept = blobs::kept(session_folder)?;
    if kept.is_empty() {
        return Ok(0);
    }
    let named = named(&session_folder.join(log::FILE))?;
    let mut removed = 0;
    for (path, kept) in kept {
        let garbage = match kept {
            Kept::Unfinished => true,
            Kept::Complete(hash) => !named.contains(&hash),
        };
        if garbage {
            std::fs::remove_file(path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn named(log: &Path) -> Result<HashSet<String>, LogError> {
    let mut named = HashSet::new();
    let mut cursor = Seq::START;
    loop {
        let (rows, _head) = log::read_page(log, cursor, EVENT_PAGE_MAX)?;
        let Some(last) = rows.last() else { return Ok(named) };
        cursor = last.seq;
        for row in rows {
            let event: Event = serde_json::from_str(&row.json)?;
            named.extend(blob_of(&event.body).map(|blob| blob.sha256.clone()));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use hangar_protocol::{
        CallId, Cause, EventBody, TurnId,
        event::{BlobRef, ToolStatus},
    };
    use hangar_store::Writers;

    use super::*;
    use crate::{
        blobs::Blobs,
        log::{SessionLog, StoredEvent},
    };

    fn names(seq: u64, blob: Option<BlobRef>) -> StoredEvent {
        let body = EventBody::ToolFinished {
            turn: TurnId(1),
            call: CallId::try_from("call".to_owned()).unwrap(),
            status: ToolStatus::Ok,
            output: String::new(),
            blob,
            image: None,
            duration_ms: 0,
        };
        StoredEvent::new(&Event { seq: Seq(seq), time_ms: 0, cause: Cause::Turn { turn: TurnId(1) }, body }).unwrap()
    }

    #[tokio::test]
    async fn only_what_no_event_names_goes_and_nothing_goes_when_the_log_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(folder.path());
        let named = blobs.put(b"named").await.unwrap();
        let unnamed = blobs.put(b"written, then the server died").await.unwrap();
        let part = folder.path().join(format!("blobs/{}.0badcafe.part", named.sha256));
        let foreign = folder.path().join("blobs/notes.txt");
        std::fs::write(&part, b"half").unwrap();
        std::fs::write(&foreign, b"of the operator").unwrap();
        let rows = vec![names(1, None), names(2, Some(named.clone()))];
        SessionLog::begin(&Writers::start().unwrap(), folder.path(), rows).await.unwrap().close().await;
        let log = folder.path().join(log::FILE);
        let whole = std::fs::read(&log).unwrap();
        std::fs::write(&log, b"not a database any more, whatever it was before").unwrap();
        assert!(collect(folder.path()).is_err());
        assert!(blobs.get(&unnamed.sha256).await.is_ok(), "a log that cannot be read names everything");
        std::fs::write(&log, whole).unwrap();
        assert_eq!(collect(folder.path()).unwrap(), 2);
        assert_eq!(blobs.get(&named.sha256).await.unwrap(), b"named");
        assert!(blobs.get(&unnamed.sha256).await.is_err());
        assert!(!part.exists() && foreign.exists());
        assert_eq!(collect(folder.path()).unwrap(), 0);
        // The same output once more is a new file.
        assert_eq!(blobs.put(b"written, then the server died").await.unwrap(), unnamed);
        assert!(blobs.get(&unnamed.sha256).await.is_ok());
    }
}
