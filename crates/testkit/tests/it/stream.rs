//! The stream of a session, byte by byte: Server-Sent Events and WebSocket, cut and continued, read slowly, through a restart.

use futures::StreamExt as _;
use hangar_protocol::{Event, EventBody, Frame, Seq, SessionId, event::TurnOutcome};
use hangar_testkit::{Person, Reply, TestServer, Transcript, Watch, within};
use reqwest::{Method, Response};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

fn talker() -> Transcript {
    let read = |words: &str| Reply::say(words).and_call("read", json!({"path": "README.md"}));
    // Much more than the kernel keeps for a connection that is not read, and than the server keeps for those behind.
    let long = "A sentence of forty characters, exactly.\n".repeat(2_500);
    Transcript::new()
        .on(
            "talk",
            [
                read("First words."),
                read("Second words."),
                Reply::bash("sleep 0.3; echo words"),
                read("Third."),
                Reply::say("Last words."),
            ],
        )
        .on("hold forth", (0..40).map(|_| read(&long)).chain([Reply::say("Last words.")]))
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_with_exactly_the_rest() {
    let mut server = TestServer::start(talker()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please talk.").await.id;
    // One event a connection, from the first to the last.
    let mut pieces: Vec<Event> = Vec::new();
    while !pieces.last().is_some_and(ends_turn) {
        let after = pieces.last().map_or(Seq::START, |event| event.seq);
        let mut sse = Sse::open(&jane, &session, after).await;
        pieces.push(sse.event().await);
        let after = pieces.last().map_or(Seq::START, |event| event.seq);
        if !pieces.last().is_some_and(ends_turn) {
            pieces.push(socket_event(&jane, &session, after).await);
        }
    }
    let log = jane.log(&session).await;
    assert_eq!(pieces, log[..pieces.len()]);
    // From the start, both ways bring the same.
    let mut sse = Sse::open(&jane, &session, Seq::START).await;
    for event in &log {
        assert_eq!(sse.event().await, *event);
    }
    // A cursor that nobody can have is refused, not guessed at.
    let path = format!("/api/v1/sessions/{session}/stream?after={}", log.len() + 1_000);
    let beyond = within("the answer", jane.request(Method::GET, &path).send()).await.unwrap();
    assert_eq!(hangar_testkit::refusal(beyond).await.code, hangar_protocol::RefusalCode::BadRequest);
    server.stop().await;
}

#[tokio::test]
async fn a_reader_that_pauses_loses_nothing() {
    let mut server = TestServer::start(talker()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please hold forth.").await.id;
    let mut slow = Sse::open(&jane, &session, Seq::START).await;
    let first = slow.event().await;
    // It reads nothing until all has been said, which is more than fits anywhere in between.
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let mut seen = vec![first];
    while !seen.last().is_some_and(ends_turn) {
        match slow.read().await {
            Some(event) => seen.push(event),
            // On a busy machine it is away longer than a stuck reader may be; then it comes again.
            None => slow = Sse::open(&jane, &session, seen.last().unwrap().seq).await,
        }
    }
    let log = jane.log(&session).await;
    let bytes: usize = log.iter().map(|event| serde_json::to_string(event).unwrap().len()).sum();
    assert!(bytes > 3_000_000, "{bytes} bytes are too few for this test");
    assert_eq!(seen.len(), log.iter().position(ends_turn).unwrap() + 1);
    assert!(seen.iter().zip(&log).all(|(seen, written)| seen == written));
    server.stop().await;
}

#[tokio::test]
async fn a_follower_stays_through_a_restart() {
    let mut server = TestServer::start(talker()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please talk.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    server.stop().await;
    server.restart().await;
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let resumed = |event: &Event| matches!(event.body, EventBody::TurnResumed { .. });
    assert_eq!(watch.events().iter().filter(|event| resumed(event)).count(), 1);
    assert_eq!(watch.events(), &jane.log(&session).await[..watch.events().len()]);
    server.stop().await;
}

fn ends_turn(event: &Event) -> bool {
    matches!(event.body, EventBody::TurnEnded { .. })
}

/// A connection with Server-Sent Events, read by hand.
struct Sse {
    response: Response,
    text: Vec<u8>,
}

impl Sse {
    async fn open(person: &Person, session: &SessionId, after: Seq) -> Self {
        let path = format!("/api/v1/sessions/{session}/stream?after={after}");
        let request = person.request(Method::GET, &path).timeout(hangar_testkit::PATIENCE * 2);
        let response = within("the stream", request.send()).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: Vec::new() }
    }

    async fn event(&mut self) -> Event {
        self.read().await.expect("the stream goes on")
    }

    /// The next event; frames that are hints are passed over. `None` when the connection was cut.
    async fn read(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.text.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                let line = String::from_utf8(line).unwrap();
                let Some(data) = line.strip_prefix("data:") else { continue };
                if let Frame::Event { event } = serde_json::from_str(data).unwrap() {
                    return Some(*event);
                }
            }
            let chunk = within("more of the stream", self.response.chunk()).await;
            self.text.extend_from_slice(&chunk.ok().flatten()?);
        }
    }
}

/// The first event that a new WebSocket brings.
async fn socket_event(person: &Person, session: &SessionId, after: Seq) -> Event {
    let url = person.client().url().replacen("http", "ws", 1);
    let mut request = format!("{url}/api/v1/sessions/{session}/stream?after={after}").into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {}", person.token()).parse().unwrap());
    let (mut socket, _) = within("the WebSocket", tokio_tungstenite::connect_async(request)).await.unwrap();
    loop {
        let message = within("a frame", socket.next()).await.expect("the socket stays").unwrap();
        let Message::Text(text) = message else { continue };
        if let Frame::Event { event } = serde_json::from_str(&text).unwrap() {
            return *event;
        }
    }
}
