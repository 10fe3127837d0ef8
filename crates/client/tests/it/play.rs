//! A server that plays a script: each connection to the stream gets the next scene.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Query, State, WebSocketUpgrade, ws::Message},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hangar_client::{Client, Token};
use hangar_protocol::{Cause, Event, EventBody, Frame, Refusal, RefusalCode, Seq, api::ErrorBody};
use tokio::sync::Notify;

/// The token every request must carry.
pub(crate) const TOKEN: &str = "hgr_right";

/// What one connection gets.
pub(crate) enum Scene {
    /// These frames over a WebSocket, then the connection is torn without a farewell.
    Cut(Vec<Frame>),
    /// These frames over a WebSocket, then silence until the client goes.
    Stay(Vec<Frame>),
    /// These frames as Server-Sent Events in chunks of the given size, then the end.
    ServerSent(Vec<Frame>, usize),
    /// Raw text over a WebSocket, then silence.
    Raw(Vec<String>),
    /// A refusal.
    Refuse(RefusalCode),
    /// The answer of a reverse proxy whose hangar is away.
    BadGateway,
}

pub(crate) struct Play {
    pub(crate) address: SocketAddr,
    stage: Arc<Stage>,
    server: tokio::task::JoinHandle<()>,
}

struct Stage {
    scenes: Mutex<VecDeque<Scene>>,
    /// The `after` of every connection, in order.
    cursors: Mutex<Vec<u64>>,
    done: Notify,
}

impl Play {
    pub(crate) async fn new(scenes: Vec<Scene>) -> Self {
        let stage =
            Arc::new(Stage { scenes: Mutex::new(scenes.into()), cursors: Mutex::new(Vec::new()), done: Notify::new() });
        let router = Router::new().route("/api/v1/sessions/{id}/stream", get(stream)).with_state(Arc::clone(&stage));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, stage, server }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address), Token::new(TOKEN)).unwrap()
    }

    pub(crate) fn cursors(&self) -> Vec<u64> {
        self.stage.cursors.lock().unwrap().clone()
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        self.stage.done.notify_waiters();
        self.server.abort();
    }
}

#[derive(serde::Deserialize)]
struct Cursor {
    after: u64,
}

async fn stream(
    State(stage): State<Arc<Stage>>,
    Query(cursor): Query<Cursor>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) != Some(&format!("Bearer {TOKEN}")) {
        return refusal(RefusalCode::Unauthenticated);
    }
    stage.cursors.lock().unwrap().push(cursor.after);
    let scene = stage.scenes.lock().unwrap().pop_front();
    let (messages, stays) = match scene {
        None => return refusal(RefusalCode::NotFound),
        Some(Scene::Refuse(code)) => return refusal(code),
        Some(Scene::BadGateway) => return (StatusCode::BAD_GATEWAY, "<html>nginx</html>").into_response(),
        Some(Scene::ServerSent(frames, chunk)) => return server_sent(&frames, chunk),
        Some(Scene::Cut(frames)) => (as_text(&frames), false),
        Some(Scene::Stay(frames)) => (as_text(&frames), true),
        Some(Scene::Raw(messages)) => (messages, true),
    };
    upgrade.on_upgrade(async move |mut socket| {
        for message in messages {
            if socket.send(Message::Text(message.into())).await.is_err() {
                return;
            }
        }
        while stays && matches!(socket.recv().await, Some(Ok(_))) {}
    })
}

fn as_text(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(|frame| serde_json::to_string(frame).unwrap()).collect()
}

fn server_sent(frames: &[Frame], chunk: usize) -> Response {
    let mut text = String::from(": a comment that keeps the line open\n\n");
    for frame in as_text(frames) {
        text.push_str(&format!("id: 1\ndata: {frame}\n\n"));
    }
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
        text.as_bytes().chunks(chunk).map(|part| Ok(part.to_vec())).collect();
    let body = Body::from_stream(futures::stream::iter(chunks));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

pub(crate) fn refusal(code: RefusalCode) -> Response {
    let error = Refusal::new(code, format!("No: {code:?}."), "Do something else.");
    let status = StatusCode::from_u16(code.http_status()).unwrap();
    (status, axum::Json(ErrorBody { error })).into_response()
}

/// The event with this number.
pub(crate) fn event(seq: u64) -> Frame {
    Frame::Event { event: Box::new(warning(seq)) }
}

pub(crate) fn warning(seq: u64) -> Event {
    Event {
        seq: Seq(seq),
        time_ms: seq,
        cause: Cause::System,
        body: EventBody::Warning { text: format!("event {seq}") },
    }
}
