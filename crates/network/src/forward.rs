//! Requests on their way from a sandbox to one server. A message is read whole, judged, and written anew: what arrives outside is
//! hangar's own words, so nothing can hide between two messages.
//!
//! One connection inside has one connection outside at a time, with the same protocol; it is made again when the server has
//! closed it. Answers, redirects among them, go back to the client: nothing is followed here, so no credential goes anywhere
//! the client did not ask for by name.

use std::{convert::Infallible, sync::Arc};

use hyper::{
    Method, Request, Response, StatusCode, Version,
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
    header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue},
    http::uri::Scheme,
    rt::{Read, Write},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{sync::Mutex, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    denials::DenialReason,
    host::{HostName, Target},
    injection::{Misplaced, has_placeholder, inject},
    inner::{AnyBody, any_body},
    limits::{ANSWER_TIME_MAX, HEAD_BYTES_MAX, HEADERS_MAX, STREAMS_MAX, WINDOW_BYTES},
    mask::Masks,
    masked::MaskedBody,
    outside::H2,
    policy::{HTTP_PORT, HTTPS_PORT, Policy, Verdict},
    requests::{ask_for_plain_answer, is_websocket, prepare, strip_answer, vet},
    serve_http::{Tracked, Wire},
    traffic::Crossing,
    upgrade,
    words::Words,
};

/// Passes the requests of one connection on.
pub(crate) struct Forward {
    crossing: Arc<Crossing>,
    way: Way,
    /// The connection outside. HTTP/1.1 carries one request at a time, so the lock is held until an answer begins; HTTP/2's is
    /// cloned out of it.
    sender: Mutex<Option<Sender>>,
    executor: Tracked,
    /// Ends the connection outside with this one.
    _end: DropGuard,
}

/// How the server is reached.
pub(crate) enum Way {
    /// Without TLS.
    Plain,
    /// With TLS, under this name, with this protocol.
    Tls(HostName, Wire),
}

enum Sender {
    One(http1::SendRequest<Incoming>),
    Two(http2::SendRequest<Incoming>),
}

impl Way {
    fn scheme(&self) -> Scheme {
        match self {
            Self::Plain => Scheme::HTTP,
            Self::Tls(..) => Scheme::HTTPS,
        }
    }

    fn default_port(&self) -> u16 {
        match self {
            Self::Plain => HTTP_PORT,
            Self::Tls(..) => HTTPS_PORT,
        }
    }
}

impl Forward {
    pub(crate) fn new(crossing: Arc<Crossing>, way: Way) -> Self {
        let end = CancellationToken::new();
        let executor = Tracked::new(&crossing.shared, end.clone());
        Self { crossing, way, sender: Mutex::new(None), executor, _end: end.drop_guard() }
    }

    /// Uses a connection that has been made already.
    pub(crate) async fn over<IO>(&self, io: IO, wire: Wire) -> Result<(), Words>
    where
        IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let sender = self.open(TokioIo::new(io), wire).await?;
        *self.sender.lock().await = Some(sender);
        Ok(())
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Result<Response<AnyBody>, Infallible> {
        Ok(match self.forward(request).await {
            Ok(response) => response,
            Err(words) => words.response(),
        })
    }

    async fn forward(&self, request: Request<Incoming>) -> Result<Response<AnyBody>, Words> {
        let crossing = &self.crossing;
        let (target, port) = (&crossing.target, crossing.port);
        let policy = crossing.policy();
        if crossing.verdict() == Verdict::Denied {
            return Err(crossing.refuse(DenialReason::NotAllowed));
        }
        let (mut head, body) = request.into_parts();
        vet(&head, target, port, self.way.default_port()).map_err(|reason| crossing.refuse(reason))?;
        let websocket = is_websocket(&head);
        prepare(&mut head, target, port, &self.way.scheme(), self.way.default_port(), websocket);
        let masks = self.add_credentials(&policy, &mut head.uri, &mut head.headers)?;
        let head_only = head.method == Method::HEAD;
        let mut request = Request::from_parts(head, body);
        let inside = websocket.then(|| hyper::upgrade::on(&mut request));
        let sending = timeout(ANSWER_TIME_MAX, self.send(request));
        let mut response = match sending.await {
            Ok(response) => response?,
            Err(_) => return Err(Words::no_answer(target, port, "it did not answer in time.")),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some(inside) = inside else {
                return Err(Words::no_answer(target, port, "it switched protocols without being asked."));
            };
            let outside = hyper::upgrade::on(&mut response);
            let head = upgrade::answer(&response, masks.as_ref());
            upgrade::spawn(Arc::clone(crossing), inside, outside, masks.map(Masks::of_equal_length));
            return Ok(head);
        }
        self.finish(response, masks, head_only)
    }

    /// Puts the credentials in; gives what must be masked in the answer.
    fn add_credentials(
        &self,
        policy: &Policy,
        uri: &mut hyper::Uri,
        headers: &mut HeaderMap,
    ) -> Result<Option<Masks>, Words> {
        let crossing = &self.crossing;
        let (Way::Tls(..), Target::Name(name)) = (&self.way, &crossing.target) else {
            if has_placeholder(uri, headers) {
                return Err(crossing.refuse(DenialReason::PlaceholderWithoutTls));
            }
            return Ok(None);
        };
        let injected = inject(policy, name, crossing.port, uri, headers).map_err(|misplaced| {
            crossing.refuse(match misplaced {
                Misplaced::Elsewhere => DenialReason::PlaceholderElsewhere,
                Misplaced::Place => DenialReason::PlaceholderPlace,
            })
        })?;
        let masks = Masks::of(policy.injections_for(name, crossing.port));
        if masks.is_some() {
            ask_for_plain_answer(headers, injected);
        }
        Ok(masks)
    }

