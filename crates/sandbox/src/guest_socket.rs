//! A guest's socket, in two halves. The reader is woken by what arrives alone.
//!
//! tokio's own stream is registered for both directions from the beginning, and a Unix socket tells whoever waits for room each time the other end has taken
//! something: two threads would be woken for every frame. Here the writer writes, and asks to be woken only once there was no room.
#![allow(unsafe_code, reason = "registering a descriptor asks for a promise about its life")]

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

/// Both halves' descriptor. It stays open, and the same, for as long as either registration lives.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<OwnedFd>);

impl AsRawFd for Shared {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// The half that reads.
#[derive(Debug)]
pub(crate) struct Reader(AsyncFd<Shared>);

/// The half that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    socket: Shared,
    /// Once there has been no room: a registration of a descriptor of its own, as one can be registered once.
    room: Option<AsyncFd<Shared>>,
}

/// Splits a socket that does not block.
pub(crate) fn halves(socket: OwnedFd) -> io::Result<(Reader, Writer)> {
    let socket = Shared(Arc::new(socket));
    Ok((Reader(register(socket.clone(), Interest::READABLE)?), Writer { socket, room: None }))
}

fn register(socket: Shared, interest: Interest) -> io::Result<AsyncFd<Shared>> {
    // SAFETY: the registration owns a share of the descriptor, which is never replaced and is closed after it.
    unsafe { AsyncFd::register_with_interest(socket, interest) }.map_err(Into::into)
}

impl Reader {
    /// Waits until something has arrived and takes it with `take`, again when there was nothing after all.
    pub(crate) async fn take<T>(&self, mut take: impl FnMut(&OwnedFd) -> io::Result<T>) -> io::Result<T> {
        self.0.async_io(Interest::READABLE, |socket| take(&socket.0)).await
    }

    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.0.get_ref().0
    }
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let space = buffer.initialize_unfilled();
            match guard.try_io(|socket| Ok(recv(&*socket.get_ref().0, &mut *space, RecvFlags::empty())?.0)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Ok(Ok(size)) => {
                    buffer.advance(size);
                    return Poll::Ready(Ok(()));
                }
                // Nothing was there; the next round waits.
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let sent = match &self.room {
                None => send(&*self.socket.0, bytes, SendFlags::NOSIGNAL).map_err(io::Error::from),
                Some(room) => {
                    let mut guard = ready!(room.poll_write_ready(context))?;
                    let sent = guard.try_io(|room| Ok(send(&*room.get_ref().0, bytes, SendFlags::NOSIGNAL)?));
                    // There was no room after all: the next round waits.
                    let Ok(sent) = sent else { continue };
                    sent
                }
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let own = Shared(Arc::new(self.socket.0.try_clone()?));
                    self.room = Some(register(own, Interest::WRITABLE)?);
                }
                other => {
                    self.room = None;
                    return Poll::Ready(other);
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(&*self.socket.0, Shutdown::Write).map_err(Into::into))
    }
}
