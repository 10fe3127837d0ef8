//! What the servers of the world answer.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Request, WebSocketUpgrade, ws::Message},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{any, get, post},
};
use futures::{StreamExt, stream};

/// The usual routes.
pub(crate) fn usual() -> Router {
    Router::new()
        .route("/", any(async || "the world\n"))
        .route("/echo", any(echo))
        .route(
            "/redirect/{host}",
            get(async |Path(host): Path<String>| Redirect::temporary(&format!("https://{host}/landing"))),
        )
        .route("/leak/{cut}", get(leak))
        .route("/leak-header", get(leak_header))
        .route("/gzip", get(async || ([(header::CONTENT_ENCODING, "gzip")], "not really")))
        .route("/length", post(async |body: Bytes| body.len().to_string()))
        .route("/large", get(async || "x".repeat(20_000_000)))
        .route("/events", get(events))
        .route("/socket", get(socket))
}

fn authorization(headers: &HeaderMap) -> Vec<u8> {
    headers.get(header::AUTHORIZATION).map(|value| value.as_bytes().to_vec()).unwrap_or_default()
}

async fn echo(request: Request) -> String {
    let mut lines = vec![format!("{} {} {:?}", request.method(), request.uri(), request.version())];
    lines.extend(
        request.headers().iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))),
    );
    // Read to its end: a server that closes before a body has come may cut off its own answer.
    let body = to_bytes(request.into_body(), 1024 * 1024).await.unwrap_or_default();
    lines.push(format!("body: {} bytes", body.len()));
    lines.join("\n")
}

/// The credential back in the body, in pieces of so many bytes.
async fn leak(Path(cut): Path<usize>, headers: HeaderMap) -> Response {
    let text = [b"before ".as_slice(), &authorization(&headers), b" after"].concat();
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        text.chunks(cut).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    // One piece a packet, as far as can be.
    let paced = stream::iter(pieces).then(async |piece| {
        tokio::task::yield_now().await;
        piece
    });
    Body::from_stream(paced).into_response()
}

async fn leak_header(headers: HeaderMap) -> impl IntoResponse {
    let mut echoed = HeaderMap::new();
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        echoed.insert("x-echo", value.clone());
        echoed.insert("x-hop", value.clone());
    }
    echoed.insert("alt-svc", "h3=\":443\"".parse().unwrap());
    (StatusCode::IM_A_TEAPOT, echoed, "")
}

/// Two events, the second a while after the first; the first ends with a letter that begins the credential `s3cret-…`.
async fn events() -> Response {
    let first = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"data: events")) });
    let second = stream::once(async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(Bytes::from_static(b"\n\n"))
    });
    Body::from_stream(first.chain(second)).into_response()
}

/// Says the credential, then sends back what it gets.
async fn socket(upgrade: WebSocketUpgrade, headers: HeaderMap) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        let said = String::from_utf8_lossy(&authorization(&headers)).into_owned();
        if socket.send(Message::Text(said.into())).await.is_err() {
            return;
        }
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Text(_)) && socket.send(message).await.is_err() {
                return;
            }
        }
    })
}
