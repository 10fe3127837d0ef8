//! The host's end of the guest's socket: many exchanges over one stream.
//!
//! Neither direction waits for the other: `outgoing.rs` writes, a task of this module reads. The reading task never
//! waits for a consumer: an exchange has room for everything the protocol lets the guest send ahead, and a guest that sends
//! more has that exchange cut off.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use hangar_protocol::guest::{
    EXCHANGES_MAX, ExchangeId, FRAME_BYTES_MAX, OUTPUT_FRAMES_AHEAD, PAYLOAD_BYTES_MAX, Reply, Request,
    STDIN_FRAMES_AHEAD, decode, encode,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use crate::{error::Error, outgoing::Outgoing};

/// What an exchange may receive ahead of its reader: output, input receipts, and the few single answers.
const INCOMING_MAX: usize = (OUTPUT_FRAMES_AHEAD + STDIN_FRAMES_AHEAD) as usize + 8;

/// One answer and its payload.
pub(crate) type Answer = (Reply, Bytes);

struct Shared {
    open: Mutex<HashMap<ExchangeId, Entry>>,
    /// The socket has ended.
    closed: AtomicBool,
}

struct Entry {
    answers: mpsc::Sender<Answer>,
    /// Set when an answer had to be dropped because its reader is behind.
    behind: Arc<AtomicBool>,
    /// Standard input frames that may still be sent.
    stdin_room: Arc<Semaphore>,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<ExchangeId, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host's end.
#[derive(Clone)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    outgoing: Outgoing,
    room: Arc<Semaphore>,
    next: Arc<AtomicU32>,
}

impl Link {
    /// Starts over a guest's stream.
    pub(crate) fn start(read: Box<dyn AsyncRead + Send + Unpin>, write: Box<dyn AsyncWrite + Send + Unpin>) -> Self {
        let shared = Arc::new(Shared { open: Mutex::new(HashMap::new()), closed: AtomicBool::new(false) });
        tokio::spawn(read_all(read, Arc::clone(&shared)));
        Self {
            shared,
            outgoing: Outgoing::start(write),
            room: Arc::new(Semaphore::new(EXCHANGES_MAX)),
            next: Arc::new(AtomicU32::new(1)),
        }
    }

    /// Begins an exchange.
    pub(crate) async fn begin(&self, request: &Request, payload: &[u8]) -> Result<Exchange, Error> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::TooLarge { bytes: payload.len(), limit: PAYLOAD_BYTES_MAX });
        }
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Error::Busy)?;
        let (answers, incoming) = mpsc::channel(INCOMING_MAX);
        let behind = Arc::new(AtomicBool::new(false));
        let stdin_room = Arc::new(Semaphore::new(STDIN_FRAMES_AHEAD as usize));
        let id = {
            let mut open = self.shared.open();
            if self.shared.closed.load(Ordering::Acquire) {
                return Err(Error::Gone);
            }
            let id = loop {
                let id = ExchangeId(self.next.fetch_add(1, Ordering::Relaxed));
                if id != ExchangeId::NONE && !open.contains_key(&id) {
                    break id;
                }
            };
            let entry = Entry { answers, behind: Arc::clone(&behind), stdin_room: Arc::clone(&stdin_room) };
            open.insert(id, entry);
            id
        };
        let exchange = Exchange { id, link: self.clone(), incoming, behind, stdin_room, over: false, _permit: permit };
        exchange.send(request, payload).await?;
        Ok(exchange)
    }

    /// Sends one request and takes its one answer.
    pub(crate) async fn ask(&self, request: &Request, payload: &[u8]) -> Result<Answer, Error> {
        let mut exchange = self.begin(request, payload).await?;
        let answer = exchange.next().await?;
        exchange.over = true;
        Ok(answer)
    }
}

