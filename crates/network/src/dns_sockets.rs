//! The name server's sockets: UDP, answered from the address that was asked, and TCP.

use std::{
    io::{self, IoSliceMut},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::{
    denials::DenialReason,
    dns::{Asked, answer, refuse},
    limits::{
        QUESTION_BYTES_MAX, QUESTION_TIME_MAX, QUESTIONS_BURST, QUESTIONS_PER_CONNECTION_MAX, QUESTIONS_PER_SECOND,
    },
    traffic::Shared,
};

/// The port of DNS.
pub(crate) const DNS_PORT: u16 = 53;
/// Questions that are taken from the kernel at once. Every sandbox has this buffer, so it is small.
const DATAGRAMS_AT_ONCE: usize = 4;
/// More than a question may have, so that one which is too large is seen to be.
const DATAGRAM_BYTES: usize = 2 * QUESTION_BYTES_MAX;

/// How many questions may still be answered: a bucket that fills with time.
#[derive(Debug)]
pub(crate) struct Allowance(Mutex<(f64, Instant)>);

impl Allowance {
    pub(crate) fn new() -> Self {
        Self(Mutex::new((f64::from(QUESTIONS_BURST), Instant::now())))
    }

    fn take(&self) -> bool {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, since) = *bucket;
        let now = Instant::now();
        let filled = now.duration_since(since).as_secs_f64() * f64::from(QUESTIONS_PER_SECOND);
        let left = (left + filled).min(f64::from(QUESTIONS_BURST));
        let enough = left >= 1.0;
        *bucket = (if enough { left - 1.0 } else { left }, now);
        enough
    }
}

/// One question, asked in whatever way.
fn reply(shared: &Shared, allowance: &Allowance, question: &[u8]) -> Option<Vec<u8>> {
    if !allowance.take() {
        shared.denials.count_unnamed(DNS_PORT, DenialReason::TooManyQuestions);
        return refuse(question);
    }
    let asked = answer(question, &mut shared.names.lock().unwrap_or_else(PoisonError::into_inner));
    match asked {
        Asked::Answer(bytes) => Some(bytes),
        Asked::NoAddressLeft(bytes) => {
            shared.denials.count_unnamed(DNS_PORT, DenialReason::TooManyNames);
            Some(bytes)
        }
        Asked::Noise => None,
    }
}

/// Answers questions over UDP until the sandbox ends.
pub(crate) async fn datagrams(
    socket: UdpSocket,
    state: UdpSocketState,
    shared: Arc<Shared>,
    allowance: Arc<Allowance>,
) {
    let mut buffers = [[0u8; DATAGRAM_BYTES]; DATAGRAMS_AT_ONCE];
    let mut about = [RecvMeta::default(); DATAGRAMS_AT_ONCE];
    loop {
        let mut slices: Vec<IoSliceMut<'_>> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let receiving = socket.async_io(Interest::READABLE, || state.recv((&socket).into(), &mut slices, &mut about));
        let count = tokio::select! {
            received = receiving => match received {
                Ok(count) => count,
                Err(error) => {
                    tracing::debug!(%error, "a question could not be received");
                    continue;
                }
            },
            () = shared.closing.cancelled() => return,
        };
        for (buffer, meta) in buffers.iter().zip(&about).take(count) {
            // The kernel may hand over several datagrams of one sender as one.
            for question in buffer[..meta.len].chunks(meta.stride.max(1)) {
                if question.len() > QUESTION_BYTES_MAX {
                    continue;
                }
                let Some(bytes) = reply(&shared, &allowance, question) else { continue };
                let transmit = Transmit {
                    destination: meta.addr,
                    ecn: None,
                    contents: &bytes,
                    segment_size: None,
                    src_ip: meta.dst_ip,
                };
                let sending = socket.async_io(Interest::WRITABLE, || state.try_send((&socket).into(), &transmit));
                if let Err(error) = sending.await {
                    tracing::debug!(%error, "an answer could not be sent");
                }
            }
        }
    }
}

/// Answers questions over one TCP connection (RFC 7766).
pub(crate) async fn stream(mut stream: TcpStream, shared: Arc<Shared>, allowance: Arc<Allowance>) {
    let served = async {
        for _ in 0..QUESTIONS_PER_CONNECTION_MAX {
            let question = match timeout(QUESTION_TIME_MAX, question(&mut stream)).await {
                Ok(question) => question?,
                Err(_) => return Ok(()),
            };
            let Some(bytes) = reply(&shared, &allowance, &question) else { return Ok(()) };
            let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
            let mut framed = length.to_be_bytes().to_vec();
            framed.extend(bytes);
            stream.write_all(&framed).await?;
        }
        Ok::<_, io::Error>(())
    };
    tokio::select! {
        done = served => if let Err(error) = done {
            tracing::trace!(%error, "questions over TCP ended");
        },
        () = shared.closing.cancelled() => {}
    }
}

async fn question(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
