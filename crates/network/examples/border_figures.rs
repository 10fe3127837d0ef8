//! What the border costs: the same work directly over loopback and through the border, in one run.
//!
//! `cargo run --release -p hangar-network --example border_figures` as root (it makes a network namespace; iproute2 is needed). The
//! servers are at 127.0.0.1 of a namespace of its own, which the policy trusts by name, so no wire is in any figure.
#![allow(unsafe_code, reason = "the kernel is asked for namespaces")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on panics, and prints"
)]

use std::{
    fs::File,
    future::Future,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsFd,
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use hangar_network::{
    Authority, HostName, How, Injection, Inner, NAME_SERVER_V4, Network, Outside, OutsideConfig, Phase, Policy,
    Resolvers, Secret, Sockets, Trusted,
};
use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RData, Record, RecordType, rdata::A},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rcgen::{CertificateParams, KeyPair};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::{mpsc, watch},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Names that lead to the same servers: passed through, and with a credential.
const PASSED: &str = "passed.test";
const INJECTED: &str = "injected.test";
const RAW: u16 = 5432;
const BULK_BYTES: usize = 128 * 1024 * 1024;

fn main() {
    enter_new();
    ip("link set lo up");
    let runtime = Runtime::new().unwrap();
    let authority_pem = runtime.block_on(serve());
    let (sandbox, sockets) = sandbox();
    let (network, authority) = runtime.block_on(async { border(&authority_pem, sockets) });
    let roots = roots(&authority.bundle(&authority_pem));

    let ways: Vec<(&str, Option<&File>, &str)> = vec![
        ("direct", None, PASSED),
        ("border, passed through", Some(&sandbox), PASSED),
        ("border, with a credential", Some(&sandbox), INJECTED),
    ];
    println!("{:<28} {:>12} {:>12}", "one at a time, µs", "p50", "p99");
    for (way, namespace, name) in &ways {
        let (namespace, name, roots) =
            (namespace.map(|file| file.try_clone().unwrap()), (*name).to_owned(), Arc::clone(&roots));
        let report = measure(namespace, name, roots);
        for (what, times) in report.times {
            println!("{:<28} {:>12.0} {:>12.0}   {way}", what, at(&times, 50), at(&times, 99));
        }
        for (what, rate) in report.rates {
            println!("{what:<28} {rate:>12.2} GB/s          {way}");
        }
    }
    let asked = on(Some(sandbox.try_clone().unwrap()), || {
        let mut times: Vec<Duration> = (0..500).map(|number| timed_question(&format!("n{number}.test"))).collect();
        times.sort_unstable();
        times
    });
    println!("{:<28} {:>12.0} {:>12.0}   border", "a new name", at(&asked, 50), at(&asked, 99));
    runtime.block_on(network.close());
}

struct Report {
    times: Vec<(&'static str, Vec<Duration>)>,
    rates: Vec<(&'static str, f64)>,
}

/// Every figure of one way, on a thread in the client's namespace.
fn measure(namespace: Option<File>, name: String, roots: Arc<RootCertStore>) -> Report {
    let inside = namespace.is_some();
    on(namespace, move || {
        let host = if inside { look_up(&name) } else { Ipv4Addr::LOCALHOST };
        let to = move |port: u16| SocketAddr::from((host, port));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut times = Vec::new();
            if name == PASSED {
                times.push(("connect and one byte back", repeat(500, || one_byte(to(RAW))).await));
            }
            times.push(("TLS handshake and answer", repeat(300, || handshake(to(443), &name, &roots)).await));
            times.push(("request on an open one (TLS)", requests(secured(to(443), &name, &roots).await, &name).await));
            times.push(("request on an open one", requests(TcpStream::connect(to(80)).await.unwrap(), &name).await));
            let mut rates = Vec::new();
            if name == PASSED {
                rates.push(("bytes through a bare port", bulk_raw(to(RAW)).await));
            }
            rates.push(("download over TLS", download(secured(to(443), &name, &roots).await, &name).await));
            rates.push(("download", download(TcpStream::connect(to(80)).await.unwrap(), &name).await));
            Report { times, rates }
        })
    })
}

