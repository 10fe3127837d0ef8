//! One admitted request: sent to the model's service, and its answer passed back while it comes.
//!
//! It is a task of its own, because a program that hangs up does not undo what its request uses up: the answer is read to its end and counted
//! all the same. Only the turn's end cuts it off.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use hangar_protocol::{GatewayOutcome, limits::clip};
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{Instant, timeout},
};

use super::{
    Admission, GatewayHost, Relayed, WHOLE_REPLY_TIME_MAX,
    refused::Refused,
    usage::{Events, Reading, data_of, is_count_alone},
    wire::{PASSED_BACK, PASSED_ON, Wire},
};
use crate::{limits, models::Model, provider::wire::chain};

/// Pieces of an answer that wait for a program that reads slowly. When they are so many, the service waits too.
const PIECES_MAX: usize = 16;
/// How much of a reply that is not streamed, or of one event of a stream, is looked into.
const LOOKED_INTO_BYTES_MAX: usize = 16 * limits::REPLY_BYTES_MAX;
/// How much of a refusal of a service is kept in words.
const REASON_CHARS_MAX: usize = 400;

/// How a program wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// In one piece.
    Whole,
    /// As a stream.
    Stream,
    /// As a stream that does not tell what was used up, which is asked for here and kept back.
    StreamWithoutCount,
}

/// A request that was found good.
pub(super) struct Asked {
    pub(super) wire: Wire,
    pub(super) delivery: Delivery,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Sends a request and answers as soon as the service does; the rest of the answer follows in the body.
pub(super) async fn begin(
    host: Arc<dyn GatewayHost>,
    model: Arc<Model>,
    admission: Admission,
    asked: Asked,
    place: OwnedSemaphorePermit,
) -> Result<Response, Refused> {
    let (head, answered) = oneshot::channel();
    let (began, reading) = (Instant::now(), Reading::new(asked.wire));
    let exchange = Exchange { host, admission, model, began, first_byte: None, reading, told: false };
    tokio::spawn(async move {
        exchange.run(asked, head).await;
        drop(place);
    });
    answered.await.unwrap_or(Err(Refused::CutOff))
}

type Head = oneshot::Sender<Result<Response, Refused>>;

struct Exchange {
    host: Arc<dyn GatewayHost>,
    admission: Admission,
    model: Arc<Model>,
    began: Instant,
    first_byte: Option<Duration>,
    reading: Reading,
    /// What came of it is in the log.
    told: bool,
}

/// What is on its way to the program.
enum Piece {
    Bytes(Bytes),
    /// The answer is whole.
    End,
}

/// Where the pieces of an answer go, as long as somebody reads them.
struct Way(mpsc::Sender<Piece>);

impl Way {
    /// A way, and the body that comes out of it. Pieces that end without [`Piece::End`] break the body off, so that no program takes it for a
    /// whole one, however many of them it has not read yet.
    fn new() -> (Self, Body) {
        let (pieces, waiting) = mpsc::channel(PIECES_MAX);
        let body = stream::unfold(Some(waiting), |waiting| async {
            let mut waiting: mpsc::Receiver<Piece> = waiting?;
            match waiting.recv().await {
                Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(waiting))),
                Some(Piece::End) => None,
                None => Some((Err(io::Error::other("the answer was broken off")), None)),
            }
        });
        (Self(pieces), Body::from_stream(body))
    }

    async fn send(&self, bytes: Bytes) {
        if !bytes.is_empty() {
            // Whoever hung up reads no more; what the answer uses up is counted all the same.
            drop(self.0.send(Piece::Bytes(bytes)).await);
        }
    }

    /// Lets the program see that the answer is whole.
    async fn end(&self) {
        drop(self.0.send(Piece::End).await);
    }
}

/// Why an answer is not read to its end.
enum Halt {
    /// The turn has ended.
    Cut,
    /// The service broke off.
    Failed(String),
}

