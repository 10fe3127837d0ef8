//! The agent reads the web, as far as its sandbox may.

use hangar_protocol::{
    Event, EventBody,
    event::{ToolStatus, TurnOutcome},
    state::Place,
};
use hangar_testkit::{Reply, Setting, Story, TestServer, Transcript, Watch, within};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinSet,
};

/// A name that leads to this machine, for whom the operator trusts it.
const HOST: &str = "docs.localhost";

/// A web server on a free port: `/` leads to `/guide`, which is a page. Answers say who asked.
async fn pages() -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (reading, mut writing) = stream.split();
                let mut lines = BufReader::new(reading).lines();
                let mut head = Vec::new();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line.is_empty() {
                        break;
                    }
                    head.push(line.to_lowercase());
                }
                let asks = head.first().cloned().unwrap_or_default();
                let agent = head.iter().find_map(|line| line.strip_prefix("user-agent: ")).unwrap_or("nobody");
                let answer = if asks.starts_with("get / ") {
                    "HTTP/1.1 302 Found\r\nlocation: guide\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
                } else {
                    let page = format!("<title>Guide</title><h2>How</h2><ul><li>Asked by {agent}</ul><script>no()</script>");
                    let length = page.len();
                    format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{page}")
                };
                // Whoever asked may have gone.
                let _ = writing.write_all(answer.as_bytes()).await;
            });
        }
    });
    (port, serving)
}

#[tokio::test]
async fn a_page_is_read_over_the_border_where_people_allow_it() {
    let (port, _serving) = pages().await;
    let fetch = || Reply::say("I look.").and_call("web_fetch", json!({"url": format!("http://{HOST}:{port}/")}));
    let script = || [fetch(), Reply::say("Done.")];
    let transcript = Transcript::new().on("try", script()).on("again", script());
    let lines = format!("[[trusted]]\nhost = \"{HOST}\"\naddresses = [\"127.0.0.1/32\", \"::1/128\"]\n");
    let mut server = TestServer::start_with(Setting::new(transcript).configured(&lines)).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please try.").await.id;
    let mut watch = Watch::new(&jane, &session);
    let result = |events: &[Event]| {
        let result = |event: &Event| match &event.body {
            EventBody::ToolFinished { status, output, .. } => Some((*status, output.clone())),
            _ => None,
        };
        events.iter().rev().find_map(result).unwrap()
    };
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let (status, told) = result(watch.events());
    assert!(
        status == ToolStatus::Error && told.contains("this sandbox may not reach it. A person can allow it"),
        "{told}"
    );
    watch
        .until("the denial", |event| matches!(&event.body, EventBody::NetworkDenied { host, .. } if host == HOST))
        .await;

    let place = Place { host: HOST.to_owned(), port };
    within("the permission", jane.client().allow_network(&session, &place)).await.unwrap();
    watch.until("the permission", |event| matches!(event.body, EventBody::NetworkAllowed { .. })).await;
    jane.prompt(&session, "r2", "Please do it again.").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let (status, told) = result(watch.events());
    assert_eq!(status, ToolStatus::Ok, "{told}");
    assert!(told.starts_with(&format!("http://{HOST}:{port}/guide\nGuide\n")), "{told}");
    assert!(told.contains("## How\n\n- Asked by hangar/") && !told.contains("no()"), "{told}");
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}
