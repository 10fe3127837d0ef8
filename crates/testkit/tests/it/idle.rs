//! Many idle connections: they stay, sessions sleep below them, and a command wakes one session alone.

use std::{collections::HashMap, fs};

use futures::{StreamExt as _, stream};
use hangar_protocol::{Frame, SessionId, api::NewSession, frame::SessionFrame};
use hangar_testkit::{Person, Setting, TestServer, Transcript, until, within};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

const SESSIONS: usize = 50;
const CONNECTIONS: usize = 500;
/// Of the server's memory for each connection, in a build without optimisation. The benchmark `density` measures the real figure.
const CONNECTION_BYTES_MAX: usize = 24 * 1024;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(person: &Person, path: &str) -> Socket {
    let url = person.client().url().replacen("http", "ws", 1);
    let mut request = format!("{url}{path}").into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {}", person.token()).parse().unwrap());
    within("the WebSocket", connect_async(request)).await.unwrap().0
}

async fn text(socket: &mut Socket) -> String {
    loop {
        let message = within("a frame", socket.next()).await.expect("the socket stays").unwrap();
        if let Message::Text(text) = message {
            return text.to_string();
        }
    }
}

/// How many logs of sessions the server has open.
fn open_logs(server: &TestServer) -> usize {
    let links = fs::read_dir(format!("/proc/{}/fd", server.process())).unwrap().flatten();
    links
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|link| link.file_name().is_some_and(|name| name == "log.db"))
        .count()
}

fn anonymous_bytes(server: &TestServer) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

async fn asleep(server: &TestServer) {
    until("the sleep of all sessions", async || (open_logs(server) == 0).then_some(())).await;
}

#[tokio::test]
async fn sessions_sleep_below_their_connections_and_wake_alone() {
    let setting = Setting::new(Transcript::new()).configured("[http]\nstreams_per_person_max = 1000");
    let mut server = TestServer::start_with(setting).await;
    let repo = server.tiny().await;
    let jane = server.owner().clone();
    let mut sessions: Vec<SessionId> = Vec::new();
    for _ in 0..SESSIONS {
        let new = NewSession {
            repo: repo.clone(),
            base_branch: None,
            model: None,
            agent: None,
            prompt: None,
            visibility: None,
        };
        sessions.push(jane.client().create_session(&new).await.unwrap().id);
    }
    asleep(&server).await;
    let before = anonymous_bytes(&server);
    let mut sockets: Vec<(SessionId, Socket)> = stream::iter(sessions.iter().cycle().take(CONNECTIONS))
        .map(async |session| {
            let mut socket = connect(&jane, &format!("/api/v1/sessions/{session}/stream?after=1")).await;
            assert_eq!(text(&mut socket).await, r#"{"frame":"caught_up","seq":1}"#);
            (session.clone(), socket)
        })
        .buffer_unordered(16)
        .collect()
        .await;
    let grown = anonymous_bytes(&server).saturating_sub(before) / CONNECTIONS;
    assert!(grown <= CONNECTION_BYTES_MAX, "{grown} bytes for each connection");
    // Following woke nobody, and neither does a stream of all of them.
    let all: Vec<String> = sessions.iter().map(|session| format!("{session}:1")).collect();
    let mut many = connect(&jane, &format!("/api/v1/stream?presence=true&sessions={}", all.join(","))).await;
    let mut caught_up = 0;
    while caught_up < SESSIONS {
        let frame: SessionFrame = serde_json::from_str(&text(&mut many).await).unwrap();
        caught_up += usize::from(frame.frame == Frame::CaughtUp { seq: hangar_protocol::Seq(1) });
    }
    assert_eq!(open_logs(&server), 0);
    // One command, one session awake; its readers have the event, and nobody else has anything.
    let woken = sessions[7].clone();
    jane.client().rename_session(&woken, "Awake").await.unwrap();
    assert_eq!(open_logs(&server), 1);
    let mut told: HashMap<SessionId, usize> = HashMap::new();
    for (session, socket) in sockets.iter_mut().filter(|(session, _)| *session == woken) {
        let Frame::Event { event } = serde_json::from_str(&text(socket).await).unwrap() else {
            panic!("another frame")
        };
        assert_eq!(event.seq.0, 2);
        *told.entry(session.clone()).or_default() += 1;
    }
    assert_eq!(told, HashMap::from([(woken.clone(), CONNECTIONS / SESSIONS)]));
    asleep(&server).await;
    // They are all still there: what comes next reaches each, and is the only thing that does.
    for session in &sessions {
        jane.client().rename_session(session, "Once more").await.unwrap();
    }
    for (session, socket) in &mut sockets {
        let Frame::Event { event } = serde_json::from_str(&text(socket).await).unwrap() else {
            panic!("another frame")
        };
        assert_eq!(event.seq.0, if *session == woken { 3 } else { 2 });
    }
    drop((sockets, many));
    server.stop().await;
}