impl Exchange {
    async fn run(mut self, mut asked: Asked, head: Head) {
        let body = std::mem::take(&mut asked.body);
        let response = match self.unless_ended(self.send(&asked, body)).await {
            Ok(Ok(response)) => response,
            Ok(Err(refused)) => {
                self.tell(GatewayOutcome::Failed { status: None, reason: refused.words() }).await;
                drop(head.send(Err(refused)));
                return;
            }
            Err(_) => {
                self.tell(GatewayOutcome::CutOff).await;
                drop(head.send(Err(Refused::CutOff)));
                return;
            }
        };
        self.first_byte = Some(self.began.elapsed());
        if !response.status().is_success() {
            let (outcome, answer) = self.refused(response, &asked).await;
            self.tell(outcome).await;
            drop(head.send(answer));
            return;
        }
        let (way, body) = Way::new();
        drop(head.send(Ok(answer(&response, body))));
        let relayed = if is_stream(&response) {
            self.relay(response, &asked, &way).await
        } else {
            self.relay_whole(response, &way).await
        };
        match relayed {
            Ok(()) => {
                self.tell(GatewayOutcome::Answered).await;
                // A program that reads no further is not waited for beyond its turn.
                drop(self.unless_ended(way.end()).await);
            }
            Err(Halt::Cut) => self.tell(GatewayOutcome::CutOff).await,
            Err(Halt::Failed(reason)) => self.tell(GatewayOutcome::Failed { status: None, reason }).await,
        }
    }

