//! The model gateway: Anthropic's and OpenAI's own libraries in front of an independent double of their services, and what no library does.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use hangar_agent::{
    Model, ModelConfig, Models, Secret,
    gateway::{Admission, Gateway, GatewayHost, GatewayToken, NotAdmitted, Relayed},
    models::{ProviderKind, Rates},
};
use hangar_protocol::{
    Exhausted, GatewayOutcome, ModelUsage, TurnId,
    budget::{BudgetScope, Measure},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    process::Command,
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

use crate::world::play;

/// The key of the service, which no program sees.
const KEY: &str = "sk-of-the-service-0123456789";

/// A session that lets everything through, but for the models `poor` and `idle`.
#[derive(Default)]
struct Host {
    asked: Mutex<Vec<String>>,
    replied: Mutex<Vec<Relayed>>,
    told: Notify,
    turn: CancellationToken,
}

#[async_trait]
impl GatewayHost for Host {
    async fn admit(&self, model: &Model) -> Result<Admission, NotAdmitted> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(model.id.clone());
        match model.id.as_str() {
            "judged/poor" => Err(NotAdmitted::Exhausted(Exhausted {
                scope: BudgetScope::Session,
                measure: Measure::Tokens,
                spent: 1,
                limit: 1,
                reason: "The budget is used up.".to_owned(),
            })),
            "judged/idle" => Err(NotAdmitted::NoTurn),
            _ => {
                let request = u32::try_from(asked.len()).unwrap();
                Ok(Admission { turn: TurnId(1), request, ended: self.turn.child_token() })
            }
        }
    }

    async fn replied(&self, _admission: &Admission, relayed: Relayed) {
        self.replied.lock().unwrap().push(relayed);
        self.told.notify_one();
    }
}

/// A gateway that listens, as a sandbox's border would.
struct Border {
    url: String,
    token: GatewayToken,
    host: Arc<Host>,
}

impl Border {
    async fn to(configs: Vec<ModelConfig>) -> Self {
        let (token, host) = (GatewayToken::random(), Arc::new(Host::default()));
        let gateway = Gateway::new(Models::new(configs).unwrap(), token.clone(), host.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, gateway.router()).await.unwrap() });
        Self { url, token, host }
    }

    /// Asks with the token.
    async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        let request = reqwest::Client::new().post(format!("{}{path}", self.url)).bearer_auth(self.token.reveal());
        request.json(body).send().await.unwrap()
    }

    fn replied(&self) -> Vec<Relayed> {
        self.host.replied.lock().unwrap().clone()
    }
}

fn config(name: &str, kind: ProviderKind, base_url: &str) -> ModelConfig {
    let mut config = ModelConfig::new("judged", name, kind, base_url, Some(Secret::new(KEY.to_owned())));
    // A tenth of a cent for each thousand tokens.
    config.rates = Some(Rates { input: 1_000_000, output: 1_000_000, cache_read: 1_000_000, cache_write: 1_000_000 });
    config
}

