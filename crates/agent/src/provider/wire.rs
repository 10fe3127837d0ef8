//! What all wires share: a POST that is answered by Server-Sent Events, with time-outs and faults told apart.

use std::{error::Error, net::IpAddr, pin::Pin, time::Duration};

use bytes::Bytes;
use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, header::RETRY_AFTER, redirect::Policy};
use sse_stream::{Sse, SseByteStream};
use tokio::{sync::mpsc, time::timeout};

use super::{Fault, FaultKind, Piece, Timeouts};
use crate::{
    limits,
    models::{ModelConfig, Secret},
};

/// How much of an error's body is read and told.
const ERROR_BYTES_MAX: usize = 4 * 1024;
pub(super) const ERROR_CHARS_MAX: usize = 400;
/// Anthropic's "overloaded", which is no registered status.
const OVERLOADED: u16 = 529;

/// A client for one service. It follows no redirect: the key must not travel to another host. Proxies of the environment
/// (`HTTPS_PROXY`, `NO_PROXY`) are used, but never for a service on this machine.
pub(crate) fn client(config: &ModelConfig) -> Result<Client, String> {
    let url = Url::parse(&config.base_url).map_err(|error| format!("its base URL is not one: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let local = host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    let builder = if local { Client::builder().no_proxy() } else { Client::builder() };
    builder
        .connect_timeout(config.timeouts.connect)
        .redirect(Policy::none())
        .tcp_nodelay(true)
        .user_agent(concat!("hangar/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| chain(&error))
}

/// The events of an answer.
pub(super) struct Events {
    stream: Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>,
    idle: Duration,
    bytes: usize,
}

/// The key of a service: hidden from every fault, and what to do when it is refused.
#[derive(Clone)]
pub(super) struct Credential {
    pub(super) key: Option<Secret<String>>,
    pub(super) hint: String,
}

impl Credential {
    /// That of a service which speaks one of OpenAI's wires.
    pub(super) fn openai(config: &ModelConfig) -> Self {
        let hint = match &config.key {
            Some(_) => format!("Set a valid key for {} (OPENAI_API_KEY, or key in hangar.toml).", config.provider),
            None => "No key is configured: set OPENAI_API_KEY, or key in hangar.toml.".to_owned(),
        };
        Self { key: config.key.clone(), hint }
    }

    /// A service may quote the key that it refuses.
    fn redact(&self, words: String) -> String {
        match &self.key {
            Some(key) if !key.reveal().is_empty() => words.replace(key.reveal().as_str(), "[key]"),
            Some(_) | None => words,
        }
    }
}

/// Sends a request and waits for the head of its answer.
pub(super) async fn open(
    request: RequestBuilder,
    timeouts: Timeouts,
    credential: &Credential,
) -> Result<Events, Fault> {
    let sent = timeout(timeouts.first_byte, request.send()).await;
    let response = sent
        .map_err(|_| Fault::passing(format!("no answer within {} s", timeouts.first_byte.as_secs_f32())))?
        .map_err(|error| {
            Fault::passing(format!("the model service cannot be reached: {}", chain(&error.without_url())))
        })?;
    if !response.status().is_success() {
        return Err(refused(response, timeouts.idle, credential).await);
    }
    // Some services leave out the empty line behind their last event, without which it does not count.
    let end = stream::once(async { Ok(Bytes::from_static(b"\n\n")) });
    Ok(Events {
        stream: Box::pin(SseByteStream::new(response.bytes_stream().chain(end))),
        idle: timeouts.idle,
        bytes: 0,
    })
}

impl Events {
    /// The next event's data; `None` when the stream has ended.
    pub(super) async fn next(&mut self) -> Result<Option<String>, Fault> {
        loop {
            let next = timeout(self.idle, self.stream.next()).await;
            let next =
                next.map_err(|_| Fault::passing(format!("the stream was silent for {} s", self.idle.as_secs_f32())))?;
            match next {
                None => return Ok(None),
                Some(Err(error)) => return Err(Fault::passing(format!("the stream broke off: {}", chain(&error)))),
                Some(Ok(Sse { data: None, .. })) => {}
                Some(Ok(Sse { data: Some(data), .. })) => {
                    self.bytes += data.len();
                    // Events weigh about thirty times the text they carry, one or two characters each.
                    if self.bytes > 64 * limits::REPLY_BYTES_MAX {
                        return Err(Fault::lasting("the reply is larger than hangar takes"));
                    }
                    return Ok(Some(data));
                }
            }
        }
    }
}

async fn refused(response: Response, patience: Duration, credential: &Credential) -> Fault {
    let status = response.status();
    let retry_after = retry_after(&response);
    let body = timeout(patience, error_body(response)).await.unwrap_or_default();
    let said = credential.redact(error_message(&body));
    let retry_after = retry_after.or_else(|| wait_told_in(&said));
    let reason = format!("HTTP {}{}{said}", status.as_u16(), if said.is_empty() { "" } else { ": " });
    if error_codes(&body).iter().any(|code| is_lasting(code)) && status == StatusCode::TOO_MANY_REQUESTS {
        return Fault::lasting(format!("the model service will not answer before somebody acts there ({reason})"));
    }
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Fault::lasting(format!("the model service refused the key ({reason}). {}", credential.hint))
        }
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE
            if error_codes(&body).iter().map(String::as_str).chain([said.as_str()]).any(is_too_long) =>
        {
            Fault::too_long(reason)
        }
        StatusCode::NOT_FOUND => Fault::lasting(format!(
            "the model service does not know this model or path ({reason}). Check the model's name and base URL."
        )),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => {
            Fault { kind: FaultKind::Passing { retry_after }, reason }
        }
        status if status.is_server_error() || status.as_u16() == OVERLOADED => {
            Fault { kind: FaultKind::Passing { retry_after }, reason }
        }
        _ => Fault::lasting(format!("the model service refused the request ({reason})")),
    }
}

/// How long the service asks to wait: `retry-after-ms`, which OpenAI sends, or `Retry-After` in seconds, which every model service
/// does. The form with a date is not used by any.
fn retry_after(response: &Response) -> Option<Duration> {
    let number = |name: &str| response.headers().get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number(RETRY_AFTER.as_str()))?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// How long OpenAI asks to wait where it says so in words only: "Please try again in 1m2.5s." or "in 28ms".
pub(super) fn wait_told_in(words: &str) -> Option<Duration> {
    const ASKED: &str = "try again in ";
    let mut rest = &words[words.find(ASKED)? + ASKED.len()..];
    let mut seconds = None;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let Ok(number) = rest[..digits].trim_end_matches('.').parse::<f64>() else { break };
        rest = &rest[digits..];
        let unit = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let Some((name, worth)) = unit.into_iter().find(|(name, _)| rest.starts_with(name)) else { break };
        rest = &rest[name.len()..];
        seconds = Some(seconds.unwrap_or(0.0) + number * worth);
    }
    Duration::try_from_secs_f64(seconds?).ok()
}

/// Whether an error of this code, as OpenAI names them, comes again however often it is asked.
pub(super) fn is_lasting(code: &str) -> bool {
    const LASTING: [&str; 6] = [
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "invalid_api_key",
        "invalid_prompt",
        "invalid_request_error",
    ];
    LASTING.contains(&code) || code.starts_with("invalid_image") || code.ends_with("_image")
}

async fn error_body(response: Response) -> Bytes {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        body.extend_from_slice(&chunk);
        if body.len() >= ERROR_BYTES_MAX {
            break;
        }
    }
    body.into()
}

