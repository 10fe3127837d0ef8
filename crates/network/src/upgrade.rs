//! Connections that became WebSockets. Their bytes are passed through; a credential that comes back is overwritten with as many
//! stars, so that the frames keep their lengths. What the client sends is scrambled by the protocol itself, so placeholders
//! are not replaced in it: the credential belongs into the request that opens the socket.

use std::{io, sync::Arc};

use hyper::{
    Response,
    body::Incoming,
    header::{CONNECTION, HeaderValue, UPGRADE},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split},
    time::timeout,
};

use crate::{
    forward::mask_headers,
    inner::{AnyBody, any_body},
    limits::{SECRET_BYTES_MIN, SPLICE_BUFFER_BYTES},
    mask::{Masker, Masks},
    masked::SHORT_WAIT,
    requests::strip_answer,
    traffic::Crossing,
};

/// The answer that tells the client that it may begin.
pub(crate) fn answer(response: &Response<Incoming>, masks: Option<&Masks>) -> Response<AnyBody> {
    let mut head = Response::new(any_body(http_body_util::Empty::new()));
    *head.status_mut() = response.status();
    *head.headers_mut() = response.headers().clone();
    let headers = head.headers_mut();
    strip_answer(headers);
    if let Some(masks) = masks {
        mask_headers(headers, masks);
    }
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    head
}

/// Passes everything through until one side ends, or the rules change.
pub(crate) fn spawn(crossing: Arc<Crossing>, inside: OnUpgrade, outside: OnUpgrade, masks: Option<Masks>) {
    let tracker = crossing.shared.tasks.clone();
    tracker.spawn(async move {
        let through = async {
            let (inside, outside) = tokio::try_join!(inside, outside).map_err(io::Error::other)?;
            let (mut from_inside, to_inside) = split(TokioIo::new(inside));
            let (from_outside, mut to_outside) = split(TokioIo::new(outside));
            let out = async {
                copy(&mut from_inside, &mut to_outside).await?;
                to_outside.shutdown().await
            };
            tokio::try_join!(out, back(from_outside, to_inside, masks))
        };
        tokio::select! {
            done = through => if let Err(error) = done {
                tracing::debug!(target = %crossing.target, %error, "a WebSocket broke");
            },
            () = crossing.revoked() => {}
        }
    });
}

async fn back<R, W>(mut from: R, mut to: W, masks: Option<Masks>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Some(masks) = masks else {
        copy(&mut from, &mut to).await?;
        return to.shutdown().await;
    };
    let mut buffer = vec![0; SPLICE_BUFFER_BYTES];
    let mut held = Vec::new();
    loop {
        let short = !held.is_empty() && held.len() < SECRET_BYTES_MIN;
        let read = from.read(&mut buffer);
        let count = if short {
            match timeout(SHORT_WAIT, read).await {
                Ok(count) => count?,
                Err(_) => {
                    to.write_all(&std::mem::take(&mut held)).await?;
                    to.flush().await?;
                    continue;
                }
            }
        } else {
            read.await?
        };
        if count == 0 {
            to.write_all(&Masker::new(&masks, &mut held).finish()).await?;
            return to.shutdown().await;
        }
        to.write_all(&Masker::new(&masks, &mut held).push(&buffer[..count])).await?;
        to.flush().await?;
    }
}
