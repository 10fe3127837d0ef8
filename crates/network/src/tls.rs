//! A connection at port 443: the first message is read, and then it is passed through, ended here, or refused.

use std::{io, sync::Arc};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, join},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    denials::DenialReason,
    forward::{Forward, Way},
    hello::{Hello, Reading, read},
    host::{HostName, Target},
    limits::{HELLO_BYTES_MAX, HELLO_TIME_MAX},
    outside::{H2, HTTP_1},
    policy::{Treatment, Verdict, is_inner},
    serve_http::{Wire, inner, requests},
    splice::{reset, through},
    traffic::Crossing,
    words::Words,
};

/// TLS alerts (RFC 8446 section 6).
#[derive(Clone, Copy)]
enum Alert {
    AccessDenied = 49,
    UnrecognizedName = 112,
}

/// Serves one connection.
pub(crate) async fn serve(mut stream: TcpStream, crossing: Arc<Crossing>) {
    let mut first = Vec::new();
    let hello = match timeout(HELLO_TIME_MAX, first_message(&mut stream, &mut first)).await {
        Ok(Ok(Some(hello))) => hello,
        Ok(Ok(None)) => {
            crossing.refuse(DenialReason::NotTls);
            return reset(stream);
        }
        Ok(Err(_)) | Err(_) => return reset(stream),
    };
    let Target::Name(name) = crossing.target.clone() else { return by_address(stream, &first, &crossing).await };
    if let Some(reason) = misnamed(&hello, &name) {
        crossing.refuse(reason);
        return alert(stream, Alert::UnrecognizedName).await;
    }
    let client = Client { stream, first, hello, name };
    if is_inner(&crossing.target) {
        let wire = client.wire();
        if let Some(stream) = client.accept(&crossing, wire).await {
            inner(stream, &crossing, wire).await;
        }
        return;
    }
    match crossing.verdict() {
        Verdict::Denied => client.explain(&crossing, &crossing.refuse(DenialReason::NotAllowed)).await,
        Verdict::Allowed(Treatment::PassThrough) => match crossing.dial().await {
            Ok(outside) => through(client.stream, outside, &client.first, &crossing).await,
            Err(words) => client.explain(&crossing, &words).await,
        },
        Verdict::Allowed(Treatment::Inspect) => inspect(client, &crossing).await,
    }
}

/// A connection to an address that is allowed as such: whatever is served there was allowed with it, so no name is checked.
async fn by_address(stream: TcpStream, first: &[u8], crossing: &Crossing) {
    match crossing.verdict() {
        Verdict::Denied => {
            crossing.refuse(DenialReason::NotAllowed);
            alert(stream, Alert::AccessDenied).await;
        }
        Verdict::Allowed(_) => match crossing.dial().await {
            Ok(outside) => through(stream, outside, first, crossing).await,
            Err(_) => alert(stream, Alert::AccessDenied).await,
        },
    }
}

/// The connection outside is made first, so that the client is offered the protocol that the server speaks.
async fn inspect(client: Client, crossing: &Arc<Crossing>) {
    let (forward, wire) = match outside(&client, crossing).await {
        Ok(made) => made,
        Err(words) => return client.explain(crossing, &words).await,
    };
    let Some(stream) = client.accept(crossing, wire).await else { return };
    let serving = requests(stream, wire, crossing, move |request| {
        let forward = Arc::clone(&forward);
        async move { forward.answer(request).await }
    });
    tokio::select! {
        () = serving => {}
        () = crossing.revoked() => {}
    }
}

async fn outside(client: &Client, crossing: &Arc<Crossing>) -> Result<(Arc<Forward>, Wire), Words> {
    let stream = crossing.dial().await?;
    let secured = crossing.shared.outside.secure(stream, &client.name, &client.hello.protocols).await;
    let secured = secured.map_err(|error| crossing.failed(&error))?;
    let wire = if secured.get_ref().1.alpn_protocol() == Some(H2) { Wire::Two } else { Wire::One };
    let forward = Arc::new(Forward::new(Arc::clone(crossing), Way::Tls(client.name.clone(), wire)));
    forward.over(secured, wire).await?;
    Ok((forward, wire))
}

