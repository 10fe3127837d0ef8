//! A stream over a WebSocket. Clients send little, so the buffers are small: axum's own defaults cost 134 KB for each idle connection.
//!
//! Nothing is queued for a peer: a frame is written, and the next is fetched when the kernel has taken it. A peer that takes nothing
//! for [`STUCK_MAX`] is cut; it comes back with its cursor and has lost nothing.

use std::time::Duration;

use axum::{
    extract::{
        WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
    },
    response::Response,
};
use hangar_protocol::{Frame, Seq};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::{Form, Open, asks};

/// Read buffer of a connection.
const READ_BUFFER_BYTES: usize = 512;
/// Frames are written at once, not gathered.
const WRITE_BUFFER_BYTES: usize = 0;
/// Largest message a client may send: five hundred sessions to follow, each with its cursor, do not fit, and need several.
const CLIENT_MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// How often the peer is asked whether it is there, and whether it may still listen.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A peer that was silent for so long, pings not answered, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// A peer that takes nothing of a frame's end for so long is cut.
const STUCK_MAX: Duration = Duration::from_secs(30);
/// How long a peer may take for the goodbye.
const FAREWELL_MAX: Duration = Duration::from_secs(10);
/// Close code for a credential that was taken back: of the range that applications may use.
const NO_LONGER_SIGNED_IN: u16 = 4401;
/// Close code for a peer that read too slowly, likewise.
const TOO_SLOW: u16 = 4008;

/// Why a stream over a WebSocket ends.
enum End {
    /// The peer closed, broke off, or is gone.
    Peer,
    /// The stream has said `bye`.
    Bye,
    /// The token or cookie does not work any more.
    SignedOut,
    /// The peer took nothing. With the last event that it may have.
    Stuck(Option<Seq>),
}

/// Whether a message has left.
enum Sent {
    Well,
    Broken,
    Stuck,
}

/// The answer to the upgrade; the stream runs on afterwards.
pub(super) fn answer(upgrade: WebSocketUpgrade, open: Open) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(CLIENT_MESSAGE_BYTES_MAX)
        .max_frame_size(CLIENT_MESSAGE_BYTES_MAX)
        .on_upgrade(async move |mut socket| {
            let mut open = open;
            let end = pump(&mut socket, &mut open).await;
            // Its cursors and its presence go first: the goodbye may take a while.
            let Open { subscription, _place, .. } = open;
            drop(subscription);
            // Boxed: a stream that goes on has no use for the room.
            Box::pin(farewell(socket, end)).await;
        })
}

async fn farewell(mut socket: WebSocket, end: End) {
    let (code, reason) = match end {
        End::Peer => return,
        End::Bye => (close_code::AWAY, "connect again with the last sequence number seen"),
        End::SignedOut => (NO_LONGER_SIGNED_IN, "signed out"),
        End::Stuck(_) => (TOO_SLOW, "too slow: connect again with the last sequence number seen"),
    };
    let goodbye = async {
        if let End::Stuck(after) = end {
            let reason = format!("This connection took nothing for {} seconds. Connect again.", STUCK_MAX.as_secs());
            let bye = serde_json::to_string(&Frame::Bye { reason, after }).unwrap_or_default();
            socket.send(Message::Text(bye.into())).await?;
        }
        socket.send(Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }))).await?;
        // Until the peer has closed too: a socket that is closed with something unread takes back what the peer has not read.
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<(), axum::Error>(())
    };
    // The peer may have gone first.
    let _ = timeout(FAREWELL_MAX, goodbye).await;
}

async fn pump(socket: &mut WebSocket, open: &mut Open) -> End {
    // The answer to the first ping makes of the read buffer what it stays (`bytes` allocates a counter for it). Now that lies with the rest of the
    // connection; later, ten thousand of them would lie amid what sessions give back when they fall asleep, and hold pages of it.
    match send(socket, Message::Ping(Default::default())).await {
        Sent::Well => {}
        Sent::Broken => return End::Peer,
        Sent::Stuck => return End::Stuck(None),
    }
    let mut ping = pings();
    let mut heard = Instant::now();
    let mut sent_seq = None;
    loop {
        let sent = tokio::select! {
            delivery = open.subscription.next() => {
                let Some(delivery) = delivery else { return End::Bye };
                let text = Utf8Bytes::from(open.form.text(&delivery).as_ref());
                let sent = send(socket, Message::Text(text)).await;
                if let (Form::Plain, Sent::Well, Some(seq)) = (open.form, &sent, delivery.seq()) {
                    sent_seq = Some(seq);
                }
                sent
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    heard = Instant::now();
                    // Boxed, as what is rare must not take room in every idle connection.
                    Box::pin(answer_ask(socket, open, text)).await
                }
                // Pings are answered by the library.
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {
                    heard = Instant::now();
                    Sent::Well
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Peer,
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE_MAX {
                    return End::Peer;
                }
                // A database that cannot be asked is no reason to send anybody away.
                if let Ok(None) = Box::pin(open.credential.holder(&open.app)).await {
                    return End::SignedOut;
                }
                send(socket, Message::Ping(Default::default())).await
            }
        };
        match sent {
            Sent::Well => {}
            Sent::Broken => return End::Peer,
            Sent::Stuck => return End::Stuck(sent_seq),
        }
    }
}

/// When to ask. The first time is random, so that ten thousand who came at once are not asked at once.
fn pings() -> Interval {
    let first = PING_EVERY.mul_f64(rand::random_range(0.5..1.0));
    let mut ping = interval_at(Instant::now() + first, PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping
}

async fn answer_ask(socket: &mut WebSocket, open: &mut Open, text: Utf8Bytes) -> Sent {
    for refusal in asks::carry_out(&text, &mut open.subscription, open.form).await {
        match send(socket, Message::Text(refusal.into())).await {
            Sent::Well => {}
            other @ (Sent::Broken | Sent::Stuck) => return other,
        }
    }
    Sent::Well
}

async fn send(socket: &mut WebSocket, message: Message) -> Sent {
    match timeout(STUCK_MAX, socket.send(message)).await {
        Ok(Ok(())) => Sent::Well,
        Ok(Err(_)) => Sent::Broken,
        Err(_) => Sent::Stuck,
    }
}
