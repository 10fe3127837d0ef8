//! A model that answers at once and notes when it was asked. It speaks the Anthropic Messages stream.

use std::{io, net::SocketAddr, time::Instant};

use axum::{Router, body::Bytes, extract::State, http::header, response::IntoResponse, routing::post};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::task::AbortOnDropHandle;

/// Requests noted and not yet taken. When it is full, the model waits before it answers.
const NOTED_MAX: usize = 64;

/// A request as it came in.
pub(super) struct Asked {
    /// When its head had been read.
    pub(super) at: Instant,
    /// Its body.
    pub(super) body: Bytes,
}

/// The stub; dropping it ends it.
pub(super) struct StubModel {
    pub(super) address: SocketAddr,
    pub(super) asked: mpsc::Receiver<Asked>,
    _serving: AbortOnDropHandle<()>,
}

/// Begins to listen on a free port of loopback.
pub(super) async fn start() -> io::Result<StubModel> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let (noted, asked) = mpsc::channel(NOTED_MAX);
    let router = Router::new().route("/v1/messages", post(answer)).with_state(noted);
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the stub model ended");
        }
    });
    Ok(StubModel { address, asked, _serving: AbortOnDropHandle::new(serving) })
}

/// Takes the head's time before the body is read: extractors run in order, and the state comes first.
async fn answer(Noted { at, noted }: Noted, body: Bytes) -> impl IntoResponse {
    let wants_tool = !body.windows(TOOL_RESULT.len()).any(|window| window == TOOL_RESULT)
        && body.windows(LIST_WISH.len()).any(|window| window == LIST_WISH);
    drop(noted.send(Asked { at, body }).await);
    ([(header::CONTENT_TYPE, "text/event-stream")], if wants_tool { list_call() } else { closing_words() })
}

const TOOL_RESULT: &[u8] = b"\"tool_result\"";
/// A prompt with these words is answered with a call of the list tool.
pub(super) const LIST_WISH: &[u8] = b"list the files";

struct Noted {
    at: Instant,
    noted: mpsc::Sender<Asked>,
}

impl axum::extract::FromRequestParts<mpsc::Sender<Asked>> for Noted {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        noted: &mpsc::Sender<Asked>,
    ) -> Result<Self, Self::Rejection> {
        let at = Instant::now();
        let State(noted) = State::from_request_parts(parts, noted).await?;
        Ok(Self { at, noted })
    }
}

fn closing_words() -> String {
    stream(r#"{"type":"text","text":""}"#, r#"{"type":"text_delta","text":"Done."}"#, "end_turn")
}

fn list_call() -> String {
    stream(
        r#"{"type":"tool_use","id":"call_1","name":"list","input":{}}"#,
        r#"{"type":"input_json_delta","partial_json":"{\"path\":\".\"}"}"#,
        "tool_use",
    )
}

/// The events of a reply with one block.
fn stream(block: &str, delta: &str, stop: &str) -> String {
    let events = [
        ("message_start", r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"stub","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#.to_owned()),
        ("content_block_start", format!(r#"{{"type":"content_block_start","index":0,"content_block":{block}}}"#)),
        ("content_block_delta", format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#)),
        ("content_block_stop", r#"{"type":"content_block_stop","index":0}"#.to_owned()),
        ("message_delta", format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{stop}","stop_sequence":null}},"usage":{{"output_tokens":2}}}}"#)),
        ("message_stop", r#"{"type":"message_stop"}"#.to_owned()),
    ];
    events.iter().map(|(name, data)| format!("event: {name}\ndata: {data}\n\n")).collect()
}
