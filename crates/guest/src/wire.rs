//! Frames on the socket: reading them one by one, writing them whole from many threads.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
    sync::Mutex,
};

use hangar_protocol::guest::{
    ExchangeId, FRAME_BYTES_MAX, Failure, FailureKind, FrameError, Order, Reply, decode, encode,
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use serde::de::DeserializeOwned;

use crate::fault::SetupError;

/// Descriptors one order may carry; the kernel's own limit is 253.
const DESCRIPTORS_MAX: usize = 250;
/// Sockets of the border that one slot may hand over.
const BORDER_DESCRIPTORS_MAX: usize = 16;

/// Reads an order, with the descriptors attached to it.
pub(crate) fn read_order(socket: &File) -> Result<(Order, Vec<Option<OwnedFd>>), SetupError> {
    let what = "read an order";
    let mut size = [0u8; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut size)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(SetupError::at(what))?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights.map(Some));
        }
    }
    let mut reader = socket;
    reader.read_exact(&mut size[got.bytes..]).map_err(SetupError::at(what))?;
    let mut frame = vec![0; (u32::from_le_bytes(size) as usize).min(FRAME_BYTES_MAX)];
    reader.read_exact(&mut frame).map_err(SetupError::at(what))?;
    let (header, _) = decode::<Order>(&frame).map_err(SetupError::at("understand an order"))?;
    Ok((header.body, descriptors))
}

/// Reads the first frame of a host that sends no descriptors along.
pub(crate) fn read_first<B: DeserializeOwned>(mut host: &File) -> Result<B, SetupError> {
    match read_frame(&mut host).map_err(SetupError::at("read the set-up"))? {
        Some(Incoming::Frame(frame)) => {
            Ok(decode::<B>(&frame).map_err(SetupError::at("understand the set-up"))?.0.body)
        }
        Some(Incoming::TooLarge(_)) | None => Err(SetupError::new("the host sent no set-up".into())),
    }
}

/// Says that an order was carried out, with the descriptors that belong to the host attached.
pub(crate) fn answer(socket: &File, reply: &Reply, descriptors: &[BorrowedFd<'_>]) -> Result<(), SetupError> {
    let frame = encode(ExchangeId::NONE, reply, &[]).map_err(SetupError::at("answer"))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BORDER_DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let sent = sendmsg(socket, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::empty())
        .map_err(SetupError::at("answer"))?;
    let mut writer = socket;
    writer.write_all(&frame[sent..]).map_err(SetupError::at("answer"))
}

/// What came off the socket.
pub(crate) enum Incoming {
    /// The bytes of a frame, without its length.
    Frame(Vec<u8>),
    /// A frame over the limit; its bytes were read and thrown away.
    TooLarge(usize),
}

/// The next frame; `None` when the host has closed the socket.
pub(crate) fn read_frame(socket: &mut impl Read) -> io::Result<Option<Incoming>> {
    let mut size = [0u8; 4];
    match socket.read_exact(&mut size) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let size = u32::from_le_bytes(size) as usize;
    if size > FRAME_BYTES_MAX {
        io::copy(&mut socket.take(size as u64), &mut io::sink())?;
        return Ok(Some(Incoming::TooLarge(size)));
    }
    let mut frame = vec![0; size];
    socket.read_exact(&mut frame)?;
    Ok(Some(Incoming::Frame(frame)))
}

/// Writes whole frames; shared by all threads.
///
/// The lock is held while a frame is written. The host always reads (what it does not want it drops), so nobody waits
/// for another exchange's reader.
pub(crate) struct Writer {
    socket: Mutex<File>,
}

impl Writer {
    pub(crate) fn new(socket: &File) -> io::Result<Self> {
        Ok(Self { socket: Mutex::new(socket.try_clone()?) })
    }

    /// Sends one frame. An error means that the host is gone; the reader will notice and end the process.
    pub(crate) fn send(&self, id: ExchangeId, reply: &Reply, payload: &[u8]) -> io::Result<()> {
        let frame = match encode(id, reply, payload) {
            Ok(frame) => frame,
            Err(error) => {
                let failure =
                    Failure { kind: FailureKind::TooLarge, message: format!("the answer does not fit: {error}") };
                encode(id, &Reply::Failed(failure), &[]).map_err(io::Error::other)?
            }
        };
        let mut socket = self.socket.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        socket.write_all(&frame)
    }

    pub(crate) fn fail(&self, id: ExchangeId, failure: Failure) {
        // See `send`: when the host is gone there is nobody to tell.
        let _ = self.send(id, &Reply::Failed(failure), &[]);
    }
}

/// The failure which a frame that is none is answered with.
pub(crate) fn malformed(error: &FrameError) -> Failure {
    let kind = match error {
        FrameError::TooLarge { .. } => FailureKind::TooLarge,
        FrameError::Short | FrameError::Header(_) => FailureKind::Invalid,
    };
    Failure { kind, message: error.to_string() }
}
