//! Following a session: WebSocket and Server-Sent Events, from a cursor on.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use hangar_protocol::RefusalCode::{BadRequest, TooMany};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest as _},
};

use crate::hangar::{Expect, Hangar};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A session without a prompt; its log has one event.
pub(crate) async fn session(hangar: &Hangar) -> String {
    hangar.repo("acme/website").await;
    let made: Value = hangar.owner.post("/api/v1/sessions", &json!({"repo": "acme/website"})).await.ok(201).await;
    made["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn rename(hangar: &Hangar, session: &str, title: &str) {
    let asked =
        hangar.owner.request(Method::PATCH, &format!("/api/v1/sessions/{session}")).json(&json!({"title": title}));
    let renamed: Value = asked.send().await.unwrap().ok(200).await;
    assert_eq!(renamed["title"], title);
}

pub(crate) async fn connect(
    hangar: &Hangar,
    path: &str,
    headers: &[(&'static str, String)],
) -> Result<Socket, tungstenite::Error> {
    let mut request = hangar.url(path).replace("http://", "ws://").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    connect_async(request).await.map(|(socket, _)| socket)
}

pub(crate) fn bearer(hangar: &Hangar) -> (&'static str, String) {
    ("authorization", format!("Bearer {}", hangar.owner.token))
}

/// The next frame of a socket.
pub(crate) async fn frame(socket: &mut Socket) -> Value {
    loop {
        match timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => panic!("{other:?}"),
        }
    }
}

/// Frames up to and with `caught_up`; the sequence numbers of the events among them.
pub(crate) async fn caught_up(socket: &mut Socket) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        let frame = frame(socket).await;
        match frame["frame"].as_str().unwrap() {
            "event" => seen.push(frame["event"]["seq"].as_u64().unwrap()),
            "caught_up" => return seen,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_socket_begins_after_its_cursor_and_goes_on_live() {
    let hangar = Hangar::start().await;
    let id = session(&hangar).await;
    rename(&hangar, &id, "Two").await;
    rename(&hangar, &id, "Three").await;
    let path = format!("/api/v1/sessions/{id}/stream");
    let mut all = connect(&hangar, &path, &[bearer(&hangar)]).await.unwrap();
    assert_eq!(caught_up(&mut all).await, [1, 2, 3]);
    let mut rest = connect(&hangar, &format!("{path}?after=2"), &[bearer(&hangar)]).await.unwrap();
    assert_eq!(caught_up(&mut rest).await, [3]);
    rename(&hangar, &id, "Four").await;
    for socket in [&mut all, &mut rest] {
        let live = frame(socket).await;
        assert_eq!((live["event"]["seq"].as_u64(), live["event"]["body"]["title"].as_str()), (Some(4), Some("Four")));
    }
    // What clients say means nothing, up to a length.
    all.send(Message::text("hello")).await.unwrap();
    rename(&hangar, &id, "Five").await;
    assert_eq!(frame(&mut all).await["event"]["seq"], 5);
    all.send(Message::text("x".repeat(5000))).await.unwrap();
    assert!(!matches!(timeout(PATIENCE, all.next()).await.unwrap(), Some(Ok(Message::Text(_)))));
    hangar.end().await;
}

#[tokio::test]
async fn a_cookie_opens_a_socket_from_hangars_own_page_only() {
    let hangar = Hangar::start().await;
    let id = session(&hangar).await;
    let path = format!("/api/v1/sessions/{id}/stream");
    let cookie = ("cookie", hangar.cookie().await);
    for origin in [None, Some("http://evil.example".to_owned()), Some("null".to_owned())] {
        let mut headers = vec![cookie.clone()];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let Err(tungstenite::Error::Http(answer)) = connect(&hangar, &path, &headers).await else { panic!("let in") };
        assert_eq!(answer.status(), 403);
    }
    let own = [cookie, ("origin", hangar.owner.url.clone())];
    assert_eq!(caught_up(&mut connect(&hangar, &path, &own).await.unwrap()).await, [1]);
    hangar.end().await;
}

#[tokio::test]
async fn a_stranger_gets_no_socket() {
    let hangar = Hangar::start().await;
    let id = session(&hangar).await;
    let answer = connect(&hangar, &format!("/api/v1/sessions/{id}/stream"), &[]).await;
    let Err(tungstenite::Error::Http(answer)) = answer else { panic!("let in") };
    assert_eq!(answer.status(), 401);
    hangar.end().await;
}

/// The lines of a stream of Server-Sent Events, as far as they are asked for.
pub(crate) struct Lines {
    answer: Response,
    text: String,
}

impl Lines {
    pub(crate) async fn of(answer: Response) -> Self {
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new() }
    }

    /// The next event: its id and its data.
    pub(crate) async fn next(&mut self) -> (Option<u64>, Value) {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
                if let Some(data) = field("data:") {
                    return (field("id:").map(|id| id.parse().unwrap()), serde_json::from_str(data).unwrap());
                }
                continue;
            }
            let chunk = timeout(PATIENCE, self.answer.chunk()).await.unwrap().unwrap().expect("the stream ended");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn server_sent_events_are_numbered_and_resume() {
    let hangar = Hangar::start().await;
    let id = session(&hangar).await;
    rename(&hangar, &id, "Two").await;
    let path = format!("/api/v1/sessions/{id}/stream");
    let mut lines = Lines::of(hangar.owner.get(&path).await).await;
    for seq in [1, 2] {
        let (id, frame) = lines.next().await;
        assert_eq!((id, frame["event"]["seq"].as_u64()), (Some(seq), Some(seq)));
    }
    let (id, frame) = lines.next().await;
    assert_eq!((id, frame), (None, json!({"frame": "caught_up", "seq": 2})));
    // What a browser says when it comes back weighs more than the address it first asked.
    let resumed = hangar.owner.request(Method::GET, &format!("{path}?after=0")).header("last-event-id", "1");
    let mut lines = Lines::of(resumed.send().await.unwrap()).await;
    assert_eq!(lines.next().await.0, Some(2));
    let wrong = hangar.owner.request(Method::GET, &path).header("last-event-id", "x");
    wrong.send().await.unwrap().refused(BadRequest).await;
    hangar.end().await;
}

#[tokio::test]
async fn a_person_holds_only_so_many_streams() {
    let hangar = Hangar::start_with(|config| config.http.streams_per_person_max = 1).await;
    let id = session(&hangar).await;
    let path = format!("/api/v1/sessions/{id}/stream");
    let first = hangar.owner.get(&path).await;
    assert_eq!(first.status(), 200);
    hangar.owner.get(&path).await.refused(TooMany).await;
    let member = hangar.member("someone").await;
    assert_eq!(member.get(&path).await.status(), 200);
    drop(first);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while hangar.owner.get(&path).await.status() != 200 {
        assert!(tokio::time::Instant::now() < deadline, "the place never became free");
    }
    hangar.end().await;
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye() {
    let hangar = Hangar::start().await;
    let id = session(&hangar).await;
    let path = format!("/api/v1/sessions/{id}/stream");
    let mut socket = connect(&hangar, &path, &[bearer(&hangar)]).await.unwrap();
    assert_eq!(caught_up(&mut socket).await, [1]);
    let mut lines = Lines::of(hangar.owner.get(&path).await).await;
    assert_eq!(lines.next().await.0, Some(1));
    assert_eq!(lines.next().await.1["frame"], "caught_up");
    let ended = tokio::spawn(hangar.end());
    assert_eq!(frame(&mut socket).await["frame"], "bye");
    let Some(Ok(Message::Close(Some(close)))) = timeout(PATIENCE, socket.next()).await.unwrap() else {
        panic!("no close")
    };
    assert_eq!(u16::from(close.code), 1001);
    assert_eq!(lines.next().await.1["frame"], "bye");
    drop((socket, lines));
    timeout(PATIENCE, ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_upgrade_to_something_else_is_refused() {
    let hangar = Hangar::start().await;
    let id = session(&hangar).await;
    let asked = hangar.owner.request(Method::GET, &format!("/api/v1/sessions/{id}/stream")).header("upgrade", "h2c");
    asked.header("connection", "upgrade").send().await.unwrap().refused(BadRequest).await;
    hangar.end().await;
}
