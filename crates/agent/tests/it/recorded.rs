//! Streams that real services sent (`tests/recordings`), cut into pieces of any size.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use hangar_agent::{
    Model, ModelConfig,
    conversation::{Message, Part},
    models::ProviderKind,
    provider::{Fault, ModelRequest, Piece, Reply, ReplyBlock, ReplyLength},
};
use hangar_protocol::{ModelUsage, StopReason, frame::TextChannel};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// A service that answers with these streams, one a request.
pub(crate) struct Service {
    pub(crate) base_url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    server: JoinHandle<()>,
}

#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Service {
    /// `chunk` bytes are sent at a time.
    pub(crate) async fn start(answers: Vec<String>, chunk: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let seen = asked.clone();
        let answer = move |headers: HeaderMap, body: String| async move {
            let header = headers.get("authorization").or(headers.get("x-api-key"));
            let authorization = header.map_or("", |value| value.to_str().unwrap()).to_owned();
            let mut seen = seen.lock().unwrap();
            let bytes = Bytes::from(answers[seen.len()].clone());
            seen.push(Asked { authorization, body: serde_json::from_str(&body).unwrap() });
            let pieces: Vec<Bytes> =
                (0..bytes.len()).step_by(chunk).map(|at| bytes.slice(at..bytes.len().min(at + chunk))).collect();
            let pieces = stream::iter(pieces).then(|piece| async {
                tokio::task::yield_now().await;
                Ok::<_, std::io::Error>(piece)
            });
            // A service that refuses does so in JSON.
            let status = if bytes.starts_with(b"{") { StatusCode::BAD_REQUEST } else { StatusCode::OK };
            (status, [("content-type", "text/event-stream")], Body::from_stream(pieces))
        };
        let router = Router::new()
            .route("/v1/messages", post(answer.clone()))
            .route("/chat/completions", post(answer.clone()))
            .route("/responses", post(answer));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base_url, asked, server }
    }

    pub(crate) fn requests(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// What is shown and what the reply is, the same however the stream is cut.
async fn reply_to(recording: &str, kind: ProviderKind) -> (String, Reply) {
    let mut all = Vec::new();
    for chunk in [1, 7, 100_000] {
        let service = Service::start(vec![recording.to_owned()], chunk).await;
        let model = Model::new(ModelConfig::new("recorded", "m", kind, &service.base_url, None)).unwrap();
        let messages = [Message::User(vec![Part::Text("What is the weather?")])];
        let length = ReplyLength::Whole;
        let request = ModelRequest { system: "You are.", tools: &[], messages: &messages, length, cache_key: None };
        let pieces: Vec<Piece> = model.provider.reply(&request).map(|piece| piece.unwrap()).collect().await;
        let mut shown: Vec<(TextChannel, String)> = Vec::new();
        let mut reply = None;
        for piece in pieces {
            match piece {
                Piece::Text { block, channel, text } => {
                    shown.resize_with(shown.len().max(block as usize + 1), || (channel, String::new()));
                    shown[block as usize].1.push_str(&text);
                }
                Piece::Done(whole) => reply = Some(whole),
            }
        }
        all.push((shown.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("|"), reply.unwrap()));
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    all.pop().unwrap()
}

fn call(id: &str, arguments: &str) -> ReplyBlock {
    ReplyBlock::Call { id: id.into(), name: "get_weather".into(), arguments: arguments.into() }
}

fn used(input: u64, output: u64, read: u64) -> ModelUsage {
    ModelUsage { input_tokens: input, output_tokens: output, cache_read_tokens: read, cache_write_tokens: 0 }
}

#[tokio::test]
async fn anthropic_thoughts_are_kept_as_they_came() {
    let recording = include_str!("../recordings/anthropic-redacted-thinking.txt");
    let (shown, reply) = reply_to(recording, ProviderKind::Anthropic).await;
    assert_eq!(shown, "First block.||Third block.");
    let thought = |text: &str, provider: Value| ReplyBlock::Reasoning { text: text.into(), provider };
    let expect = Reply {
        blocks: vec![
            thought("First block.", json!({"type": "thinking", "thinking": "First block.", "signature": "sig-first"})),
            thought("", json!({"type": "redacted_thinking", "data": "redacted-fixture-blob"})),
            thought("Third block.", json!({"type": "thinking", "thinking": "Third block.", "signature": "sig-third"})),
            call("tool_fixture_redacted_001", r#"{"city":"Cairo","country":"Egypt","unit":"C"}"#),
        ],
        usage: used(13, 9, 0),
        stop: Some(StopReason::ToolUse),
    };
    assert_eq!(reply, expect);
}

#[tokio::test]
async fn anthropic_streams_of_several_services() {
    let (shown, reply) = reply_to(include_str!("../recordings/anthropic-cache.txt"), ProviderKind::Anthropic).await;
    let expect = Reply {
        blocks: vec![ReplyBlock::Text("OK.".into())],
        usage: used(9, 5, 4202),
        stop: Some(StopReason::EndTurn),
    };
    assert_eq!((shown.as_str(), reply), ("OK.", expect));

    let (_, reply) = reply_to(include_str!("../recordings/anthropic-minimax.txt"), ProviderKind::Anthropic).await;
    assert_eq!(reply.usage, used(26, 40, 0));
    assert_eq!(reply.blocks[1], ReplyBlock::Text("\n\nHello!".into()));

    let (shown, reply) =
        reply_to(include_str!("../recordings/anthropic-thinking-tool.txt"), ProviderKind::Anthropic).await;
    let [ReplyBlock::Reasoning { text, .. }, ReplyBlock::Text(words), ReplyBlock::Call { id, arguments, .. }] =
        reply.blocks.as_slice()
    else {
        panic!("{reply:?}");
    };
    assert_eq!(shown, format!("{text}|{words}"));
    assert_eq!(
        (id.as_str(), arguments.as_str()),
        ("tool_SXRkSO1yZvULC0bwQRVLGpqZ", r#"{"city":"Cairo","country":"Egypt","unit":"C"}"#)
    );
    assert_eq!(reply.usage, used(0, 175, 227));
}

#[tokio::test]
async fn chat_completions_of_several_services() {
    let (_, reply) = reply_to(include_str!("../recordings/chat-tool.txt"), ProviderKind::OpenAi).await;
    let expect = Reply {
        blocks: vec![call("call_YC2QMIr5bbEvqMl96iKr7oCN", r#"{"city":"Paris","country":"France","unit":"C"}"#)],
        usage: used(0, 0, 0),
        stop: Some(StopReason::ToolUse),
    };
    assert_eq!(reply, expect);

    let (_, reply) = reply_to(include_str!("../recordings/chat-early-finish.txt"), ProviderKind::OpenAi).await;
    let expect = Reply {
        blocks: vec![call("call_yakbak_fixture_0", r#"{"city": "Paris", "country": "France", "unit": "C"}"#)],
        usage: used(163, 11, 0),
        stop: Some(StopReason::ToolUse),
    };
    assert_eq!(reply, expect);

    let (_, reply) = reply_to(include_str!("../recordings/chat-reasoning.txt"), ProviderKind::OpenAi).await;
    let [ReplyBlock::Reasoning { text, .. }, ReplyBlock::Text(words)] = reply.blocks.as_slice() else {
        panic!("{reply:?}")
    };
    assert!(text.starts_with('1') && text.ends_with("Hello"), "{text}");
    assert_eq!((words.as_str(), reply.usage), ("Hello", used(10, 123, 0)));

    let (shown, reply) = reply_to(include_str!("../recordings/chat-usage.txt"), ProviderKind::OpenAi).await;
    assert!(shown.starts_with("Hello"), "{shown}");
    assert_eq!(reply.stop, Some(StopReason::EndTurn));
}

#[tokio::test]
async fn responses_of_openai() {
    let kind = ProviderKind::OpenAiResponses;
    // The thoughts as the service sent them last: their encrypted form changes while it thinks.
    let recording = include_str!("../recordings/responses-reasoning-tool.txt");
    let (shown, reply) = reply_to(recording, kind).await;
    let thought: Value = recording
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<Value>(data).unwrap())
        .find(|event| event["type"] == "response.output_item.done")
        .unwrap()["item"]
        .clone();
    assert!(thought["encrypted_content"].as_str().unwrap().starts_with("gAAAAABpyxPI0nhd"));
    let expect = Reply {
        blocks: vec![
            ReplyBlock::Reasoning { text: String::new(), provider: thought },
            call("call_j1UinAcTy1fjspOBHyCkJxR2", r#"{"city":"Paris","country":"France","unit":"C"}"#),
        ],
        usage: used(106, 45, 0),
        stop: Some(StopReason::ToolUse),
    };
    assert_eq!((shown.as_str(), reply), ("", expect));

    let (shown, reply) = reply_to(include_str!("../recordings/responses-summary.txt"), kind).await;
    let [ReplyBlock::Reasoning { text, provider }, ReplyBlock::Text(words)] = reply.blocks.as_slice() else {
        panic!("{reply:?}")
    };
    assert!(text.starts_with("**Explaining multiplication stepwise**\n\nI'm thinking"), "{text}");
    assert_eq!(provider["summary"][0]["text"], json!(text));
    assert!(words.ends_with("So, \\(47 \\times 23 = 1081\\)."), "{words}");
    assert_eq!((shown, reply.usage), (format!("{text}|{words}"), used(32, 107, 0)));
    assert_eq!(reply.stop, Some(StopReason::EndTurn));

    let (_, reply) = reply_to(include_str!("../recordings/responses-tools.txt"), kind).await;
    let calls: Vec<(&str, &str)> = reply
        .blocks
        .iter()
        .filter_map(|block| match block {
            ReplyBlock::Call { id, name, .. } => Some((id.as_str(), name.as_str())),
            ReplyBlock::Text(_) | ReplyBlock::Reasoning { .. } => None,
        })
        .collect();
    let expect =
        [("call_weather_001", "get_weather"), ("call_time_002", "get_time"), ("call_currency_003", "get_currency")];
    assert_eq!(calls, expect);

    let (_, reply) = reply_to(include_str!("../recordings/responses-no-output.txt"), kind).await;
    assert_eq!(
        reply.blocks,
        [call("call_Y1aseRzSQSAMbKJIpnv6l73i", r#"{"city":"Paris","country":"France","unit":"C"}"#)]
    );
    assert_eq!(reply.usage, used(82, 26, 0));

    // The arguments are whole only in the last event of their item.
    let (_, reply) = reply_to(include_str!("../recordings/responses-arguments-at-the-end.txt"), kind).await;
    assert_eq!(reply.blocks, [call("call_fixture", r#"{"city":"Paris"}"#)]);
}

#[tokio::test]
async fn responses_that_are_cut_off_or_break() {
    let kind = ProviderKind::OpenAiResponses;
    let (_, reply) = reply_to(include_str!("../recordings/responses-incomplete.txt"), kind).await;
    let cut = ReplyBlock::Call {
        id: "call_fixture".into(),
        name: "write_result".into(),
        arguments: r#"{"summary":"The American Rev"#.into(),
    };
    assert_eq!((reply.blocks, reply.stop), (vec![cut], Some(StopReason::MaxTokens)));

    let service = Service::start(vec![include_str!("../recordings/responses-error.txt").to_owned()], 7).await;
    let model = Model::new(ModelConfig::new("recorded", "m", kind, &service.base_url, None)).unwrap();
    let messages = [Message::User(vec![Part::Text("Hi.")])];
    let length = ReplyLength::Whole;
    let request = ModelRequest { system: "You are.", tools: &[], messages: &messages, length, cache_key: None };
    let pieces: Vec<Result<Piece, Fault>> = model.provider.reply(&request).collect().await;
    let told = Piece::Text { block: 0, channel: TextChannel::Text, text: "Partial answer".into() };
    let fault = Fault::passing("the model service broke off: Something went wrong");
    assert_eq!(pieces, [Ok(told), Err(fault)]);
}
