//! The scripted model: plays a transcript over the real wire, an HTTP server that speaks the streams of Anthropic Messages, of chat
//! completions and of OpenAI Responses.
//!
//! It is no model and says so. `hangar up` uses it where no key is configured, and the tests use it for everything: the
//! adapter, the retries and the tools are those of a real model. The next line is chosen from the request alone (how many
//! replies there are since the last prompt), so it survives restarts and serves any number of sessions. Only the faults of
//! a test are counted in memory.

use std::{collections::HashMap, io, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Mutex};

mod chat;
mod history;
mod responses;
mod stream;
mod transcript;

use history::History;
use transcript::{Chosen, Fault};
pub use transcript::{Transcript, TranscriptFault};

/// Largest request taken.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Requests whose faults are counted; beyond it the count starts anew.
const COUNTED_REQUESTS_MAX: usize = 10_000;
/// How a request says on each wire that it holds an image.
const IMAGES: [&str; 3] = ["\"type\":\"image\"", "\"type\":\"image_url\"", "\"type\":\"input_image\""];
/// What is said when a transcript has nothing for a request.
pub const NO_LINE: &str = "The scripted model has no line for this. It plays a prepared transcript and cannot answer \
                           freely: configure a model (ANTHROPIC_API_KEY, OPENAI_API_KEY, or [[models]] in hangar.toml) to work with one.";

struct Player {
    transcript: Transcript,
    /// How often each request came, by its content. Held for a moment, never across an await.
    seen: Mutex<HashMap<String, usize>>,
}

/// Which stream is spoken.
#[derive(Clone, Copy, Debug)]
enum Wire {
    Messages,
    Chat,
    Responses,
}

/// Plays a transcript at `listener` until the future is dropped. Its address is the base URL of
/// [`crate::ModelConfig::scripted`], and with `/v1` behind it that of a model of OpenAI's wires.
///
/// # Errors
/// When the listener fails.
pub async fn serve(transcript: Transcript, listener: TcpListener) -> io::Result<()> {
    let player = Arc::new(Player { transcript, seen: Mutex::default() });
    let router = Router::new()
        .route("/v1/messages", post(messages))
        .route("/v1/chat/completions", post(completions))
        .route("/v1/responses", post(new_response))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(player);
    axum::serve(listener, router).await
}

async fn messages(State(player): State<Arc<Player>>, body: String) -> Response {
    answer(&player, Wire::Messages, &body).await
}

async fn completions(State(player): State<Arc<Player>>, body: String) -> Response {
    answer(&player, Wire::Chat, &body).await
}

async fn new_response(State(player): State<Arc<Player>>, body: String) -> Response {
    answer(&player, Wire::Responses, &body).await
}

async fn answer(player: &Player, wire: Wire, body: &str) -> Response {
    let request: Value = match serde_json::from_str(body) {
        Ok(request) => request,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, "invalid_request_error", &error.to_string(), None),
    };
    let read = match wire {
        Wire::Messages => History::read(&request),
        Wire::Chat => chat::read(&request),
        Wire::Responses => responses::read(&request),
    };
    let history = match read {
        Ok(history) => history,
        Err(words) => return refusal(StatusCode::BAD_REQUEST, "invalid_request_error", &words, None),
    };
    let chosen = player.transcript.choose(&history);
    let fault = match chosen.faults {
        [] => None,
        faults => faults.get(player.attempt(&request).await).copied(),
    };
    match fault {
        Some(Fault::Status { code, retry_after_s }) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let kind = if code == 429 { "rate_limit_error" } else { "api_error" };
            refusal(status, kind, "a fault of the transcript", retry_after_s)
        }
        Some(Fault::TooLong {}) => {
            refusal(StatusCode::BAD_REQUEST, "invalid_request_error", "prompt is too long, says the transcript", None)
        }
        Some(Fault::BadImage {}) if !IMAGES.iter().any(|kind| body.contains(kind)) => {
            stream_of(wire, &chosen, &history, None)
        }
        Some(Fault::BadImage {}) => refusal(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "could not process an image, says the transcript",
            None,
        ),
        Some(Fault::NoAnswer {}) => std::future::pending().await,
        Some(
            fault @ (Fault::Drop { .. } | Fault::Malformed { .. } | Fault::Silence { .. } | Fault::Overloaded { .. }),
        ) => stream_of(wire, &chosen, &history, Some(fault)),
        None => stream_of(wire, &chosen, &history, None),
    }
}

impl Player {
    /// Which attempt at this very request this is, from 0.
    async fn attempt(&self, request: &Value) -> usize {
        let mut seen = self.seen.lock().await;
        if seen.len() >= COUNTED_REQUESTS_MAX {
            seen.clear();
        }
        let said = format!("{}{}", request["messages"], request["input"]);
        let count = seen.entry(said).or_default();
        *count += 1;
        *count - 1
    }
}

fn stream_of(wire: Wire, chosen: &Chosen<'_>, history: &History, fault: Option<Fault>) -> Response {
    let stream = stream::play(wire, chosen, history, fault);
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")], Body::from_stream(stream))
        .into_response()
}

fn refusal(status: StatusCode, kind: &str, words: &str, retry_after_s: Option<f64>) -> Response {
    let body = json!({"type": "error", "error": {"type": kind, "message": words}}).to_string();
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Some(value) = retry_after_s.and_then(|seconds| seconds.to_string().parse().ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}
