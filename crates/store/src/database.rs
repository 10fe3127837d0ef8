//! One SQLite file.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Schema, StoreError, Writers, open_for_reading,
    writers::{DatabaseId, Job},
};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// An open database: a cheap handle, cloned freely. Call [`Database::close`] on the last one to give its descriptors back.
#[derive(Clone, Debug)]
pub struct Database {
    id: DatabaseId,
    path: PathBuf,
    lane: mpsc::Sender<Job>,
    reader: Arc<Mutex<Option<Connection>>>,
}

/// When a write is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    /// When it is answered.
    Acknowledged,
    /// After the next [`Database::harden`].
    Hardened,
}

impl Database {
    /// Opens `path`, makes it when it is missing, and brings it to the newest version of `schema`.
    ///
    /// # Errors
    /// As [`Schema::open`] says.
    pub async fn open(writers: &Writers, path: &Path, schema: Schema) -> Result<Self, StoreError> {
        Self::open_as(writers, path, schema, Durability::Acknowledged).await
    }

    /// Opens a database whose content can be made again from elsewhere. As [`Database::open`], but a write is answered before it is on
    /// disk: a power cut may lose the newest ones that no [`Database::harden`] came after, and nothing else of it. A killed program loses none.
    ///
    /// # Errors
    /// As [`Schema::open`] says.
    pub async fn open_projection(writers: &Writers, path: &Path, schema: Schema) -> Result<Self, StoreError> {
        Self::open_as(writers, path, schema, Durability::Hardened).await
    }

    async fn open_as(
        writers: &Writers,
        path: &Path,
        schema: Schema,
        durability: Durability,
    ) -> Result<Self, StoreError> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let lane = writers.lane(id);
        let opened = path.to_owned();
        let open = move || {
            let connection = schema.open(&opened).map_err(|error| error.on_disk_of(&opened))?;
            if durability == Durability::Hardened {
                connection.pragma_update(None, "synchronous", "NORMAL")?;
            }
            Ok(connection)
        };
        let connection = blocking(open).await?;
        lane.send(Job::Adopt(id, connection)).await.map_err(|_| StoreError::Closed)?;
        Ok(Self { id, path: path.to_owned(), lane, reader: Arc::default() })
    }

    /// Runs `work` inside a transaction that it may share with other writers. When this answers `Ok`, the transaction has
    /// been committed and fsynced. `work` must not begin or end transactions itself.
    ///
    /// # Errors
    /// What `work` or the commit ran into; nothing of it is kept then.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move |connection: Option<&Connection>| {
            let (outcome, value) = match connection.map(|connection| (work(connection), connection)) {
                Some((Ok(value), _)) => (Ok(()), Some(value)),
                Some((Err(error), connection)) => (Err(StoreError::of(connection, error)), None),
                None => (Err(StoreError::Closed), None),
            };
            let finish = Box::new(move |committed: Result<(), StoreError>| {
                let reply = committed.and_then(|()| value.ok_or(StoreError::Closed));
                // A caller that went away does not need to know.
                let _gone = answer.send(reply);
            });
            (outcome, finish as crate::writers::Answer)
        });
        self.lane.send(Job::Write(self.id, work)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `work` on this database's reading connection, beside the writes. It sees what was committed before it began.
    ///
    /// # Errors
    /// What `work` ran into.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = Arc::clone(&self.reader);
        let path = self.path.clone();
        blocking(move || {
            let mut slot = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = match slot.take() {
                Some(connection) => connection,
                None => open_for_reading(&path)?,
            };
            let outcome = work(&connection);
            *slot = Some(connection);
            Ok(outcome?)
        })
        .await
    }

    /// What was written to a [`Database::open_projection`] before this is on disk when it answers `Ok`.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn harden(&self) -> Result<(), StoreError> {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        // With `synchronous = NORMAL` SQLite syncs at checkpoints alone: what was written is in the write-ahead log, which may be synced by
        // anybody, or was moved from it into the file and synced there. The file itself must not be opened here: to close it would
        // drop SQLite's locks on it.
        blocking(move || match std::fs::File::open(log) {
            Ok(log) => Ok(log.sync_data()?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// Closes the file. Other handles of this database answer [`StoreError::Closed`] to writes from then on.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when the writer threads are gone already.
    pub async fn close(&self) -> Result<(), StoreError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(reader);
        let (answer, answered) = oneshot::channel();
        let finish = Box::new(move |outcome| {
            let _gone = answer.send(outcome);
        });
        self.lane.send(Job::Close(self.id, finish)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
}
