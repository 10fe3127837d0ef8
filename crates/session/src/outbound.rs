//! What a session's sandbox may reach, and with whose credentials.
//!
//! ```text
//!   the operator's rules ─┐
//!   the image's rules ────┼─▶ Policy ─watch─▶ hangar-network at the sandbox's border ─▶ denials ─▶ events
//!   people's approvals ───┘                                                               │
//!            ▲──────────────────────── a person allows the place ◀────────────────────────┘
//! ```

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use hyper::{Request, Response, body::Incoming};
use tower::service_fn;

use hangar_network::{
    Authority, Behalf, Denial, DenialReason, HostName, How, Injection, Inner, Network, Outside, Phase, Phases,
    Placeholder, Policy, Rule, Secret, SetHeader, Sockets, TRUST_VARIABLES, Target, Trusted,
};
use hangar_protocol::{Refusal, RefusalCode, state::Place};
use hangar_sandbox::{Border, Sandbox};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{decide::Report, driver::Message};

/// Denials that may wait for the session. When it is full, the border goes on counting and tells them together.
const DENIALS_MAX: usize = 32;
/// Where the sandbox finds the certificates it trusts, where hangar ends TLS for it.
const TRUST_FILE: &str = "/run/hangar-trust.pem";
/// The machine's own certificates, as Debian, Fedora and others have them.
const TRUSTED_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// The network of every session, as the operator set it.
pub struct Outbound {
    /// The machine's side.
    pub outside: Outside,
    /// What every session may reach.
    pub rules: Vec<Rule>,
    /// Inner addresses that are allowed by name.
    pub trusted: Vec<Trusted>,
    /// Credentials that are added at the border.
    pub credentials: Vec<Credential>,
}

impl Outbound {
    /// Serves the border of a sandbox in which an image is built: the rules for that phase and `allow` (in the words of `network.allow`), no credential. It
    /// ends when the answer is dropped.
    ///
    /// # Errors
    /// When a socket cannot be used.
    pub fn serve_setup(&self, border: Border, allow: &[String]) -> Result<DropGuard, hangar_network::Error> {
        let named = allow.iter().filter_map(|rule| rule.parse().ok());
        let rules = self.rules.iter().cloned().chain(named).collect();
        let policy = Policy { phase: Phase::Setup, rules, trusted: self.trusted.clone(), injections: Vec::new() };
        let policy = watch::Sender::new(Arc::new(policy));
        let (denials, mut told) = mpsc::channel(DENIALS_MAX);
        let Border { tcp, dns, opener, made_in: _ } = border;
        let listening = ports_of(&tcp);
        let sockets = Sockets { tcp, dns: vec![dns] };
        let nothing = Inner::new(service_fn(|_request: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(String::new()))
        }));
        let authority = Authority::new().map_err(|error| std::io::Error::other(error.to_string()))?;
        let network = Network::serve(sockets, self.outside.clone(), authority, policy.subscribe(), denials, nothing)?;
        let serving = CancellationToken::new();
        tokio::spawn(open_ports(network, opener, listening, policy.subscribe(), serving.clone()));
        // The program that was refused says so in the build's log; the border itself logs every refusal.
        tokio::spawn(async move { while told.recv().await.is_some() {} });
        // The policy lives as long as the network.
        let kept = serving.clone();
        tokio::spawn(async move {
            kept.cancelled().await;
            drop(policy);
        });
        Ok(serving.drop_guard())
    }
}

fn ports_of(sockets: &[TcpListener]) -> Vec<u16> {
    sockets.iter().filter_map(|socket| Some(socket.local_addr().ok()?.port())).collect()
}

/// A credential that sandboxes can use and cannot see.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its name; as a variable inside it holds the placeholder.
    pub name: String,
    /// The only host it goes to.
    pub host: HostName,
    /// At this port.
    pub port: u16,
    /// The credential.
    pub secret: Secret,
    /// How it gets into a request.
    pub offer: Offer,
}

/// How a credential gets into a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Programs inside find a placeholder in the variable of its name and put it where the credential belongs.
    Placeholder,
    /// Every request to the host gets `Authorization: Bearer`.
    Bearer,
    /// Every request to the host gets `Authorization: Basic` for this user.
    Basic {
        /// Whose password it is.
        user: String,
    },
}

/// What is decided before a sandbox is made: its policy, and the environment that goes with it.
pub(crate) struct Plan {
    policy: watch::Sender<Arc<Policy>>,
    authority: Authority,
    env: BTreeMap<String, String>,
    inspects: bool,
}

