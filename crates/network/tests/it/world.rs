//! A small internet: a name server that tests fill, and servers for HTTP, TLS and plain bytes that answer at every address of it.
//! It has private and metadata addresses too, so that a guard that is missing would really let somebody in.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
};

use axum::{Router, extract::Request, middleware::Next, response::Response};
use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{
        RData, Record, RecordType,
        rdata::{A, AAAA},
    },
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    sync::oneshot,
};
use tokio_rustls::TlsAcceptor;

use crate::namespaces::{Namespace, ip};

/// Where the world's name server is.
pub(crate) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The machine's own address towards the world.
pub(crate) const HOME: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// A public address.
pub(crate) const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34));

/// A host whose certificate nobody vouches for.
pub(crate) const UNTRUSTED: &str = "untrusted.test";
/// A host whose certificate is another's.
pub(crate) const MISNAMED: &str = "misnamed.test";

/// Everything that is local in the world.
const REGIONS: [&str; 9] = [
    "93.184.216.0/24",
    "1.1.1.0/24",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.169.254/32",
    "2606:4700::/32",
    "fd00::/8",
];

/// See the module's documentation.
pub(crate) struct World {
    _namespace: Namespace,
    pub(crate) seen: Seen,
    names: Table,
    authority_pem: String,
    _end: oneshot::Sender<()>,
    _thread: std::thread::JoinHandle<()>,
}

/// What servers of the world have been asked.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// Every HTTP request: scheme, method, target, and headers as lines.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    /// Names that were asked for.
    pub(crate) names: Arc<Mutex<Vec<String>>>,
}

impl Seen {
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.names.lock().unwrap().clone()
    }

    pub(crate) fn nothing(&self) -> bool {
        self.requests().is_empty()
    }
}

impl World {
    /// Joins a new world to the namespace of this thread and starts its servers.
    pub(crate) fn new(app: Router) -> Self {
        let namespace = Namespace::new();
        ip("link set lo up");
        ip(&format!("link add out type veth peer name home netns {}", namespace.path()));
        ip(&format!("addr add {HOME}/30 dev out"));
        ip("addr add 2606:1::2/64 dev out nodad");
        ip("link set out up");
        namespace.on(|| {
            ip(&format!("addr add {NAME_SERVER}/30 dev home"));
            ip("addr add 2606:1::1/64 dev home nodad");
            ip("link set home up");
            for region in REGIONS {
                ip(&format!("route add local {region} dev lo"));
            }
        });
        ip(&format!("route add default via {NAME_SERVER}"));
        ip("route add default via 2606:1::1");
        let seen = Seen::default();
        let names = Arc::new(Mutex::new(HashMap::new()));
        let certificates = Certificates::new();
        let authority_pem = certificates.pem.clone();
        let (end, ended) = oneshot::channel::<()>();
        let (ready, started) = std::sync::mpsc::channel();
        let app = recorded(app, seen.clone());
        let (own_names, own_seen) = (Arc::clone(&names), seen.clone());
        let thread = namespace.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                serve(app, own_names, own_seen, certificates).await;
                ready.send(()).unwrap();
                let _ = ended.await;
            });
        });
        started.recv().unwrap();
        Self { _namespace: namespace, seen, names, authority_pem, _end: end, _thread: thread }
    }

    /// The world's certificate authority.
    pub(crate) fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// A name with one address.
    pub(crate) fn name(&self, name: &str, address: impl Into<IpAddr>) {
        self.answers(name, &[&[address.into()]]);
    }

    /// What is answered for a name the first time, the second time, and so on; the last answer stays.
    pub(crate) fn answers(&self, name: &str, answers: &[&[IpAddr]]) {
        let all = answers.iter().map(|answer| answer.to_vec()).collect();
        self.names.lock().unwrap().insert(name.to_owned(), Answers { all, asked: 0 });
    }
}

fn recorded(app: Router, seen: Seen) -> Router {
    app.layer(axum::middleware::from_fn(move |request: Request, next: Next| {
        let seen = seen.clone();
        async move {
            let mut lines = vec![format!("{} {} {:?}", request.method(), request.uri(), request.version())];
            let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
                format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
            };
            lines.extend(request.headers().iter().map(header));
            seen.requests.lock().unwrap().push(lines.join("\n"));
            let response: Response = next.run(request).await;
            response
        }
    }))
}