/// The words of an error body: `error.message` as both wires have it, else the beginning of whatever came.
fn error_message(body: &[u8]) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let words = parsed.as_ref().and_then(|value| {
        let error = value.get("error")?;
        error.get("message").unwrap_or(error).as_str().map(str::to_owned)
    });
    let words = words.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    hangar_protocol::limits::clip(words.trim(), ERROR_CHARS_MAX)
}

/// Whether an error's code or words say that the request has more tokens than the model can read. Each service says it in its own.
pub(super) fn is_too_long(told: &str) -> bool {
    const SAID: [&str; 9] = [
        // OpenAI's code, Anthropic's type for what is too large altogether, and llama.cpp's.
        "context_length_exceeded",
        "request_too_large",
        "exceed_context_size",
        // Anthropic's words, then those of OpenAI and vLLM, of OpenAI Responses, of llama.cpp, and of others.
        "prompt is too long",
        "exceed context limit",
        "maximum context length",
        "exceeds the context window",
        "exceeds the available context size",
        "reduce the length of the messages",
    ];
    let told = told.to_ascii_lowercase();
    SAID.iter().any(|said| told.contains(said))
}

/// What an error body calls the error.
fn error_codes(body: &[u8]) -> Vec<String> {
    let parsed: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &parsed["error"];
    [&error["code"], &error["type"]].into_iter().filter_map(|code| code.as_str().map(str::to_owned)).collect()
}

/// An error with its causes: reqwest says "error sending request" and keeps "connection refused" behind it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_words = inner.to_string();
        if !words.contains(&inner_words) {
            words.push_str(": ");
            words.push_str(&inner_words);
        }
        cause = inner.source();
    }
    hangar_protocol::limits::clip(&words, ERROR_CHARS_MAX)
}

/// Pieces on their way to the turn. Bounded: when the turn is slower than the service, the service waits.
const PIECES_AHEAD: usize = 64;

/// The sending end of a stream of pieces.
pub(super) struct Pieces(mpsc::Sender<Result<Piece, Fault>>);

impl Pieces {
    pub(super) async fn send(&self, piece: Piece) {
        // The receiver lives as long as the stream that polls this future: sending cannot fail.
        let _ = self.0.send(Ok(piece)).await;
    }
}

/// A stream of what `read` sends, and of the fault with which it ends, if it does. No task: all is done while the stream is
/// polled, and dropping it drops the request.
pub(super) fn pieces<R, F>(read: R) -> BoxStream<'static, Result<Piece, Fault>>
where
    R: FnOnce(Pieces) -> F,
    F: Future<Output = Result<(), Fault>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let state = (Some(Box::pin(read(Pieces(sender)))), None, receiver);
    let next = |(mut reading, mut fault, mut receiver): (Option<Pin<Box<F>>>, Option<Fault>, mpsc::Receiver<_>)| async {
        // What was sent comes first, then the fault, then the end.
        while let Some(future) = &mut reading {
            tokio::select! {
                biased;
                piece = receiver.recv() => return Some((piece?, (reading, fault, receiver))),
                read = future => {
                    fault = read.err();
                    reading = None;
                }
            }
        }
        let last = match receiver.recv().await {
            Some(piece) => piece,
            None => Err(fault.take()?),
        };
        Some((last, (reading, fault, receiver)))
    };
    stream::unfold(state, next).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_from_words() {
        let check = |words: &str, ms: Option<u64>| {
            assert_eq!(wait_told_in(words), ms.map(Duration::from_millis), "{words}");
        };
        check("Limit 30000, Used 29000. Please try again in 11.054s. Visit …", Some(11_054));
        check("Please try again in 28ms.", Some(28));
        check("Please try again in 1m2.5s.", Some(62_500));
        check("Please try again in 2h0m1s", Some(7_201_000));
        check("Please try again in a moment.", None);
        check("Overloaded", None);
    }
}