async fn repeat<F: Future<Output = ()>>(count: usize, work: impl Fn() -> F) -> Vec<Duration> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        work().await;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times
}

fn at(times: &[Duration], percent: usize) -> f64 {
    times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e6
}

async fn one_byte(to: SocketAddr) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(&[0]).await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
}

async fn handshake(to: SocketAddr, name: &str, roots: &Arc<RootCertStore>) {
    let mut stream = secured(to, name, roots).await;
    ask(&mut stream, name, "/").await;
}

/// A new configuration each time: no session is resumed.
async fn secured(to: SocketAddr, name: &str, roots: &Arc<RootCertStore>) -> tokio_rustls::client::TlsStream<TcpStream> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    let stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await.unwrap()
}

async fn requests<IO: AsyncRead + AsyncWrite + Unpin>(mut stream: IO, name: &str) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..1_000 {
        let began = Instant::now();
        ask(&mut stream, name, "/").await;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times
}

/// A request whose answer's body is `ok`, however it is framed.
async fn ask<IO: AsyncRead + AsyncWrite + Unpin>(stream: &mut IO, name: &str, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let whole = |said: &[u8]| said.ends_with(b"\r\n\r\nok") || said.ends_with(b"ok\r\n0\r\n\r\n");
    while !whole(&said) {
        assert!(stream.read_buf(&mut said).await.unwrap() > 0, "{}", String::from_utf8_lossy(&said));
    }
}

async fn download<IO: AsyncRead + AsyncWrite + Unpin>(mut stream: IO, name: &str) -> f64 {
    let request = format!("GET /bulk HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 256 * 1024];
    let began = Instant::now();
    let mut count = 0;
    while let Ok(more @ 1..) = stream.read(&mut buffer).await {
        count += more;
    }
    assert!(count > BULK_BYTES);
    count as f64 / began.elapsed().as_secs_f64() / 1e9
}

/// To a server that sends back one byte when it has everything.
async fn bulk_raw(to: SocketAddr) -> f64 {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(&[0]).await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    let buffer = vec![0; 256 * 1024];
    let began = Instant::now();
    for _ in 0..BULK_BYTES / buffer.len() {
        stream.write_all(&buffer).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    BULK_BYTES as f64 / began.elapsed().as_secs_f64() / 1e9
}

/// The servers, and who vouches for them.
async fn serve() -> String {
    let chunk = bytes::Bytes::from(vec![b'x'; 256 * 1024]);
    let bulk = move || {
        let pieces = (0..=BULK_BYTES / chunk.len()).map({
            let chunk = chunk.clone();
            move |_| Ok::<_, std::io::Error>(chunk.clone())
        });
        std::future::ready(axum::body::Body::from_stream(futures::stream::iter(pieces)))
    };
    let app = Router::new().route("/", get(async || "ok")).route("/bulk", get(bulk));
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![PASSED.to_owned(), INJECTED.to_owned()]).unwrap().self_signed(&key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        );
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listen = async |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let (plain, secure, raw) = (listen(80).await, listen(443).await, listen(RAW).await);
    let own = app.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = plain.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(http(stream, own.clone()));
        }
    });
    tokio::spawn(async move {
        loop {
            let (stream, _) = secure.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (acceptor, app) = (acceptor.clone(), app.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    http(stream, app).await;
                }
            });
        }
    });
    tokio::spawn(async move {
        loop {
            let (stream, _) = raw.accept().await.unwrap();
            tokio::spawn(swallow(stream));
        }
    });
    names();
    leaf.pem()
}