#[tokio::test]
async fn the_official_libraries_find_everything_as_at_the_services() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/gateway-conformance");
    if !directory.join("node_modules").exists() {
        let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
        assert!(!ci, "run `npm ci` in clients/gateway-conformance first");
        eprintln!(
            "NOT CHECKED: run `npm ci` in clients/gateway-conformance to hold the gateway against the official libraries"
        );
        return;
    }
    let mut judge = Command::new("node")
        .arg("conformance.mjs")
        .current_dir(directory)
        .env("SERVICE_KEY", KEY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut told = BufReader::new(judge.stdout.take().unwrap()).lines();
    let services = told.next_line().await.unwrap().unwrap();
    let openai = format!("{services}/v1");
    let border = Border::to(vec![
        config("claude", ProviderKind::Anthropic, &services),
        config("responses", ProviderKind::OpenAiResponses, &openai),
        config("chat", ProviderKind::OpenAi, &openai),
        config("poor", ProviderKind::OpenAiResponses, &openai),
        config("idle", ProviderKind::OpenAiResponses, &openai),
        config("gone", ProviderKind::OpenAiResponses, "http://127.0.0.1:9/v1"),
    ])
    .await;
    let with = json!({"gateway": border.url, "token": border.token.reveal()});
    judge.stdin.take().unwrap().write_all(format!("{with}\n").as_bytes()).await.unwrap();
    let last = told.next_line().await.unwrap();
    let mut words = String::new();
    judge.stderr.take().unwrap().read_to_string(&mut words).await.unwrap();
    assert!(judge.wait().await.unwrap().success(), "{words}");
    let seen: Value = serde_json::from_str(&last.unwrap()).unwrap();
    assert_eq!(seen, json!({"checks": 18, "services": 9}), "{words}");

    // Whatever was answered is counted, over every wire, streamed or not.
    let replied = border.replied();
    let answered: Vec<_> = replied.iter().filter(|relayed| relayed.outcome == GatewayOutcome::Answered).collect();
    let usage = ModelUsage { input_tokens: 11, output_tokens: 7, ..ModelUsage::default() };
    let counts: Vec<_> = answered.iter().map(|relayed| (relayed.usage, relayed.cost_micro_usd)).collect();
    assert_eq!(counts, vec![(usage, Some(18)); 8]);
    let failed: Vec<_> = replied.iter().filter_map(|relayed| failure(&relayed.outcome)).collect();
    assert_eq!(failed.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [Some(429), None], "{failed:?}");
    // No refusal of the gateway's own is asked again by a library.
    let asked = border.host.asked.lock().unwrap().clone();
    let times = |id: &str| asked.iter().filter(|asked| asked.as_str() == id).count();
    assert_eq!((times("judged/poor"), times("judged/idle"), asked.len()), (1, 1, 12));
}

fn failure(outcome: &GatewayOutcome) -> Option<(Option<u16>, String)> {
    match outcome {
        GatewayOutcome::Failed { status, reason } => Some((*status, reason.clone())),
        GatewayOutcome::Answered | GatewayOutcome::CutOff => None,
    }
}

fn messages(stream: bool) -> Value {
    let content = json!([{"type": "text", "text": "Do it."}]);
    json!({"model": "judged/claude", "max_tokens": 10, "stream": stream, "messages": [{"role": "user", "content": content}]})
}

/// A gateway to a model that says this at this pace.
async fn scripted(say: &str, pause_ms: u64) -> Border {
    let line = json!({"say": say, "usage": {"input": 5, "output": 6}});
    let pace = json!({"chunk_chars": 1, "pause_ms": pause_ms});
    let (address, _playing) = play(&json!({"name": "test", "pace": pace, "scripts": [{"replies": [line]}]})).await;
    Border::to(vec![config("claude", ProviderKind::Anthropic, &address)]).await
}

#[tokio::test]
async fn a_stream_is_passed_on_while_it_comes_and_the_turns_end_cuts_it_off() {
    let border = scripted(&"word ".repeat(2_000), 10).await;
    let mut response = border.post("/anthropic/v1/messages", &messages(true)).await;
    let mut seen = String::new();
    while !seen.contains("text_delta") {
        seen.push_str(&String::from_utf8_lossy(&response.chunk().await.unwrap().expect("the stream goes on")));
    }
    // The model needs 100 seconds for all of it.
    assert!(!seen.contains("message_stop") && border.replied().is_empty());
    border.host.turn.cancel();
    let broken = loop {
        match response.chunk().await {
            Ok(Some(_)) => {}
            end => break end.is_err(),
        }
    };
    assert!(broken, "a stream that was cut off does not look whole");
    border.host.told.notified().await;
    assert_eq!(border.replied()[0].outcome, GatewayOutcome::CutOff);
    let late = border.post("/anthropic/v1/messages", &messages(true)).await;
    assert_eq!(late.status(), 403);
}

#[tokio::test]
async fn what_a_program_does_not_wait_for_is_counted_all_the_same() {
    let border = scripted(&"word ".repeat(20), 5).await;
    let mut response = border.post("/anthropic/v1/messages", &messages(true)).await;
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    border.host.told.notified().await;
    let [relayed] = border.replied().try_into().unwrap();
    assert_eq!(
        (relayed.outcome, relayed.usage.total(), relayed.cost_micro_usd),
        (GatewayOutcome::Answered, 11, Some(11))
    );
    assert!(relayed.first_byte > Duration::ZERO && relayed.first_byte <= relayed.whole);
}

