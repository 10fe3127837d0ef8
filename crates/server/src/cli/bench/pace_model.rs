//! A model that streams at a set pace. It speaks the Anthropic Messages stream.
//!
//! A prompt `bench-pace COUNT MICROSECONDS` is answered with so many deltas, one each so many microseconds. Each delta is the time at which it
//! was sent, [`DELTA_BYTES`] long: whoever reads it knows how long it was on its way.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::header,
    response::IntoResponse,
    routing::post,
};
use futures::{Stream, StreamExt as _, stream};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::sockets::now_us;

/// The length of a delta's text: about four tokens.
pub(super) const DELTA_BYTES: usize = 18;
/// What its prompts begin with: found nowhere else in a request, whatever tools and instructions say.
const WORD: &str = "bench-pace ";

/// The model; dropping it ends it.
pub(super) struct PaceModel {
    pub(super) address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

/// Begins to listen on a free port of loopback.
pub(super) async fn start() -> io::Result<PaceModel> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/v1/messages", post(answer));
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the model of the benchmark ended");
        }
    });
    Ok(PaceModel { address, _serving: AbortOnDropHandle::new(serving) })
}

/// The words that ask it for so many deltas.
pub(super) fn wish(deltas: u32, every: Duration) -> String {
    format!("{WORD}{deltas} {} please", every.as_micros())
}

async fn answer(body: Bytes) -> impl IntoResponse {
    let text = String::from_utf8_lossy(&body);
    let numbers = text.rfind(WORD).map(|at| text[at + WORD.len()..].split(' ').take(2).filter_map(|n| n.parse().ok()));
    let numbers: Vec<u64> = numbers.map(Iterator::collect).unwrap_or_default();
    let (deltas, every_us) = match numbers[..] {
        [deltas, every_us] => (deltas, every_us),
        _ => (1, 0),
    };
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(reply(deltas, Duration::from_micros(every_us))))
}

fn reply(deltas: u64, every: Duration) -> impl Stream<Item = Result<String, Infallible>> {
    let began = Instant::now();
    let body = stream::unfold(0, move |number| async move {
        sleep_until(began + every * number).await;
        let delta = format!("{:017} ", now_us());
        let delta =
            format!(r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{delta}"}}}}"#);
        Some((event("content_block_delta", &delta), number + 1))
    });
    let body = body.take(usize::try_from(deltas).unwrap_or(usize::MAX));
    stream::iter([head()]).chain(body).chain(stream::iter([tail()])).map(Ok)
}

fn head() -> String {
    event(
        "message_start",
        r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"stub","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#,
    ) + &event(
        "content_block_start",
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    )
}

fn tail() -> String {
    event("content_block_stop", r#"{"type":"content_block_stop","index":0}"#)
        + &event(
            "message_delta",
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}"#,
        )
        + &event("message_stop", r#"{"type":"message_stop"}"#)
}

fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}
