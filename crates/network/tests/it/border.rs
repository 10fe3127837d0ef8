//! A sandbox's network as hangar serves it, with a world behind it.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use axum::{Router, routing::get};
use hangar_network::{
    Authority, Denial, Inner, NAME_SERVER_V4, Network, Outside, OutsideConfig, Phase, Policy, Resolvers, Sockets,
    TRUST_VARIABLES,
};
use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RData, RecordType},
};
use tokio::sync::{mpsc, watch};

use crate::{
    namespaces::{Namespace, in_own_network, ip, text},
    world::{NAME_SERVER, World},
};

/// Everything a test has.
pub(crate) struct Border {
    pub(crate) world: World,
    pub(crate) sandbox: Namespace,
    pub(crate) network: Network,
    pub(crate) policy: watch::Sender<Arc<Policy>>,
    pub(crate) denials: mpsc::Receiver<Denial>,
    pub(crate) folder: tempfile::TempDir,
}

/// Runs a test with a border whose policy has these rules.
pub(crate) fn with_border<F: Future<Output = ()>>(rules: &[&str], test: impl FnOnce(Border) -> F) {
    with_app(Router::new(), rules, test);
}

/// The same with further routes in the world.
pub(crate) fn with_app<F: Future<Output = ()>>(app: Router, rules: &[&str], test: impl FnOnce(Border) -> F) {
    in_own_network(|| async { test(Border::new(app, rules)).await });
}

/// A policy of rules.
pub(crate) fn policy(rules: &[&str]) -> Policy {
    Policy { rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(), ..Policy::closed(Phase::Agent) }
}

impl Border {
    fn new(app: Router, rules: &[&str]) -> Self {
        let app = app.route("/", get(|| async { "the world\n" }));
        let world = World::new(app);
        let sandbox = Namespace::new();
        let (tcp, dns) = sandbox.on(|| {
            ip("route add local 0.0.0.0/0 dev lo");
            ip("-6 route add local ::/0 dev lo");
            let tcp: Vec<_> = [22, 53, 80, 443, 5432, 8443].into_iter().flat_map(listeners).collect();
            let dns: Vec<_> = [SocketAddr::from(([0; 4], 53)), SocketAddr::from(([0u16; 8], 53))].map(datagrams).into();
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
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("trusted.pem"), authority.bundle(world.authority_pem())).unwrap();
        Self { world, sandbox, network, policy, denials, folder }
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

    /// Runs a shell command in the sandbox with an empty environment but for what is trusted; `curl` finds names by
    /// what hangar's name server said.
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
        let names = ["example.org", "other.test", "api.test", "mirror.test", "git.test"];
        let mut resolve = String::new();
        for name in names {
            let address = self.look_up(name).await;
            for port in [80, 443, 8443] {
                resolve.push_str(&format!(" --resolve {name}:{port}:{address}"));
            }
        }
        self.shell(&format!("curl -sS --max-time 20 -w '\\n%{{http_code}}' {resolve} {arguments}")).await
    }

    /// The next denial.
    pub(crate) async fn denial(&mut self) -> Denial {
        tokio::time::timeout(Duration::from_secs(15), self.denials.recv()).await.expect("a denial").unwrap()
    }

    /// Changes the policy.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Policy)) {
        self.policy.send_modify(|policy| change(Arc::make_mut(policy)));
    }
}

fn shell(command: &str, trusted: &Path, folder: &Path) -> std::process::Output {
    let mut shell = Command::new("bash");
    shell.args(["-c", command]).current_dir(folder).env_clear();
    shell.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", folder);
    for variable in TRUST_VARIABLES {
        shell.env(variable, trusted);
    }
    shell.output().unwrap()
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

fn listeners(port: u16) -> [std::net::TcpListener; 2] {
    ["0.0.0.0", "[::]"].map(|any| {
        let address: SocketAddr = format!("{any}:{port}").parse().unwrap();
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
        if address.is_ipv6() {
            socket.set_only_v6(true).unwrap();
        }
        socket.bind(&address.into()).unwrap();
        socket.listen(1024).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.into()
    })
}

fn datagrams(address: SocketAddr) -> UdpSocket {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::DGRAM, None).unwrap();
    if address.is_ipv6() {
        socket.set_only_v6(true).unwrap();
    }
    socket.bind(&address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}
