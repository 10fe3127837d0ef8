//! A stream over a WebSocket. Clients send nothing but pings, so the buffers are small: axum's own defaults cost 134 KB for
//! each idle connection, these settings 3.3 KB.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{
        WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
    },
    response::Response,
};
use hangar_session::Follower;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::places::StreamPlace;
use crate::{app::App, gate::Credential};

/// Read buffer of a connection.
const READ_BUFFER_BYTES: usize = 1024;
/// Frames are written at once, not gathered.
const WRITE_BUFFER_BYTES: usize = 0;
/// Largest message a client may send.
const CLIENT_MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// How often the peer is asked whether it is there, and whether it may still listen.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A peer that was silent for so long, or took nothing, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// Close code for a credential that was taken back: of the range that applications may use.
const NO_LONGER_SIGNED_IN: u16 = 4401;

/// Why a stream over a WebSocket ends.
enum End {
    /// The peer closed, broke off, or is gone.
    Peer,
    /// The follower has said `bye`.
    Bye,
    /// The token or cookie does not work any more.
    SignedOut,
}

/// The answer to the upgrade; the stream runs on afterwards.
pub(super) fn answer(
    upgrade: WebSocketUpgrade,
    app: App,
    credential: Credential,
    follower: Follower,
    place: StreamPlace,
) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(CLIENT_MESSAGE_BYTES_MAX)
        .max_frame_size(CLIENT_MESSAGE_BYTES_MAX)
        .on_upgrade(async move |socket| {
            let _place = place;
            run(socket, app, credential, follower).await;
        })
}

async fn run(mut socket: WebSocket, app: App, credential: Credential, mut follower: Follower) {
    let (code, reason) = match pump(&mut socket, &app, &credential, &mut follower).await {
        End::Peer => return,
        End::Bye => (close_code::AWAY, "connect again with the last sequence number seen"),
        End::SignedOut => (NO_LONGER_SIGNED_IN, "signed out"),
    };
    let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
    // The peer may have gone first.
    let _ = timeout(SILENCE_MAX, socket.send(close)).await;
}

async fn pump(socket: &mut WebSocket, app: &App, credential: &Credential, follower: &mut Follower) -> End {
    let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            frame = follower.next() => match frame {
                Some(frame) => {
                    if !sent(socket, text(&frame)).await {
                        return End::Peer;
                    }
                }
                None => return End::Bye,
            },
            message = socket.recv() => match message {
                // Pings are answered by the library; other messages have no meaning and do no harm.
                Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => heard = Instant::now(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Peer,
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE_MAX {
                    return End::Peer;
                }
                // A database that cannot be asked is no reason to send anybody away.
                if let Ok(None) = credential.holder(app).await {
                    return End::SignedOut;
                }
                if !sent(socket, Message::Ping(Default::default())).await {
                    return End::Peer;
                }
            }
        }
    }
}

async fn sent(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(SILENCE_MAX, socket.send(message)).await, Ok(Ok(())))
}

fn text(frame: &Arc<str>) -> Message {
    Message::Text(Utf8Bytes::from(&**frame))
}