/// One exchange. Dropping it before it is over cancels it.
pub(crate) struct Exchange {
    id: ExchangeId,
    link: Link,
    incoming: mpsc::Receiver<Answer>,
    behind: Arc<AtomicBool>,
    stdin_room: Arc<Semaphore>,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Exchange {
    /// Sends something that belongs to this exchange. Waits while too much is waiting to be written.
    pub(crate) async fn send(&self, request: &Request, payload: &[u8]) -> Result<(), Error> {
        let frame = encode(self.id, request, payload).map_err(|_| Error::Protocol)?;
        self.link.outgoing.send(frame).await
    }

    /// The next answer. A failure of the guest ends the exchange.
    pub(crate) async fn next(&mut self) -> Result<Answer, Error> {
        match self.incoming.recv().await {
            Some((Reply::Failed(failure), _)) => {
                self.over = true;
                Err(Error::Guest(failure))
            }
            Some(answer) => Ok(answer),
            None => {
                self.over = true;
                Err(Error::Gone)
            }
        }
    }

    /// Nothing more is expected; dropping this needs no cancelling.
    pub(crate) fn finish(&mut self) {
        self.over = true;
    }

    /// The way for standard input, which lives apart from the answers.
    pub(crate) fn input(&self) -> Input {
        Input { id: self.id, outgoing: self.link.outgoing.clone(), room: Arc::clone(&self.stdin_room) }
    }

    /// Whether answers were dropped because they were not taken in time. Resets.
    pub(crate) fn take_behind(&self) -> bool {
        self.behind.swap(false, Ordering::AcqRel)
    }
}

/// Standard input of one exchange.
pub(crate) struct Input {
    id: ExchangeId,
    outgoing: Outgoing,
    room: Arc<Semaphore>,
}

impl Input {
    /// Sends one piece once the command has taken enough of what went before.
    pub(crate) async fn send(&self, piece: &[u8]) -> Result<(), Error> {
        let room = self.room.acquire().await.map_err(|_| Error::Gone)?;
        self.pass(&Request::Stdin, piece).await?;
        // Given back by the guest's receipt.
        room.forget();
        Ok(())
    }

    /// Says that nothing more will come.
    pub(crate) async fn end(&self) -> Result<(), Error> {
        self.pass(&Request::StdinEnd, &[]).await
    }

    async fn pass(&self, request: &Request, payload: &[u8]) -> Result<(), Error> {
        let frame = encode(self.id, request, payload).map_err(|_| Error::Protocol)?;
        self.outgoing.send(frame).await
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Whoever still waits to send input learns that nobody will take it.
        self.stdin_room.close();
        self.link.shared.open().remove(&self.id);
        if self.over {
            return;
        }
        let Ok(frame) = encode(self.id, &Request::Cancel, &[]) else { return };
        if let Err(frame) = self.link.outgoing.try_send(frame) {
            // Without a runtime the process is ending, and the guest with it.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                let outgoing = self.link.outgoing.clone();
                runtime.spawn(async move { drop(outgoing.send(frame).await) });
            }
        }
    }
}

async fn read_all(socket: Box<dyn AsyncRead + Send + Unpin>, shared: Arc<Shared>) {
    let codec = LengthDelimitedCodec::builder()
        .little_endian()
        .length_field_type::<u32>()
        .max_frame_length(FRAME_BYTES_MAX)
        .new_codec();
    let mut frames = FramedRead::new(socket, codec);
    // A frame over the limit breaks the stream: this guest does not keep to the protocol, and its sandbox ends with its socket.
    while let Some(Ok(frame)) = frames.next().await {
        deliver(&shared, frame);
    }
    let mut open = shared.open();
    shared.closed.store(true, Ordering::Release);
    open.clear();
}

fn deliver(shared: &Shared, frame: BytesMut) {
    let (id, reply, payload_size) = match decode::<Reply>(&frame) {
        Ok((header, payload)) => (header.id, header.body, payload.len()),
        Err(error) => {
            tracing::warn!(%error, "a guest sent a frame that cannot be understood");
            return;
        }
    };
    let mut payload = frame.freeze();
    payload.advance(payload.len() - payload_size);
    let mut open = shared.open();
    let Some(entry) = open.get(&id) else {
        // An answer to an exchange that was dropped meanwhile.
        return;
    };
    if let Reply::StdinTaken { frames } = reply {
        // A guest that invents receipts gains room for no more than the protocol grants.
        let missing =
            STDIN_FRAMES_AHEAD as usize - entry.stdin_room.available_permits().min(STDIN_FRAMES_AHEAD as usize);
        entry.stdin_room.add_permits(missing.min(frames as usize));
        return;
    }
    let droppable = matches!(reply, Reply::Changed { .. });
    match entry.answers.try_send((reply, payload)) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) if droppable => entry.behind.store(true, Ordering::Release),
        Err(mpsc::error::TrySendError::Full(_)) => {
            tracing::warn!(exchange = id.0, "a guest sent more than it has credit for; the exchange is cut off");
            open.remove(&id);
        }
        Err(mpsc::error::TrySendError::Closed(_)) => drop(open.remove(&id)),
    }
}
