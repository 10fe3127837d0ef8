//! One connection of a stream: WebSocket, or Server-Sent Events where something in between does not let an upgrade pass.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _, stream::BoxStream};
use hangar_protocol::Frame;
use reqwest::{Method, Response, StatusCode, Upgraded, header};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};

use crate::{client::Client, error::Error};

/// How long the answer to "connect" may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A silent connection is asked after this long whether it still lives.
const PING_AFTER: Duration = Duration::from_secs(20);
/// A connection that stayed silent this long is given up: cables are pulled without a farewell.
const SILENCE_MAX: Duration = Duration::from_secs(50);
/// The largest frame that is accepted. An event's parts are limited; this only keeps a strange server from filling memory.
const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;

pub(crate) enum Wire {
    WebSocket(Box<WebSocketStream<Upgraded>>),
    ServerSent { chunks: BoxStream<'static, Result<Vec<u8>, String>>, buffer: Vec<u8> },
}

/// Why a connection is over.
#[derive(Debug)]
pub(crate) enum Cut {
    /// It broke or was closed; connecting again is right.
    Broken(String),
    /// What came cannot be understood; connecting again would not help.
    Strange(String),
}

impl Wire {
    /// Connects. A refusal of the server comes back as such.
    pub(crate) async fn open(client: &Client, path: &str) -> Result<Self, Error> {
        let key = generate_key();
        let request = client
            .request(Method::GET, path)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key)
            .header(header::ACCEPT, "text/event-stream");
        let late =
            || Error::Unreachable { url: client.url().to_owned(), cause: "it took too long to answer".to_owned() };
        let opening = tokio::time::timeout(CONNECT_TIMEOUT, client.send_unlimited(request));
        let response = opening.await.map_err(|_| late())??;
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => Self::upgrade(client, response, &key).await,
            StatusCode::OK if is_event_stream(&response) => {
                let chunks = response.bytes_stream();
                let chunks = chunks.map(|chunk| match chunk {
                    Ok(bytes) => Ok(bytes.to_vec()),
                    Err(error) => Err(crate::error::innermost(&error)),
                });
                Ok(Self::ServerSent { chunks: chunks.boxed(), buffer: Vec::new() })
            }
            status => Err(client.strange(format!("status {status} instead of a stream"))),
        }
    }

    async fn upgrade(client: &Client, response: Response, key: &str) -> Result<Self, Error> {
        let accepted = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).map(|value| value.as_bytes().to_vec());
        if accepted.as_deref() != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(client.strange("the WebSocket handshake has the wrong key".to_owned()));
        }
        let upgraded = response.upgrade().await.map_err(|error| Error::transport(client.url(), &error))?;
        let config =
            WebSocketConfig::default().max_message_size(Some(FRAME_BYTES_MAX)).max_frame_size(Some(FRAME_BYTES_MAX));
        Ok(Self::WebSocket(Box::new(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)))
    }

    /// The next frame that this version knows.
    pub(crate) async fn next(&mut self) -> Result<Frame, Cut> {
        loop {
            let text = match self {
                Self::WebSocket(socket) => next_message(socket).await?,
                Self::ServerSent { chunks, buffer } => next_data(chunks, buffer).await?,
            };
            match serde_json::from_str(&text) {
                Ok(frame) => return Ok(frame),
                Err(error) if is_event(&text) => {
                    return Err(Cut::Strange(format!("an event this program does not know ({error})")));
                }
                // A kind of hint that a newer server sends: missing it is missing nothing.
                Err(_) => {}
            }
        }
    }
}

async fn next_message(socket: &mut WebSocketStream<Upgraded>) -> Result<String, Cut> {
    let mut heard = Instant::now();
    let mut pinged = false;
    loop {
        let deadline = heard + if pinged { SILENCE_MAX } else { PING_AFTER };
        let message = match timeout_at(deadline, socket.next()).await {
            Ok(message) => message,
            Err(_) if pinged => return Err(Cut::Broken("the server has fallen silent".to_owned())),
            Err(_) => {
                pinged = true;
                socket.send(Message::Ping(Vec::new().into())).await.map_err(|error| Cut::Broken(error.to_string()))?;
                continue;
            }
        };
        heard = Instant::now();
        pinged = false;
        match message {
            Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Binary(_))) => return Err(Cut::Strange("a binary message in the stream".to_owned())),
            Some(Ok(Message::Close(_))) | None => return Err(Cut::Broken("the connection was closed".to_owned())),
            Some(Err(error)) => return Err(Cut::Broken(error.to_string())),
        }
    }
}

async fn next_data(
    chunks: &mut BoxStream<'static, Result<Vec<u8>, String>>,
    buffer: &mut Vec<u8>,
) -> Result<String, Cut> {
    loop {
        while let Some(block) = take_block(buffer) {
            if let Some(data) = data_of(&block) {
                return Ok(data);
            }
        }
        if buffer.len() > FRAME_BYTES_MAX {
            return Err(Cut::Strange("a frame larger than any of hangar's".to_owned()));
        }
        match timeout_at(Instant::now() + SILENCE_MAX, chunks.next()).await {
            Ok(Some(Ok(chunk))) => buffer.extend_from_slice(&chunk),
            Ok(Some(Err(cause))) => return Err(Cut::Broken(cause)),
            Ok(None) => return Err(Cut::Broken("the connection was closed".to_owned())),
            Err(_) => return Err(Cut::Broken("the server has fallen silent".to_owned())),
        }
    }
}

/// Takes the bytes up to the next empty line out of the buffer.
fn take_block(buffer: &mut Vec<u8>) -> Option<String> {
    let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
    let block: Vec<u8> = buffer.drain(..end + 2).collect();
    Some(String::from_utf8_lossy(&block).into_owned())
}

/// The `data:` lines of a block, joined; `None` for comments and keep-alives.
/// Source: HTML standard, section 9.2.6 "Interpreting an event stream".
fn data_of(block: &str) -> Option<String> {
    let lines: Vec<&str> = block
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn is_event_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

fn is_event(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Tag {
        frame: String,
    }
    serde_json::from_str::<Tag>(text).is_ok_and(|tag| tag.frame == "event")
}
