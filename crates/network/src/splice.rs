//! Connections whose bytes are passed through unread.

use std::{io, sync::Arc, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional_with_sizes},
    net::TcpStream,
};

use crate::{
    denials::DenialReason,
    limits::{KEEP_ALIVE_AFTER, SPLICE_BUFFER_BYTES},
    policy::Verdict,
    traffic::Crossing,
};

/// A connection to a port without a protocol of its own (ssh, databases): allowed by name and port alone.
pub(crate) async fn serve(stream: TcpStream, crossing: Arc<Crossing>) {
    match crossing.verdict() {
        Verdict::Allowed(_) => {}
        Verdict::Denied => {
            crossing.refuse(DenialReason::NotAllowed);
            return reset(stream);
        }
    }
    match crossing.dial().await {
        Ok(outside) => through(stream, outside, &[], &crossing).await,
        Err(_) => reset(stream),
    }
}

/// Sends `first` on, and then passes everything through until both sides have ended, or the rules change.
pub(crate) async fn through(mut inside: TcpStream, mut outside: TcpStream, first: &[u8], crossing: &Crossing) {
    for stream in [&inside, &outside] {
        if let Err(error) = keep_alive(stream) {
            tracing::debug!(%error, "a connection's other end will not be asked whether it lives");
        }
    }
    let copying = async {
        outside.write_all(first).await?;
        copy_bidirectional_with_sizes(&mut inside, &mut outside, SPLICE_BUFFER_BYTES, SPLICE_BUFFER_BYTES).await
    };
    let revoked = tokio::select! {
        done = copying => {
            if let Err(error) = done {
                tracing::debug!(target = %crossing.target, %error, "a connection broke");
            }
            false
        }
        () = crossing.revoked() => true,
    };
    if revoked {
        reset(inside);
        reset(outside);
    }
}

/// A dead peer is noticed by the kernel: it asks three times before it gives up.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let asks =
        socket2::TcpKeepalive::new().with_time(KEEP_ALIVE_AFTER).with_interval(Duration::from_secs(60)).with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&asks)
}

/// Ends a connection so that the client sees "connection reset" at once.
pub(crate) fn reset(stream: TcpStream) {
    if let Err(error) = SockRef::from(&stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "a connection is closed without a reset");
    }
    drop(stream);
}
