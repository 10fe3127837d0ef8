//! Readers of streams: WebSockets with small buffers, each in a task of its own.

use std::{
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, client::IntoClientRequest as _, protocol::WebSocketConfig},
};

use super::cannot;
use crate::cli::ended::Failure;

/// Read buffer of a reader.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Readers that connect at the same time.
const CONNECTING_MAX: usize = 32;

pub(super) type Socket = WebSocketStream<TcpStream>;

/// Opens a stream.
pub(super) async fn open(address: SocketAddr, path: &str, token: &str) -> Result<Socket, Failure> {
    let failed = |error: &dyn std::fmt::Display| cannot("open a stream", error);
    let mut request = format!("ws://{address}{path}").into_client_request().map_err(|error| failed(&error))?;
    let bearer = format!("Bearer {token}").parse().map_err(|error| cannot("open a stream", error))?;
    request.headers_mut().insert("authorization", bearer);
    let connection = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES).write_buffer_size(0);
    let opened = client_async_with_config(request, connection, Some(config)).await;
    opened.map(|(socket, _)| socket).map_err(|error| failed(&error))
}

/// Opens a stream at each of these paths and waits until each has caught up.
pub(super) async fn open_all(address: SocketAddr, paths: Vec<String>, token: &str) -> Result<Vec<Socket>, Failure> {
    stream::iter(paths)
        .map(async |path| {
            let mut socket = open(address, &path, token).await?;
            while let Some(text) = next(&mut socket).await {
                if text.starts_with(r#"{"frame":"caught_up""#) {
                    return Ok(socket);
                }
            }
            Err(cannot("follow a session", "the stream ended"))
        })
        .buffer_unordered(CONNECTING_MAX)
        .try_collect()
        .await
}

/// The next text; `None` when the stream has ended.
pub(super) async fn next(socket: &mut Socket) -> Option<String> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => return Some(text.to_string()),
            Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            Ok(Message::Close(_)) | Err(_) => return None,
        }
    }
}

/// Microseconds since 1970: what both ends of a measurement on one machine agree on.
pub(super) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
