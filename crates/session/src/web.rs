//! What a turn reads of the web, over the border of its sandbox.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use hangar_agent::web::{PAGE_BYTES_MAX, Web, WebReply};
use hangar_network::{Behalf, Origin};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    HeaderMap, Request, Uri,
    client::conn::http1,
    header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, LOCATION, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{io::duplex, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::home::Home;

/// How long an answer may take, its content included.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Between hangar and its own border.
const PIPE_BYTES: usize = 64 * 1024;
/// What is asked for.
const WANTED: &str = "text/markdown, text/html;q=0.9, text/plain;q=0.9, application/json;q=0.8, */*;q=0.5";
/// Who asks.
const AGENT: &str = concat!("hangar/", env!("CARGO_PKG_VERSION"));

/// The way of a session's turns.
pub(crate) struct SessionWeb {
    pub(crate) home: Arc<Home>,
}

#[async_trait]
impl Web for SessionWeb {
    async fn get(&self, url: &str) -> Result<WebReply, String> {
        let origin = Origin::parse(url).map_err(|fault| fault.to_string())?;
        let place = self.home.sandbox.get().await.map_err(|refusal| refusal.to_string())?;
        match timeout(ANSWER_MAX, ask(place.behalf, origin, url)).await {
            Ok(answered) => answered.map_err(|fault| format!("{url} cannot be read: {fault}.")),
            Err(_elapsed) => Err(format!("{url} was not answered within {} s.", ANSWER_MAX.as_secs())),
        }
    }
}

async fn ask(behalf: Behalf, origin: Origin, url: &str) -> Result<WebReply, String> {
    let (ours, theirs) = duplex(PIPE_BYTES);
    let _serving = AbortOnDropHandle::new(tokio::spawn(async move { behalf.serve(theirs, &origin).await }));
    let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await.map_err(|error| error.to_string())?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let uri: Uri = url.parse().map_err(|_| "it is no address".to_owned())?;
    let host = uri.authority().map(ToString::to_string).unwrap_or_default();
    let request = Request::get(uri).header(HOST, host).header(USER_AGENT, AGENT).header(ACCEPT, WANTED);
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let (head, mut content) = sender.send_request(request).await.map_err(|error| error.to_string())?.into_parts();
    let (mut body, mut whole) = (BytesMut::new(), true);
    while let Some(frame) = content.frame().await {
        let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() else { continue };
        let room = PAGE_BYTES_MAX - body.len();
        body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            whole = false;
            break;
        }
    }
    Ok(WebReply {
        status: head.status.as_u16(),
        kind: text_of(&head.headers, CONTENT_TYPE).unwrap_or_default(),
        location: text_of(&head.headers, LOCATION),
        body: body.freeze(),
        whole,
    })
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