async fn serve(app: Router, names: Table, seen: Seen, certificates: Arc<Certificates>) {
    let dns = UdpSocket::bind((NAME_SERVER, 53)).await.unwrap();
    tokio::spawn(answer_names(dns, names, seen));
    for any in ["0.0.0.0", "[::]"] {
        let listen = async |port: u16| TcpListener::from_std(listener(any, port)).unwrap();
        let plain = listen(80).await;
        let own = app.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = plain.accept().await.unwrap();
                tokio::spawn(http(stream, own.clone(), false));
            }
        });
        let secured = listen(443).await;
        let own = app.clone();
        let acceptor = TlsAcceptor::from(certificates.config());
        tokio::spawn(async move {
            loop {
                let (stream, _) = secured.accept().await.unwrap();
                let (own, acceptor) = (own.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    http(stream, own, two).await;
                });
            }
        });
        for port in [22, 5432, 8443] {
            let raw = listen(port).await;
            tokio::spawn(async move {
                loop {
                    let (stream, _) = raw.accept().await.unwrap();
                    tokio::spawn(echo(stream));
                }
            });
        }
    }
}

fn listener(any: &str, port: u16) -> std::net::TcpListener {
    let address: std::net::SocketAddr = format!("{any}:{port}").parse().unwrap();
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
    if address.is_ipv6() {
        socket.set_only_v6(true).unwrap();
    }
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(512).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

async fn http<IO>(stream: IO, app: Router, two: bool)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(app);
    let io = TokioIo::new(stream);
    let ended: Result<(), hyper::Error> = if two {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
    } else {
        hyper::server::conn::http1::Builder::new()
            .max_headers(1_000)
            .serve_connection(io, service)
            .with_upgrades()
            .await
    };
    drop(ended);
}

/// Says who it is, then sends back what it gets.
async fn echo(mut stream: tokio::net::TcpStream) {
    let here = stream.local_addr().unwrap();
    let _ = stream.write_all(format!("hello from {here}\n").as_bytes()).await;
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

async fn answer_names(socket: UdpSocket, names: Table, seen: Seen) {
    let mut buffer = [0; 2048];
    loop {
        let (count, from) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..count]).unwrap();
        let query = question.queries[0].clone();
        let name = query.name.to_ascii().trim_end_matches('.').to_lowercase();
        seen.names.lock().unwrap().push(name.clone());
        let reply = answer_name(&question, &query, &name, &names);
        socket.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
    }
}

type Table = Arc<Mutex<HashMap<String, Answers>>>;

/// What a name's look-ups are answered with, one after the other.
struct Answers {
    all: Vec<Vec<IpAddr>>,
    asked: usize,
}

fn answer_name(question: &Message, query: &Query, name: &str, names: &Table) -> Message {
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.metadata.recursion_available = true;
    reply.add_query(query.clone());
    let mut names = names.lock().unwrap();
    let Some(answers) = names.get_mut(name) else {
        reply.metadata.response_code = ResponseCode::NXDomain;
        return reply;
    };
    for address in &answers.all[(answers.asked / 2).min(answers.all.len() - 1)] {
        let data = match (address, query.query_type) {
            (IpAddr::V4(v4), RecordType::A) => RData::A(A(*v4)),
            (IpAddr::V6(v6), RecordType::AAAA) => RData::AAAA(AAAA(*v6)),
            _ => continue,
        };
        reply.add_answer(Record::from_rdata(query.name.clone(), 0, data));
    }
    // A look-up asks twice, for A and AAAA; the next one gets the next answer.
    answers.asked += 1;
    reply
}

/// Certificates for whatever name a client asks for.
struct Certificates {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates")
    }
}

impl Certificates {
    fn new() -> Arc<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "the world");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Arc::new(Self { issuer: Issuer::new(params, key), pem })
    }

    fn config(self: &Arc<Self>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or("nameless.test").to_owned();
        let key = KeyPair::generate().unwrap();
        let params = |name: &str| CertificateParams::new(vec![name.to_owned()]).unwrap();
        let leaf = match name.as_str() {
            UNTRUSTED => params(UNTRUSTED).self_signed(&key).unwrap(),
            MISNAMED => params("elsewhere.test").signed_by(&key, &self.issuer).unwrap(),
            name => params(name).signed_by(&key, &self.issuer).unwrap(),
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(key).unwrap();
        Some(Arc::new(CertifiedKey::new(vec![leaf.der().clone()], key)))
    }
}