    /// Does something unless the turn ends meanwhile. What is written into the log is never done under it, so that nothing is told in part.
    async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            () = self.admission.ended.cancelled() => Err(Halt::Cut),
            done = work => Ok(done),
        }
    }

    async fn send(&self, asked: &Asked, body: Vec<u8>) -> Result<reqwest::Response, Refused> {
        let upstream = &self.model.upstream;
        let mut request = upstream.client.post(format!("{}{}", upstream.base_url, asked.wire.path()));
        for name in &PASSED_ON {
            for value in asked.headers.get_all(name) {
                request = request.header(name, value);
            }
        }
        if let Some(key) = &upstream.key {
            request = match asked.wire {
                Wire::Messages => request.header("x-api-key", key.reveal()),
                Wire::Responses | Wire::Chat => request.bearer_auth(key.reveal()),
            };
        }
        let patience = match asked.delivery {
            Delivery::Whole => WHOLE_REPLY_TIME_MAX.max(self.model.timeouts.first_byte),
            Delivery::Stream | Delivery::StreamWithoutCount => self.model.timeouts.first_byte,
        };
        let sent = timeout(patience, request.body(body).send()).await;
        let silent =
            |_| Refused::NoAnswer(format!("The model's service gave no answer within {} s.", patience.as_secs()));
        sent.map_err(silent)?.map_err(|error| {
            Refused::NoAnswer(format!("The model's service cannot be reached: {}.", chain(&error.without_url())))
        })
    }

    /// What a service says that gives no reply. Its status and words are for the program, but for those about hangar's own key.
    async fn refused(&self, response: reqwest::Response, asked: &Asked) -> (GatewayOutcome, Result<Response, Refused>) {
        let status = response.status();
        let head = answer(&response, Body::empty());
        let body = timeout(self.model.timeouts.idle, start_of(response)).await.unwrap_or_default();
        let body = self.without_key(String::from_utf8_lossy(&body).into_owned());
        let reason = clip(body.trim(), REASON_CHARS_MAX);
        let outcome = GatewayOutcome::Failed { status: Some(status.as_u16()), reason: reason.clone() };
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return (outcome, Err(Refused::KeyUnfit(format!("HTTP {}: {reason}", status.as_u16()))));
        }
        if status.is_redirection() {
            return (outcome, Err(Refused::NoAnswer("The model's service sends requests elsewhere.".to_owned())));
        }
        let body = match serde_json::from_str::<Value>(&body) {
            Ok(_) => body,
            // A page of some front before the service; a library expects the wire's own shape.
            Err(_) => asked.wire.error("api_error", "server_error", &reason).to_string(),
        };
        let mut response = head.map(|_| Body::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        (outcome, Ok(response))
    }

    /// A service may quote the key that it refuses.
    fn without_key(&self, words: String) -> String {
        match &self.model.upstream.key {
            Some(key) if !key.reveal().is_empty() => words.replace(key.reveal().as_str(), "[key]"),
            Some(_) | None => words,
        }
    }

    /// Passes a stream back event by event. What it used up is told before its last event is passed on, so that whoever has read it finds it
    /// counted.
    async fn relay(&mut self, response: reqwest::Response, asked: &Asked, way: &Way) -> Result<(), Halt> {
        let mut chunks = response.bytes_stream();
        let mut events = Events::default();
        loop {
            let chunk = match self.next(&mut chunks).await {
                // What goes wrong behind the reply's own end is of no matter.
                Err(Halt::Failed(_)) if self.told => None,
                next => next?,
            };
            let Some(chunk) = chunk else { break };
            for event in events.take(&chunk) {
                let data = data_of(&event);
                self.reading.event(&data);
                if self.reading.is_whole() {
                    self.tell(self.ending()).await;
                }
                if asked.delivery != Delivery::StreamWithoutCount || !is_count_alone(&data) {
                    self.unless_ended(way.send(event.into())).await?;
                }
            }
            if events.waiting() > LOOKED_INTO_BYTES_MAX {
                return Err(Halt::Failed("The model's stream holds an event without an end.".to_owned()));
            }
        }
        // Some services leave out the empty line behind their last event.
        let rest = events.rest();
        self.reading.event(&data_of(&rest));
        self.tell(self.ending()).await;
        self.unless_ended(way.send(rest.into())).await
    }

    /// How a stream that has ended went. One that ends in the middle looks so to the program too: it is passed on as it came.
    fn ending(&self) -> GatewayOutcome {
        let failed = |reason: String| GatewayOutcome::Failed { status: None, reason };
        match (self.reading.error(), self.reading.is_whole()) {
            (Some(words), _) => failed(clip(&self.without_key(words.to_owned()), REASON_CHARS_MAX)),
            (None, true) => GatewayOutcome::Answered,
            (None, false) => failed("The model's stream ended in the middle of its reply.".to_owned()),
        }
    }

    /// Passes back an answer that is no stream. Its end follows once it is counted.
    async fn relay_whole(&mut self, response: reqwest::Response, way: &Way) -> Result<(), Halt> {
        let mut chunks = response.bytes_stream();
        let mut whole = Vec::new();
        while let Some(chunk) = self.next(&mut chunks).await? {
            whole.extend_from_slice(&chunk);
            if whole.len() > LOOKED_INTO_BYTES_MAX {
                return Err(Halt::Failed("The model's reply is larger than hangar takes.".to_owned()));
            }
            self.unless_ended(way.send(chunk)).await?;
        }
        self.reading.reply(&serde_json::from_slice(&whole).unwrap_or_default());
        Ok(())
    }

    /// The next piece of an answer; `None` at its end.
    async fn next(
        &self,
        chunks: &mut (impl Stream<Item = reqwest::Result<Bytes>> + Unpin),
    ) -> Result<Option<Bytes>, Halt> {
        let idle = self.model.timeouts.idle;
        match self.unless_ended(timeout(idle, chunks.next())).await? {
            Ok(None) => Ok(None),
            Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
            Ok(Some(Err(error))) => {
                Err(Halt::Failed(format!("The model's answer broke off: {}.", chain(&error.without_url()))))
            }
            Err(_) => Err(Halt::Failed(format!("The model's answer was silent for {} s.", idle.as_secs()))),
        }
    }

    /// Writes down what came of it, once.
    async fn tell(&mut self, outcome: GatewayOutcome) {
        if self.told {
            return;
        }
        self.told = true;
        let usage = self.reading.usage();
        let cost_micro_usd = self.model.price.cost_micro_usd(usage);
        let whole = self.began.elapsed();
        let first_byte = self.first_byte.unwrap_or(whole);
        let relayed = Relayed { outcome, usage, cost_micro_usd, first_byte, whole };
        self.host.replied(&self.admission, relayed).await;
    }
}

fn is_stream(response: &reqwest::Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

/// The head of an answer, with what may be passed back of the service's.
fn answer(response: &reqwest::Response, body: Body) -> Response {
    let mut answer = Response::new(body);
    *answer.status_mut() = response.status();
    for name in &PASSED_BACK {
        if let Some(value) = response.headers().get(name) {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
    }
    answer.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    answer
}

/// The beginning of an error's body, which is all of it but for pages of HTML.
async fn start_of(response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        body.extend_from_slice(&chunk);
        if body.len() >= limits::REPLY_BYTES_MAX {
            break;
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_without_its_end_looks_broken_also_to_who_has_not_read_it_yet() {
        // As many as wait for a slow program at most.
        let (way, body) = Way::new();
        for _ in 0..PIECES_MAX {
            way.send(Bytes::from_static(b"a")).await;
        }
        drop(way);
        assert!(axum::body::to_bytes(body, usize::MAX).await.is_err());
        let (way, body) = Way::new();
        way.send(Bytes::from_static(b"a")).await;
        way.end().await;
        drop(way);
        assert_eq!(axum::body::to_bytes(body, usize::MAX).await.unwrap(), "a");
    }
}