async fn http<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: IO, app: Router) {
    let service = TowerToHyperService::new(app);
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// Answers the first byte and the end.
async fn swallow(mut stream: TcpStream) {
    let mut buffer = vec![0; 256 * 1024];
    if stream.read_exact(&mut [0]).await.is_ok() && stream.write_all(&[0]).await.is_ok() {
        while let Ok(1..) = stream.read(&mut buffer).await {}
        drop(stream.write_all(&[0]).await);
    }
}

/// A name server for which everything is at 127.0.0.1.
fn names() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            let question = Message::from_vec(&buffer[..count]).unwrap();
            let query = question.queries[0].clone();
            let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
            reply.metadata.recursion_available = true;
            reply.add_query(query.clone());
            if query.query_type == RecordType::A {
                reply.add_answer(Record::from_rdata(query.name, 600, RData::A(A(Ipv4Addr::LOCALHOST))));
            }
            socket.send_to(&reply.to_vec().unwrap(), from).unwrap();
        }
    });
}

fn border(authority_pem: &str, sockets: (Vec<std::net::TcpListener>, UdpSocket)) -> (Network, Authority) {
    let host = |name: &str| HostName::parse(name).unwrap();
    let trusted =
        [PASSED, INJECTED].map(|name| Trusted { host: host(name), addresses: vec!["127.0.0.0/8".parse().unwrap()] });
    let secret = Secret::new("s3cret-token-value".to_owned()).unwrap();
    let policy = Policy {
        rules: vec!["*.test:80,443,5432".parse().unwrap()],
        trusted: trusted.into(),
        injections: vec![Injection::new("one", host(INJECTED), secret, How::bearer())],
        ..Policy::closed(Phase::Agent)
    };
    let outside = Outside::new(&OutsideConfig {
        resolvers: Resolvers::Servers(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 53))]),
        authorities_pem: authority_pem.as_bytes().to_vec(),
    });
    let authority = Authority::new().unwrap();
    let (tcp, dns) = sockets;
    let sockets = Sockets {
        tcp: tcp.into_iter().map(|one| TcpListener::from_std(one).unwrap()).collect(),
        dns: vec![tokio::net::UdpSocket::from_std(dns).unwrap()],
    };
    let (sender, receiver) = watch::channel(Arc::new(policy));
    // The rules stay as they are.
    drop(sender);
    let inner = Inner::new(Router::new());
    let network = Network::serve(sockets, outside.unwrap(), authority.clone(), receiver, mpsc::channel(1).0, inner);
    (network.unwrap(), authority)
}

/// A namespace as sandboxes have it, and the border's sockets in it.
fn sandbox() -> (File, (Vec<std::net::TcpListener>, UdpSocket)) {
    let made = thread::spawn(|| {
        enter_new();
        ip("link set lo up");
        ip("route add local 0.0.0.0/0 dev lo");
        let tcp = [80, 443, RAW].map(|port| std::net::TcpListener::bind(("0.0.0.0", port)).unwrap());
        let dns = UdpSocket::bind(("0.0.0.0", 53)).unwrap();
        tcp.iter().for_each(|one| one.set_nonblocking(true).unwrap());
        dns.set_nonblocking(true).unwrap();
        (File::open("/proc/thread-self/ns/net").unwrap(), (tcp.into(), dns))
    });
    made.join().unwrap()
}

fn look_up(name: &str) -> Ipv4Addr {
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), RecordType::A));
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect((NAME_SERVER_V4, 53)).unwrap();
    socket.send(&question.to_vec().unwrap()).unwrap();
    let mut buffer = [0; 512];
    let count = socket.recv(&mut buffer).unwrap();
    match Message::from_vec(&buffer[..count]).unwrap().answers[0].data {
        RData::A(address) => address.0,
        ref other => panic!("{other:?}"),
    }
}

fn timed_question(name: &str) -> Duration {
    let began = Instant::now();
    look_up(name);
    began.elapsed()
}

fn roots(pem: &str) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    Arc::new(roots)
}

fn on<T: Send + 'static>(namespace: Option<File>, work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::spawn(move || {
        if let Some(namespace) = namespace {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        }
        work()
    });
    thread.join().unwrap()
}

fn enter_new() {
    // SAFETY: a new network namespace for this thread; descriptors and memory stay shared as they are.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("a network namespace; run this as root");
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("ip(8), of the package iproute2");
    assert!(status.success(), "ip {arguments}");
}