impl Plan {
    /// The network of a session whose image asks for `image` and whose people opened `allowed`.
    pub(crate) fn new(outbound: &Outbound, image: &[Rule], allowed: &[Place]) -> Result<Self, Refusal> {
        let mut env = BTreeMap::new();
        let mut injections = Vec::new();
        for credential in &outbound.credentials {
            let how = match &credential.offer {
                Offer::Placeholder => {
                    let placeholder = Placeholder::random();
                    env.insert(credential.name.clone(), placeholder.as_str().to_owned());
                    How::replace(placeholder)
                }
                Offer::Bearer => How::Set(SetHeader::Bearer),
                Offer::Basic { user } => How::basic(user.clone()),
            };
            injections.push(Injection {
                name: credential.name.clone(),
                host: credential.host.clone(),
                port: credential.port,
                secret: credential.secret.clone(),
                phases: Phases::Agent,
                how,
            });
        }
        let approved = allowed.iter().filter_map(approved);
        let rules: Vec<Rule> = outbound.rules.iter().chain(image).cloned().chain(approved).collect();
        let policy = Policy { phase: Phase::Agent, rules, trusted: outbound.trusted.clone(), injections };
        let inspects = policy.inspects();
        if inspects {
            env.extend(TRUST_VARIABLES.iter().map(|name| ((*name).to_owned(), TRUST_FILE.to_owned())));
        }
        let authority = Authority::new().map_err(|error| {
            tracing::error!(%error, "a sandbox's certificate authority cannot be made");
            Refusal::new(RefusalCode::Internal, "The sandbox's certificates cannot be made.", "See the server's log.")
        })?;
        Ok(Self { policy: watch::Sender::new(Arc::new(policy)), authority, env, inspects })
    }

    /// What every command finds in its environment.
    pub(crate) fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Gives the sandbox the certificates it is to trust, where hangar ends TLS for it.
    pub(crate) async fn furnish(&self, sandbox: &Sandbox) -> Result<(), hangar_sandbox::Error> {
        if !self.inspects {
            return Ok(());
        }
        let mut trusted = String::new();
        for path in TRUSTED_FILES {
            if let Ok(found) = tokio::fs::read_to_string(path).await {
                trusted = found;
                break;
            }
        }
        sandbox.write(TRUST_FILE, self.authority.bundle(&trusted).as_bytes()).await.map(drop)
    }

    /// Serves the border until `serving` is cancelled.
    pub(crate) fn serve(
        self,
        border: Border,
        outside: Outside,
        inner: Inner,
        inbox: mpsc::WeakSender<Message>,
        serving: CancellationToken,
    ) -> Result<Open, hangar_network::Error> {
        let (denials, told) = mpsc::channel(DENIALS_MAX);
        let Border { tcp, dns, opener, made_in: _ } = border;
        let policy = self.policy;
        let listening = ports_of(&tcp);
        let sockets = Sockets { tcp, dns: vec![dns] };
        let network = Network::serve(sockets, outside, self.authority, policy.subscribe(), denials, inner)?;
        let behalf = network.behalf();
        tokio::spawn(tell_denials(told, inbox));
        tokio::spawn(open_ports(network, opener, listening, policy.subscribe(), serving));
        Ok(Open { policy, behalf })
    }
}

/// A network that is being served.
pub(crate) struct Open {
    policy: watch::Sender<Arc<Policy>>,
    behalf: Behalf,
}

impl Open {
    /// The border, for what hangar asks on the sandbox's behalf.
    pub(crate) fn behalf(&self) -> Behalf {
        self.behalf.clone()
    }

    /// Opens it towards a place.
    pub(crate) fn allow(&self, place: &Place) {
        let Some(rule) = approved(place) else { return };
        self.policy.send_modify(|policy| Arc::make_mut(policy).rules.push(rule));
    }
}

fn approved(place: &Place) -> Option<Rule> {
    let target = match place.host.parse() {
        Ok(address) => Target::Address(address),
        Err(_) => Target::Name(HostName::parse(&place.host).ok()?),
    };
    Some(Rule::approved(&target, place.port))
}

/// Keeps a listener for every port that the rules name, and ends the network with the sandbox.
async fn open_ports(
    network: Network,
    opener: hangar_sandbox::Opener,
    mut listening: Vec<u16>,
    mut policy: watch::Receiver<Arc<Policy>>,
    serving: CancellationToken,
) {
    loop {
        let wanted = policy.borrow_and_update().ports();
        for port in wanted {
            if listening.contains(&port) {
                continue;
            }
            match opener.listen(port).await {
                Ok(listener) => {
                    listening.push(port);
                    if let Err(error) = network.listen(listener) {
                        tracing::warn!(%error, port, "a port of a sandbox's border cannot be served");
                    }
                }
                Err(error) => tracing::warn!(%error, port, "a port of a sandbox's border cannot be opened"),
            }
        }
        tokio::select! {
            () = serving.cancelled() => break,
            changed = policy.changed() => if changed.is_err() { break },
        }
    }
    network.close().await;
}

async fn tell_denials(mut told: mpsc::Receiver<Denial>, inbox: mpsc::WeakSender<Message>) {
    while let Some(Denial { host, port, reason, count, phase: _ }) = told.recv().await {
        let Some(inbox) = inbox.upgrade() else { return };
        let report = Report::NetworkDenied {
            place: Place { host, port },
            reason: words(reason),
            approvable: reason.approvable(),
            count: u32::try_from(count).unwrap_or(u32::MAX),
        };
        drop(inbox.send(Message::Report(report)).await);
    }
}

fn words(reason: DenialReason) -> String {
    match reason {
        DenialReason::NotAllowed => "It is not among the places this session may reach.".to_owned(),
        other => other.to_string(),
    }
}
