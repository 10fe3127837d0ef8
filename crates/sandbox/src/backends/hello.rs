//! The first words with a guest whose surroundings somebody else has made.

use std::{os::unix::net::UnixStream as StdUnixStream, time::Duration};

use hangar_protocol::guest::{ExchangeId, Reply, decode, encode};
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::error::Error;

/// Largest answer: a failure's words.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Tells a guest what it is, and waits until it is a sandbox.
pub(crate) async fn introduce(
    guest: &mut (impl AsyncRead + AsyncWrite + Unpin),
    what: &impl Serialize,
    patience: Duration,
) -> Result<(), Error> {
    let late = |_| Error::Setup(format!("the guest did not answer within {} s", patience.as_secs()));
    tokio::time::timeout(patience, exchange(guest, what)).await.map_err(late)?
}

/// The same at the other end of a socket, whose halves are for what follows.
pub(crate) async fn meet(
    socket: StdUnixStream,
    what: &impl Serialize,
    patience: Duration,
) -> Result<(OwnedReadHalf, OwnedWriteHalf), Error> {
    let mut socket = connected(socket)?;
    introduce(&mut socket, what, patience).await?;
    Ok(socket.into_split())
}

/// A socket that is waited for.
pub(crate) fn connected(socket: StdUnixStream) -> Result<UnixStream, Error> {
    let what = "talk to a guest";
    socket.set_nonblocking(true).map_err(Error::kernel(what))?;
    UnixStream::from_std(socket).map_err(Error::kernel(what))
}

/// Waits for a guest's first word, whatever it is: it is sent an order that makes no sense.
pub(crate) async fn hear(guest: &mut (impl AsyncRead + AsyncWrite + Unpin), patience: Duration) -> Result<(), Error> {
    let late = |_| Error::Setup(format!("the guest did not answer within {} s", patience.as_secs()));
    let silent = |error: std::io::Error| Error::Setup(format!("the guest ended before it answered ({error})"));
    let word = async {
        let frame = encode(ExchangeId::NONE, &"anybody?", &[]).map_err(|error| Error::Setup(error.to_string()))?;
        guest.write_all(&frame).await.map_err(silent)?;
        guest.read_u32_le().await.map_err(silent)
    };
    tokio::time::timeout(patience, word).await.map_err(late)?.map(drop)
}

async fn exchange(guest: &mut (impl AsyncRead + AsyncWrite + Unpin), what: &impl Serialize) -> Result<(), Error> {
    let silent = |error: std::io::Error| Error::Setup(format!("the guest ended during set-up ({error})"));
    let frame = encode(ExchangeId::NONE, what, &[]).map_err(|error| Error::Setup(error.to_string()))?;
    guest.write_all(&frame).await.map_err(silent)?;
    let size = guest.read_u32_le().await.map_err(silent)? as usize;
    if size > ANSWER_BYTES_MAX {
        return Err(Error::Setup(format!("the guest answered with {size} bytes")));
    }
    let mut frame = vec![0; size];
    guest.read_exact(&mut frame).await.map_err(silent)?;
    let (header, _) = decode::<Reply>(&frame).map_err(|error| Error::Setup(error.to_string()))?;
    match header.body {
        Reply::Claimed => Ok(()),
        Reply::Failed(failure) => Err(Error::Setup(failure.message)),
        other => Err(Error::Setup(format!("the guest answered {other:?}"))),
    }
}
