//! A sandbox's network as hangar serves it, with a world behind it.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hangar_network::{
    Authority, Denial, HostName, How, Injection, Inner, NAME_SERVER_V4, Network, Outside, OutsideConfig, Phase,
    Placeholder, Policy, Resolvers, Secret, Sockets, TRUST_VARIABLES,
};
use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RData, RecordType},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::sync::{mpsc, watch};

use crate::{
    namespaces::{Namespace, in_own_network, ip, text},
    routes,
    world::{NAME_SERVER, World},
};

/// Everything a test has.
pub(crate) struct Border {
    pub(crate) world: World,
    pub(crate) home: Canary,
    pub(crate) sandbox: Namespace,
    pub(crate) network: Option<Network>,
    pub(crate) policy: watch::Sender<Arc<Policy>>,
    pub(crate) denials: mpsc::Receiver<Denial>,
    pub(crate) folder: tempfile::TempDir,
}

/// A test that uses some parts keeps all of them: a value that is dropped as a whole is moved as a whole.
impl Drop for Border {
    fn drop(&mut self) {
        drop(self.network.take());
    }
}

/// Runs a test with a border whose policy has these rules.
pub(crate) fn with_border<F: Future<Output = ()>>(rules: &[&str], test: impl FnOnce(Border) -> F) {
    with_app(Router::new(), rules, test);
}

/// The same with further routes in the world.
pub(crate) fn with_app<F: Future<Output = ()>>(app: Router, rules: &[&str], test: impl FnOnce(Border) -> F) {
    in_own_network(|| async { test(Border::new(app, rules)).await });
}

/// A policy of rules, and one more by which the sandbox is told to trust its authority.
pub(crate) fn policy(rules: &[&str]) -> Policy {
    let rules = rules.iter().chain(&["inspect inspected.test"]);
    Policy { rules: rules.map(|rule| rule.parse().unwrap()).collect(), ..Policy::closed(Phase::Agent) }
}

impl Border {
    fn new(app: Router, rules: &[&str]) -> Self {
        let app = routes::usual().merge(app);
        let world = World::new(app);
        let sandbox = Namespace::new();
        let (tcp, dns) = sandbox.on(|| {
            ip("route add local 0.0.0.0/0 dev lo");
            ip("-6 route add local ::/0 dev lo");
            let tcp: Vec<_> = [22, 53, 80, 443, 5432, 8443].map(listener).into();
            let dns = vec![datagrams(53)];
            (tcp, dns)
        });
        let sockets = Sockets {
            tcp: tcp.into_iter().map(|one| tokio::net::TcpListener::from_std(one).unwrap()).collect(),
            dns: dns.into_iter().map(|one| tokio::net::UdpSocket::from_std(one).unwrap()).collect(),
        };
        let outside = Outside::new(&OutsideConfig {
            resolvers: Resolvers::Servers(vec![SocketAddr::from((NAME_SERVER, 53))]),
            authorities_pem: world.authority_pem().as_bytes().to_vec(),
        });
        let authority = Authority::new().unwrap();
        let (policy, receiver) = watch::channel(Arc::new(policy(rules)));
        let (sender, denials) = mpsc::channel(256);
        let inner = Inner::new(Router::new().fallback(|| async { "hangar itself\n" }));
        let network = Network::serve(sockets, outside.unwrap(), authority.clone(), receiver, sender, inner).unwrap();
        let network = Some(network);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("trusted.pem"), authority.bundle(world.authority_pem())).unwrap();
        let home = Canary::new();
        Self { home, world, sandbox, network, policy, denials, folder }
    }

    /// The file of certificates that the sandbox trusts.
    pub(crate) fn trusted(&self) -> std::path::PathBuf {
        self.folder.path().join("trusted.pem")
    }

    /// The address that the sandbox is told for a name.
    pub(crate) async fn look_up(&self, name: &str) -> Ipv4Addr {
        let name = name.to_owned();
        self.sandbox.run(move || look_up(&name)).await
    }

    /// Runs a shell command in the sandbox, with an empty environment but for what is trusted.
    pub(crate) async fn shell(&self, command: &str) -> String {
        let output = self.try_shell(command).await;
        text(&output)
    }

    /// The same, with its status.
    pub(crate) async fn try_shell(&self, command: &str) -> std::process::Output {
        let command = command.to_owned();
        let trusted = self.trusted();
        let folder = self.folder.path().to_owned();
        self.sandbox.run(move || shell(&command, &trusted, &folder)).await
    }

    /// Asks with curl: the body, and the status in a last line.
    pub(crate) async fn curl(&self, arguments: &str) -> String {
        self.shell(&format!("curl -sS --max-time 20 -w '\\n%{{http_code}}' {arguments}")).await
    }

    /// All of the file of certificates, for clients made here.
    pub(crate) fn roots(&self) -> Arc<rustls::RootCertStore> {
        let mut roots = rustls::RootCertStore::empty();
        let pem = std::fs::read(self.trusted()).unwrap();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.unwrap()).unwrap();
        }
        Arc::new(roots)
    }

    /// The denials that are told within a moment after something was refused.
    pub(crate) fn told(&mut self) -> Vec<Denial> {
        std::iter::from_fn(|| self.denials.try_recv().ok()).collect()
    }

    /// Gives a credential for a host and what stands for it.
    pub(crate) fn credential(&self, host: &str, secret: &str) -> Placeholder {
        let placeholder = Placeholder::random();
        self.inject(host, secret, How::replace(placeholder.clone()));
        placeholder
    }

    /// Gives a credential for a host.
    pub(crate) fn inject(&self, host: &str, secret: &str, how: How) {
        let secret = Secret::new(secret.to_owned()).unwrap();
        let host = HostName::parse(host).unwrap();
        self.change(|policy| policy.injections.push(Injection::new("test", host, secret, how)));
    }

    /// Sends bytes to an address in the sandbox and gives what comes back until the end, or what came in five seconds.
    pub(crate) async fn send(&self, address: SocketAddr, bytes: &[u8]) -> String {
        let bytes = bytes.to_vec();
        self.sandbox.run(move || send(address, &bytes)).await
    }

    /// The next denial.
    pub(crate) async fn denial(&mut self) -> Denial {
        tokio::time::timeout(Duration::from_secs(15), self.denials.recv()).await.expect("a denial").unwrap()
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.network.as_ref().map_or(0, Network::connections)
    }

    /// Changes the policy.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Policy)) {
        self.policy.send_modify(|policy| change(Arc::make_mut(policy)));
    }
}