/// Reads until the client's first message is complete. `None`: it is not one.
async fn first_message(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Option<Hello>> {
    loop {
        let room = HELLO_BYTES_MAX + 1 - bytes.len().min(HELLO_BYTES_MAX);
        if (&mut *stream).take(room as u64).read_buf(bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match read(bytes) {
            Reading::More => {}
            Reading::Hello(hello) => return Ok(Some(hello)),
            Reading::Not(why) => {
                tracing::debug!(why, "a sandbox's TLS client is refused");
                return Ok(None);
            }
        }
    }
}

/// What is wrong with the names in a hello.
fn misnamed(hello: &Hello, name: &HostName) -> Option<DenialReason> {
    match &hello.name {
        _ if hello.encrypted => Some(DenialReason::EncryptedHello),
        None => Some(DenialReason::NoServerName),
        Some(said) if said != name => Some(DenialReason::OtherServerName),
        Some(_) => None,
    }
}

async fn alert(mut stream: TcpStream, alert: Alert) {
    const RECORD_ALERT: u8 = 21;
    const FATAL: u8 = 2;
    // A client that has gone needs no reason.
    drop(stream.write_all(&[RECORD_ALERT, 3, 3, 0, 2, FATAL, alert as u8]).await);
    drop(stream.shutdown().await);
}

/// A TLS client in the sandbox whose name fits, before anything was answered.
struct Client {
    stream: TcpStream,
    first: Vec<u8>,
    hello: Hello,
    name: HostName,
}

impl Client {
    /// The best of what the client offers, for answers of hangar's own.
    fn wire(&self) -> Wire {
        if self.hello.protocols.iter().any(|protocol| protocol == H2) { Wire::Two } else { Wire::One }
    }

    /// Ends TLS here, with the sandbox's own authority.
    async fn accept(
        self,
        crossing: &Crossing,
        wire: Wire,
    ) -> Option<TlsStream<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>> {
        let offers = |protocol: &[u8]| self.hello.protocols.iter().any(|one| one == protocol);
        let chosen = match wire {
            Wire::Two => Some(H2),
            Wire::One => offers(HTTP_1).then_some(HTTP_1),
        };
        let config = match crossing.shared.authority.serve(&self.name, chosen) {
            Ok(config) => config,
            Err(error) => {
                tracing::error!(%error, name = %self.name, "no certificate");
                return None;
            }
        };
        let (from, to) = self.stream.into_split();
        let whole = join(io::Cursor::new(Bytes::from(self.first)).chain(from), to);
        match timeout(HELLO_TIME_MAX, TlsAcceptor::from(config).accept(whole)).await {
            Ok(Ok(stream)) => {
                let said = stream.get_ref().1.server_name().and_then(|said| HostName::parse(said).ok());
                (said.as_ref() == Some(&self.name)).then_some(stream)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, name = %self.name, "a sandbox's TLS client does not accept hangar's certificate");
                None
            }
            Err(_) => None,
        }
    }

    /// Answers every request with the words, because a bare TLS alert tells an agent little. A sandbox that was not given the
    /// authority to trust gets the alert: a complaint about a certificate would lead it astray.
    async fn explain(self, crossing: &Crossing, words: &Words) {
        if !crossing.policy().inspects() {
            return alert(self.stream, Alert::AccessDenied).await;
        }
        let wire = self.wire();
        let Some(stream) = self.accept(crossing, wire).await else { return };
        let words = Arc::new(words.clone());
        requests(stream, wire, crossing, move |_| {
            let words = Arc::clone(&words);
            async move { Ok(words.response()) }
        })
        .await;
    }
}
