//! Frames on their way to a guest.
//!
//! ```text
//!   send ──nothing waits──▶ written at once, by whoever sends
//!        ──else, or the rest of what did not fit──▶ queue ──▶ one task ──▶ written
//! ```
//!
//! Handing every frame to a task would cost each command a change of threads. A frame is written whole whatever becomes of its sender: what has begun is
//! finished by the task.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use futures::task::noop_waker_ref;
use tokio::{
    io::AsyncWrite,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::error::Error;

/// Frames that may wait to be written. Beyond it, whoever sends waits.
const WAITING_MAX: usize = 32;

/// See the module's documentation. A cheap handle; the stream is closed for writing when the last one is gone.
#[derive(Clone)]
pub(crate) struct Outgoing {
    line: Arc<Line>,
}

struct Line {
    state: Mutex<State>,
    room: Arc<Semaphore>,
}

struct State {
    /// `None` once it has failed: the guest is gone.
    stream: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    queue: VecDeque<Waiting>,
    /// Wakes the task.
    task: Option<Waker>,
}

/// A frame, or what is left of it.
struct Waiting {
    bytes: Vec<u8>,
    written: usize,
    _room: OwnedSemaphorePermit,
}

impl Outgoing {
    /// Starts the task over a guest's stream.
    pub(crate) fn start(stream: Box<dyn AsyncWrite + Send + Unpin>) -> Self {
        let state = State { stream: Some(stream), queue: VecDeque::new(), task: None };
        let line = Arc::new(Line { state: Mutex::new(state), room: Arc::new(Semaphore::new(WAITING_MAX)) });
        tokio::spawn(write_rest(Arc::downgrade(&line)));
        Self { line }
    }

    /// Sends a frame; waits while too many are waiting.
    pub(crate) async fn send(&self, frame: Vec<u8>) -> Result<(), Error> {
        let room = Arc::clone(&self.line.room).acquire_owned().await.map_err(|_| Error::Gone)?;
        self.put(frame, room)
    }

    /// Sends a frame if it need not wait; gives it back otherwise. One to a guest that is gone is dropped.
    pub(crate) fn try_send(&self, frame: Vec<u8>) -> Result<(), Vec<u8>> {
        match Arc::clone(&self.line.room).try_acquire_owned() {
            Ok(room) => {
                let _ = self.put(frame, room);
                Ok(())
            }
            Err(_) => Err(frame),
        }
    }

    fn put(&self, bytes: Vec<u8>, room: OwnedSemaphorePermit) -> Result<(), Error> {
        let mut state = self.line.state();
        let first = state.queue.is_empty();
        state.queue.push_back(Waiting { bytes, written: 0, _room: room });
        // When others wait, the task is at it.
        if first
            && state.write(&mut Context::from_waker(noop_waker_ref())).is_pending()
            && let Some(task) = state.task.take()
        {
            task.wake();
        }
        if state.stream.is_some() { Ok(()) } else { Err(Error::Gone) }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = state.task.take() {
            task.wake();
        }
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes as much as the stream takes. Ready when nothing waits.
    fn write(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(first) = self.queue.front_mut() {
            let Some(stream) = &mut self.stream else {
                self.queue.clear();
                break;
            };
            match Pin::new(stream).poll_write(context, &first.bytes[first.written..]) {
                Poll::Ready(Ok(size)) if size > 0 => {
                    first.written += size;
                    if first.written == first.bytes.len() {
                        self.queue.pop_front();
                    }
                }
                // The reading task notices the same and closes the exchanges.
                Poll::Ready(Ok(_) | Err(_)) => self.stream = None,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

/// Writes what could not be written at once, for as long as somebody may send.
async fn write_rest(line: Weak<Line>) {
    std::future::poll_fn(|context| {
        let Some(line) = line.upgrade() else { return Poll::Ready(()) };
        let mut state = line.state();
        // Registered before it looks, so that whoever puts something in afterwards finds it.
        state.task = Some(context.waker().clone());
        let _ = state.write(context);
        if state.stream.is_none() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