/// Runs a command with nothing in its environment but what is trusted, and with the files about names that a sandbox has.
fn shell(command: &str, trusted: &Path, folder: &Path) -> std::process::Output {
    let file = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    file("resolv.conf", &format!("nameserver {NAME_SERVER_V4}\n"));
    file("nsswitch.conf", "hosts: files dns\n");
    file("hosts", "127.0.0.1 localhost\n::1 localhost\n");
    file("command.sh", command);
    let mounts = "for file in resolv.conf nsswitch.conf hosts; do mount --bind $file /etc/$file; done";
    let mut shell = Command::new("unshare");
    shell.args(["-m", "--", "bash", "-c", &format!("set -e; {mounts}; exec timeout 60 bash command.sh")]);
    shell.current_dir(folder).env_clear();
    shell.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", folder);
    for variable in TRUST_VARIABLES {
        shell.env(variable, trusted);
    }
    shell.output().unwrap()
}

fn send(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // The border may have ended it already; what it said is what counts.
    let _ = stream.write_all(bytes);
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

/// Asks the sandbox's name server.
pub(crate) fn look_up(name: &str) -> Ipv4Addr {
    let reply = ask(name, RecordType::A, SocketAddr::from((NAME_SERVER_V4, 53)));
    match reply.answers.as_slice() {
        [record] => match record.data {
            RData::A(address) => address.0,
            ref other => panic!("{name} is {other:?}"),
        },
        other => panic!("{name}: {other:?}"),
    }
}

/// Asks a name server over UDP.
pub(crate) fn ask(name: &str, kind: RecordType, server: SocketAddr) -> Message {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), kind));
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // Connected: an answer from another address than the one that was asked would not arrive.
    socket.connect(server).unwrap();
    socket.send(&question.to_vec().unwrap()).unwrap();
    let mut buffer = [0; 2048];
    let count = socket.recv(&mut buffer).unwrap();
    Message::from_vec(&buffer[..count]).unwrap()
}

/// One socket for both families, as the sandbox engine makes them.
fn listener(port: u16) -> std::net::TcpListener {
    let socket = both_families(port, socket2::Type::STREAM);
    socket.listen(1024).unwrap();
    socket.into()
}

fn datagrams(port: u16) -> UdpSocket {
    both_families(port, socket2::Type::DGRAM).into()
}

fn both_families(port: u16, kind: socket2::Type) -> socket2::Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, kind, None).unwrap();
    socket.set_only_v6(false).unwrap();
    socket.bind(&SocketAddr::from(([0u16; 8], port)).into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Services of the machine hangar runs on. Nobody may come.
pub(crate) struct Canary(Vec<std::net::TcpListener>);

impl Canary {
    fn new() -> Self {
        Self([80, 443].map(listener).into())
    }

    /// Whether somebody came.
    pub(crate) fn was_visited(&self) -> bool {
        self.0.iter().any(|listener| listener.accept().is_ok())
    }
}