    /// Sends a request; once more on a new connection if the server closed this one before it was sent.
    async fn send(&self, request: Request<Incoming>) -> Result<Response<Incoming>, Words> {
        let mut waiting = self.sender.lock().await;
        let mut request = request;
        for _ in 0..2 {
            let mut sender = match waiting.take() {
                Some(sender) if !sender.is_closed() => sender,
                Some(_) | None => self.connect().await?,
            };
            let sent = match &mut sender {
                Sender::One(one) => match one.ready().await {
                    Ok(()) => one.try_send_request(request).await,
                    Err(error) => {
                        tracing::debug!(%error, "a server closed its connection");
                        continue;
                    }
                },
                Sender::Two(two) => {
                    let mut own = two.clone();
                    *waiting = Some(sender);
                    drop(waiting);
                    let answer = match own.ready().await {
                        Ok(()) => own.try_send_request(request).await,
                        Err(error) => return Err(self.broke(&error)),
                    };
                    return answer.map_err(|error| self.broke(error.error()));
                }
            };
            match sent {
                Ok(response) => {
                    *waiting = Some(sender);
                    return Ok(response);
                }
                Err(mut error) => match TrySendError::take_message(&mut error) {
                    Some(unsent) => request = unsent,
                    None => return Err(self.broke(error.error())),
                },
            }
        }
        Err(Words::no_answer(&self.crossing.target, self.crossing.port, "it closes its connections at once."))
    }

    fn broke(&self, error: &hyper::Error) -> Words {
        tracing::debug!(target = %self.crossing.target, %error, "a server did not answer");
        let why = format!("it did not answer as an HTTP server does ({error}).");
        Words::no_answer(&self.crossing.target, self.crossing.port, &why)
    }

    async fn connect(&self) -> Result<Sender, Words> {
        let stream = self.crossing.dial().await?;
        match &self.way {
            Way::Plain => self.open(TokioIo::new(stream), Wire::One).await,
            Way::Tls(name, wire) => {
                let offered = wire.protocol().to_vec();
                let secured = self.crossing.shared.outside.secure(stream, name, &[offered]).await;
                let secured = secured.map_err(|error| self.crossing.failed(&error))?;
                let chosen = if secured.get_ref().1.alpn_protocol() == Some(H2) { Wire::Two } else { Wire::One };
                if chosen != *wire {
                    return Err(Words::no_answer(
                        &self.crossing.target,
                        self.crossing.port,
                        "it changed its protocol.",
                    ));
                }
                self.open(TokioIo::new(secured), *wire).await
            }
        }
    }

    async fn open<IO>(&self, io: IO, wire: Wire) -> Result<Sender, Words>
    where
        IO: Read + Write + Unpin + Send + 'static,
    {
        match wire {
            Wire::One => {
                let mut builder = http1::Builder::new();
                builder.max_buf_size(HEAD_BYTES_MAX).max_header_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
                let (sender, connection) = builder.handshake(io).await.map_err(|error| self.broke(&error))?;
                self.executor.spawn(connection.with_upgrades());
                Ok(Sender::One(sender))
            }
            Wire::Two => {
                let mut builder = http2::Builder::new(self.executor.clone());
                builder
                    .timer(TokioTimer::new())
                    .initial_stream_window_size(WINDOW_BYTES)
                    .initial_connection_window_size(WINDOW_BYTES)
                    .max_header_list_size(HEAD_BYTES_MAX as u32)
                    .max_concurrent_streams(STREAMS_MAX);
                let (sender, connection) = builder.handshake(io).await.map_err(|error| self.broke(&error))?;
                self.executor.spawn(connection);
                Ok(Sender::Two(sender))
            }
        }
    }

    /// The server's answer, with its credentials masked.
    fn finish(
        &self,
        response: Response<Incoming>,
        masks: Option<Masks>,
        head_only: bool,
    ) -> Result<Response<AnyBody>, Words> {
        let (mut head, body) = response.into_parts();
        strip_answer(&mut head.headers);
        head.version = Version::HTTP_11;
        let Some(masks) = masks else { return Ok(Response::from_parts(head, any_body(body))) };
        mask_headers(&mut head.headers, &masks);
        let empty = head_only || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if empty {
            return Ok(Response::from_parts(head, any_body(body)));
        }
        if head.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding.as_bytes() != b"identity") {
            let why = "it answered compressed although that was not asked for, so its answer cannot be searched for credentials.";
            return Err(Words::no_answer(&self.crossing.target, self.crossing.port, why));
        }
        // What is masked may be longer or shorter.
        head.headers.remove(CONTENT_LENGTH);
        Ok(Response::from_parts(head, any_body(MaskedBody::new(body, masks))))
    }
}

/// Masks the values of headers.
pub(crate) fn mask_headers(headers: &mut HeaderMap, masks: &Masks) {
    for value in headers.values_mut() {
        let masked: Option<HeaderValue> = masks.header(value);
        if let Some(masked) = masked {
            *value = masked;
        }
    }
}

impl Sender {
    fn is_closed(&self) -> bool {
        match self {
            Self::One(one) => one.is_closed(),
            Self::Two(two) => two.is_closed(),
        }
    }
}
