//! The server side towards the sandbox: HTTP/1.1 and HTTP/2, with limits.

use std::{convert::Infallible, future::Future, sync::Arc};

use hyper::{
    Request, Response,
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    forward::{Forward, Way},
    host::Target,
    inner::AnyBody,
    limits::{HEAD_BYTES_MAX, HEAD_TIME_MAX, HEADERS_MAX, STREAMS_MAX, WINDOW_BYTES},
    outside::{H2, HTTP_1},
    policy::is_inner,
    traffic::{Crossing, Shared},
};

/// Which HTTP is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
}

impl Wire {
    /// Its name in TLS's list of protocols.
    pub(crate) fn protocol(self) -> &'static [u8] {
        match self {
            Self::One => HTTP_1,
            Self::Two => H2,
        }
    }
}

/// Runs the parts of a connection as tasks that end with it and with the sandbox.
#[derive(Clone)]
pub(crate) struct Tracked {
    tasks: TaskTracker,
    closing: CancellationToken,
    end: CancellationToken,
}

impl Tracked {
    pub(crate) fn new(shared: &Shared, end: CancellationToken) -> Self {
        Self { tasks: shared.tasks.clone(), closing: shared.closing.clone(), end }
    }

    pub(crate) fn spawn<F>(&self, part: F)
    where
        F: Future + Send + 'static,
    {
        let (closing, end) = (self.closing.clone(), self.end.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                _ = part => {}
                () = closing.cancelled() => {}
                () = end.cancelled() => {}
            }
        });
    }
}

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
{
    fn execute(&self, part: F) {
        self.spawn(part);
    }
}

/// A connection at port 80.
pub(crate) async fn plain(stream: TcpStream, crossing: Arc<Crossing>) {
    let loopback = matches!(crossing.target, Target::Address(address) if address.is_loopback());
    if loopback || is_inner(&crossing.target) {
        return inner(stream, &crossing, Wire::One).await;
    }
    let forward = Arc::new(Forward::new(Arc::clone(&crossing), Way::Plain));
    // A denied target is not ended here: its requests are answered with the reason.
    let serving = requests(stream, Wire::One, &crossing, move |request| {
        let forward = Arc::clone(&forward);
        async move { forward.answer(request).await }
    });
    tokio::select! {
        () = serving => {}
        () = crossing.allowed_and_revoked() => {}
    }
}

/// A connection to hangar itself.
pub(crate) async fn inner<IO>(stream: IO, crossing: &Arc<Crossing>, wire: Wire)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = crossing.shared.inner.clone();
    requests(stream, wire, crossing, move |request| {
        let service = service.clone();
        async move { Ok(service.answer(request).await) }
    })
    .await;
}

/// Serves requests until the client ends the connection, is too slow, or the sandbox ends.
pub(crate) async fn requests<IO, S, F>(stream: IO, wire: Wire, crossing: &Crossing, answer: S)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Result<Response<AnyBody>, Infallible>> + Send + 'static,
{
    let end = CancellationToken::new();
    let executor = Tracked::new(&crossing.shared, end.clone());
    let _end = end.drop_guard();
    let served = async {
        match wire {
            Wire::One => {
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIME_MAX)
                    .max_buf_size(HEAD_BYTES_MAX)
                    .max_header_size(HEAD_BYTES_MAX)
                    .max_headers(HEADERS_MAX)
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .with_upgrades()
                    .await
            }
            Wire::Two => {
                http2::Builder::new(executor)
                    .timer(TokioTimer::new())
                    .keep_alive_interval(HEAD_TIME_MAX)
                    .initial_stream_window_size(WINDOW_BYTES)
                    .initial_connection_window_size(WINDOW_BYTES)
                    .max_concurrent_streams(STREAMS_MAX)
                    .max_header_list_size(HEAD_BYTES_MAX as u32)
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .await
            }
        }
    };
    tokio::select! {
        done = served => if let Err(error) = done {
            tracing::debug!(target = %crossing.target, %error, "a sandbox's connection ended early");
        },
        () = crossing.shared.closing.cancelled() => {}
    }
}