#[tokio::test]
async fn a_reply_is_counted_before_a_program_has_read_its_end() {
    let border = scripted("Hi.", 0).await;
    let mut response = border.post("/anthropic/v1/messages", &messages(true)).await;
    let mut seen = String::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        seen.push_str(&String::from_utf8_lossy(&chunk));
        if seen.contains("\"message_stop\"") {
            assert_eq!(border.replied().len(), 1);
            break;
        }
    }
    assert!(seen.contains("message_stop"), "{seen}");
}

/// A service that answers every request with these bytes, and what it was sent.
async fn service(answer: String) -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(Mutex::new(String::new()));
    let noted = sent.clone();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            let mut length = 0;
            // Every request of this test fits, and ends in these words.
            while !String::from_utf8_lossy(&request[..length]).ends_with("\"end\":1}") {
                length += connection.read(&mut request[length..]).await.unwrap();
            }
            *noted.lock().unwrap() = String::from_utf8_lossy(&request[..length]).into_owned();
            connection.write_all(answer.as_bytes()).await.unwrap();
            connection.shutdown().await.unwrap();
        }
    });
    (address, sent)
}

#[tokio::test]
async fn the_key_is_added_outside_and_never_comes_back() {
    let body = json!({"type": "error", "error": {"type": "authentication_error", "message": format!("bad key {KEY}")}});
    for status in ["401 Unauthorized", "400 Bad Request"] {
        let answer = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\nanthropic-organization-id: {KEY}\r\n\r\n{body}"
        );
        let (address, sent) = service(answer).await;
        let border = Border::to(vec![config("claude", ProviderKind::Anthropic, &address)]).await;
        let text = r#"{"z":1,  "model":"judged/claude", "messages":[{"role":"user","content":"a"}],"end":1}"#;
        let request = reqwest::Client::new()
            .post(format!("{}/anthropic/v1/messages", border.url))
            .bearer_auth(border.token.reveal())
            .header("anthropic-beta", "one,two")
            .header("x-api-key", "whatever the program thinks is a key")
            .header("cookie", "a=b");
        let response = request.body(text).send().await.unwrap();
        assert!(response.headers().get("anthropic-organization-id").is_none());
        let (code, answered) = (response.status().as_u16(), response.text().await.unwrap());
        assert!(answered.contains("bad key [key]") && !answered.contains(KEY), "{answered}");
        // A program is not told to look after a key that is not its own.
        assert_eq!(code, if status.starts_with("401") { 403 } else { 400 });
        let sent = sent.lock().unwrap().clone();
        let (head, body) = sent.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(head.contains(&format!("x-api-key: {KEY}")) && head.contains("anthropic-beta: one,two"), "{head}");
        assert!(!head.contains("authorization") && !head.contains("cookie") && !head.contains("whatever"), "{head}");
        assert!(!sent.contains(border.token.reveal()), "the token stays here");
        assert_eq!(body, text.replace("judged/claude", "claude"), "but for the model's name every byte is as it was");
        assert!(border.replied().iter().all(|relayed| !format!("{relayed:?}").contains(KEY)));
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_before_anybody_is_asked() {
    let border = scripted("Hi.", 0).await;
    let client = reqwest::Client::new();
    let url = format!("{}/anthropic/v1/messages", border.url);
    let post = |body: Vec<u8>| client.post(&url).bearer_auth(border.token.reveal()).body(body).send();
    let cases: [(Vec<u8>, u16, &str); 5] = [
        (b"{".to_vec(), 400, "no JSON"),
        (br#"{"model":"judged/claude","model":"other"}"#.to_vec(), 400, "twice"),
        (b"{}".to_vec(), 400, "names no model"),
        (vec![b' '; hangar_agent::gateway::REQUEST_BYTES_MAX + 1], 413, "16 MiB"),
        (br#"{"model":"judged/claude","mcp_servers":[{}]}"#.to_vec(), 403, "mcp_servers"),
    ];
    for (body, status, words) in cases {
        let response = post(body).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{words}");
        let told: Value = response.json().await.unwrap();
        assert_eq!(told["type"], "error", "{told}");
        assert!(told["error"]["message"].as_str().unwrap().contains(words), "{told}");
    }
    let compressed = client.post(&url).bearer_auth(border.token.reveal()).header("content-encoding", "gzip").body("{}");
    assert_eq!(compressed.send().await.unwrap().status(), 400);
    let unknown = client.get(&url).bearer_auth(border.token.reveal()).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert!(border.host.asked.lock().unwrap().is_empty(), "nobody was asked");
}
