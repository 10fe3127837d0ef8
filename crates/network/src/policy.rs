//! What a sandbox may reach. Pure: from a policy, a target and a port follows a verdict, and nothing else.

use std::{collections::BTreeSet, fmt, net::IpAddr, str::FromStr};

use hangar_protocol::guest::BORDER_HOST;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    groups::Group,
    host::{BadHost, HostName, HostPattern, Target},
    injection::Injection,
};

/// The port of plain HTTP.
pub(crate) const HTTP_PORT: u16 = 80;
/// The port of HTTP in TLS.
pub(crate) const HTTPS_PORT: u16 = 443;

/// What is going on in a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// An image is built: dependencies are installed, no person and no model gives orders.
    Setup,
    /// An agent works.
    Agent,
}

/// In which phases something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phases {
    /// While an image is built only.
    Setup,
    /// While an agent works only.
    Agent,
    /// Always.
    Both,
}

/// Everything that is true about a sandbox's network at a moment. Replace it through the `watch` channel given to
/// [`crate::Network::serve`]: new connections see it at once, running ones that it no longer allows are ended.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What is going on.
    pub phase: Phase,
    /// What is allowed. Everything else is denied.
    pub rules: Vec<Rule>,
    /// Inner addresses that the operator allows by name. Never taken from a repository or an approval.
    pub trusted: Vec<Trusted>,
    /// Credentials that are added on the way. A host that has one must be allowed by a rule as well.
    pub injections: Vec<Injection>,
}

/// Hosts and ports that are allowed. As text: `example.org`, `*.example.org:8443`, `[2606:4700::1]:80,443`, `registries`;
/// a word before it says more: `setup example.org` (that phase only), `inspect example.org` (see [`Treatment::Inspect`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    /// Which hosts.
    pub hosts: Hosts,
    /// At which TCP ports. Without ports in the text: 80 and 443.
    pub ports: BTreeSet<u16>,
    /// When.
    pub phases: Phases,
    /// What is done with TLS to them.
    pub treatment: Treatment,
}

/// Which hosts a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hosts {
    /// One host or those below a name.
    Pattern(HostPattern),
    /// A built-in list.
    Group(Group),
}

/// What is done with an allowed connection that speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Treatment {
    /// The name in its first message is checked; the rest is passed through unread.
    PassThrough,
    /// TLS is ended at the border, so that every request's `Host` is checked as well. Hosts with an [`Injection`] are always
    /// treated so. For names behind a shared front (a CDN) that would answer for other names too.
    Inspect,
}

/// A name that may lead to addresses which are refused otherwise: a mirror or a service in the operator's own network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trusted {
    /// The name.
    pub host: HostName,
    /// Where it may be.
    pub addresses: Vec<IpNet>,
}

/// The answer to whether a connection is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Allowed(Treatment),
    /// No rule allows it.
    Denied,
}

/// A text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// The host.
    #[error(transparent)]
    Host(#[from] BadHost),
    /// A port is not a number from 1 to 65535, or is one that hangar answers itself.
    #[error("{0:?} is not a list of ports. Write them like example.org:443,8443; port 53 cannot be allowed.")]
    Ports(String),
}

/// The port of DNS, which hangar answers itself.
const DNS_PORT: u16 = 53;

impl Policy {
    /// Everything is denied except `hangar.internal`.
    #[must_use]
    pub fn closed(phase: Phase) -> Self {
        Self { phase, rules: Vec::new(), trusted: Vec::new(), injections: Vec::new() }
    }

    /// What holds where nobody has decided anything else: the package registries.
    #[must_use]
    pub fn usual(phase: Phase) -> Self {
        Self { rules: vec![Rule::group(Group::Registries)], ..Self::closed(phase) }
    }

    /// Whether a connection to `target` at `port` is allowed, and how it is treated.
    #[must_use]
    pub fn verdict(&self, target: &Target, port: u16) -> Verdict {
        let mut allowed = self.rules.iter().filter(|rule| rule.allows(self.phase, target, port)).peekable();
        if allowed.peek().is_none() {
            return Verdict::Denied;
        }
        let inspect = allowed.any(|rule| rule.treatment == Treatment::Inspect) || self.injects(target, port);
        Verdict::Allowed(if inspect { Treatment::Inspect } else { Treatment::PassThrough })
    }

    /// Whether TLS to any host is ended at the border: then the sandbox must trust its [`Authority`](crate::Authority).
    #[must_use]
    pub fn inspects(&self) -> bool {
        !self.injections.is_empty() || self.rules.iter().any(|rule| rule.treatment == Treatment::Inspect)
    }

    /// Whether the operator allows this otherwise refused address for this target.
    pub(crate) fn trusts(&self, target: &Target, address: IpAddr) -> bool {
        let Target::Name(name) = target else { return false };
        let here = |trusted: &&Trusted| trusted.host == *name;
        self.trusted.iter().filter(here).any(|trusted| trusted.addresses.iter().any(|net| net.contains(&address)))
    }

    /// The credentials for a host, at this phase.
    pub(crate) fn injections_for(&self, host: &HostName, port: u16) -> impl Iterator<Item = &Injection> {
        self.injections
            .iter()
            .filter(move |one| one.host == *host && one.port == port && one.phases.include(self.phase))
    }

    fn injects(&self, target: &Target, port: u16) -> bool {
        match target {
            Target::Name(name) => self.injections_for(name, port).next().is_some(),
            Target::Address(_) => false,
        }
    }

    /// The TCP ports that rules name, in order. The sandbox needs a listener for each; 80 and 443 are always among them.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<u16> {
        let named = self.rules.iter().flat_map(|rule| rule.ports.iter().copied());
        named.chain([HTTP_PORT, HTTPS_PORT]).collect()
    }
}

impl Rule {
    /// Allows a host at the ports 80 and 443, always.
    #[must_use]
    pub fn host(pattern: HostPattern) -> Self {
        Self::with(Hosts::Pattern(pattern))
    }

    /// Allows a built-in list of hosts at the ports 80 and 443, always.
    #[must_use]
    pub fn group(group: Group) -> Self {
        Self::with(Hosts::Group(group))
    }

    fn with(hosts: Hosts) -> Self {
        Self {
            hosts,
            ports: BTreeSet::from([HTTP_PORT, HTTPS_PORT]),
            phases: Phases::Both,
            treatment: Treatment::PassThrough,
        }
    }

    /// Allows what a person approved after a denial: this host at this port, for the rest of the session.
    #[must_use]
    pub fn approved(target: &Target, port: u16) -> Self {
        let pattern = match target {
            Target::Name(name) => HostPattern::Name(name.clone()),
            Target::Address(address) => HostPattern::Address(*address),
        };
        Self { ports: BTreeSet::from([port]), ..Self::host(pattern) }
    }

    fn allows(&self, phase: Phase, target: &Target, port: u16) -> bool {
        let host = match &self.hosts {
            Hosts::Pattern(pattern) => pattern.matches(target),
            Hosts::Group(group) => group.matches(target),
        };
        host && self.ports.contains(&port) && self.phases.include(phase)
    }
}

impl Phases {
    /// Whether the phase is among them.
    #[must_use]
    pub fn include(self, phase: Phase) -> bool {
        match self {
            Self::Both => true,
            Self::Setup => phase == Phase::Setup,
            Self::Agent => phase == Phase::Agent,
        }
    }
}

/// Whether this is the name under which hangar itself answers in a sandbox.
pub(crate) fn is_inner(target: &Target) -> bool {
    matches!(target, Target::Name(name) if name.as_str() == BORDER_HOST)
}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let mut rest = text.trim();
        let mut phases = Phases::Both;
        let mut treatment = Treatment::PassThrough;
        while let Some((word, after)) = rest.split_once(' ') {
            match word {
                "setup" => phases = Phases::Setup,
                "agent" => phases = Phases::Agent,
                "inspect" => treatment = Treatment::Inspect,
                _ => return Err(BadHost::new(text).into()),
            }
            rest = after.trim_start();
        }
        let (host, ports) = split_ports(rest);
        let hosts = match host.parse::<Group>() {
            Ok(group) => Hosts::Group(group),
            Err(()) => Hosts::Pattern(host.parse()?),
        };
        let ports = match ports {
            Some(list) => read_ports(list)?,
            None => BTreeSet::from([HTTP_PORT, HTTPS_PORT]),
        };
        Ok(Self { hosts, ports, phases, treatment })
    }
}

/// Cuts `host:ports`, where the host may be a bare or bracketed IPv6 address.
fn split_ports(text: &str) -> (&str, Option<&str>) {
    if text.parse::<IpAddr>().is_ok() {
        return (text, None);
    }
    match text.rsplit_once(':') {
        Some((host, ports)) if !host.starts_with('[') || host.ends_with(']') => (host, Some(ports)),
        Some(_) | None => (text, None),
    }
}

fn read_ports(list: &str) -> Result<BTreeSet<u16>, BadRule> {
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port != 0 && *port != DNS_PORT);
    list.split(',').map(port).collect::<Option<BTreeSet<u16>>>().ok_or_else(|| BadRule::Ports(list.to_owned()))
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phases {
            Phases::Setup => f.write_str("setup ")?,
            Phases::Agent => f.write_str("agent ")?,
            Phases::Both => {}
        }
        if self.treatment == Treatment::Inspect {
            f.write_str("inspect ")?;
        }
        match &self.hosts {
            Hosts::Pattern(HostPattern::Address(IpAddr::V6(address))) => write!(f, "[{address}]")?,
            Hosts::Pattern(pattern) => pattern.fmt(f)?,
            Hosts::Group(group) => group.fmt(f)?,
        }
        if self.ports != BTreeSet::from([HTTP_PORT, HTTPS_PORT]) {
            let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
            write!(f, ":{}", ports.join(","))?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Rule {
    type Error = BadRule;

    fn try_from(text: String) -> Result<Self, BadRule> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{injection::How, secret::Secret};

    fn name(text: &str) -> Target {
        Target::Name(HostName::parse(text).unwrap())
    }

    fn policy(phase: Phase, rules: &[&str]) -> Policy {
        Policy { rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(), ..Policy::closed(phase) }
    }

    #[test]
    fn what_is_allowed_is_a_list_and_nothing_else() {
        const PASS: Verdict = Verdict::Allowed(Treatment::PassThrough);
        const INSPECT: Verdict = Verdict::Allowed(Treatment::Inspect);
        const NO: Verdict = Verdict::Denied;
        let rules = [
            "example.org",
            "*.example.org:8443",
            "setup build.test",
            "agent work.test:22",
            "registries",
            "inspect cdn.test",
            "93.184.216.34:5432",
            "[2606:4700::1]",
        ];
        let table: &[(Phase, Target, u16, Verdict)] = &[
            (Phase::Agent, name("example.org"), 443, PASS),
            (Phase::Agent, name("example.org"), 80, PASS),
            (Phase::Agent, name("example.org"), 22, NO),
            (Phase::Agent, name("a.example.org"), 443, NO),
            (Phase::Agent, name("a.example.org"), 8443, PASS),
            (Phase::Agent, name("example.org"), 8443, NO),
            (Phase::Agent, name("notexample.org"), 8443, NO),
            (Phase::Agent, name("example.org.evil.test"), 443, NO),
            (Phase::Agent, name("build.test"), 443, NO),
            (Phase::Setup, name("build.test"), 443, PASS),
            (Phase::Setup, name("work.test"), 22, NO),
            (Phase::Agent, name("work.test"), 22, PASS),
            (Phase::Setup, name("registry.npmjs.org"), 443, PASS),
            (Phase::Agent, name("index.crates.io"), 443, PASS),
            (Phase::Agent, name("evil.crates.io"), 443, NO),
            (Phase::Agent, name("registry.npmjs.org"), 22, NO),
            (Phase::Agent, name("cdn.test"), 443, INSPECT),
            (Phase::Agent, Target::Address("93.184.216.34".parse().unwrap()), 5432, PASS),
            (Phase::Agent, Target::Address("93.184.216.34".parse().unwrap()), 443, NO),
            (Phase::Agent, Target::Address("2606:4700::1".parse().unwrap()), 443, PASS),
            (Phase::Agent, Target::Address("2606:4700::2".parse().unwrap()), 443, NO),
            (Phase::Agent, name("metadata.google.internal"), 80, NO),
        ];
        for (phase, target, port, want) in table {
            assert_eq!(policy(*phase, &rules).verdict(target, *port), *want, "{target}:{port} in {phase:?}");
        }
    }

    #[test]
    fn a_credential_alone_allows_nothing_and_makes_an_allowed_host_inspected() {
        let mut policy = policy(Phase::Agent, &["example.org"]);
        let secret = Secret::new("0123456789".to_owned()).unwrap();
        for host in ["example.org", "other.test"] {
            let host = HostName::parse(host).unwrap();
            policy.injections.push(Injection::new("token", host, secret.clone(), How::bearer()));
        }
        assert_eq!(policy.verdict(&name("example.org"), 443), Verdict::Allowed(Treatment::Inspect));
        assert_eq!(policy.verdict(&name("example.org"), 80), Verdict::Allowed(Treatment::PassThrough));
        assert_eq!(policy.verdict(&name("other.test"), 443), Verdict::Denied);
        policy.phase = Phase::Setup;
        assert_eq!(policy.verdict(&name("example.org"), 443), Verdict::Allowed(Treatment::PassThrough));
    }

    #[test]
    fn rules_are_read_and_written_alike() {
        for text in
            ["example.org", "setup inspect *.a.test:22,8443", "registries", "agent [2606:4700::1]:80", "10.0.0.1:1"]
        {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "*",
            "example.org:",
            "example.org:0",
            "example.org:53",
            "example.org:70000",
            "never example.org",
            "a b",
        ] {
            assert!(bad.parse::<Rule>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn trust_is_by_name_and_net() {
        let mut policy = policy(Phase::Agent, &["mirror.test"]);
        policy.trusted = vec![Trusted {
            host: HostName::parse("mirror.test").unwrap(),
            addresses: vec!["10.1.2.0/24".parse().unwrap()],
        }];
        let trusts = |target: &Target, address: &str| policy.trusts(target, address.parse().unwrap());
        assert!(trusts(&name("mirror.test"), "10.1.2.3"));
        assert!(!trusts(&name("mirror.test"), "10.1.3.3"));
        assert!(!trusts(&name("other.test"), "10.1.2.3"));
        assert!(!trusts(&Target::Address("10.1.2.3".parse().unwrap()), "10.1.2.3"));
    }

    #[test]
    fn ports_to_listen_at_follow_from_the_rules() {
        let ports = policy(Phase::Agent, &["a.test:22", "b.test:5432,80"]).ports();
        assert_eq!(ports.into_iter().collect::<Vec<_>>(), [22, 80, 443, 5432]);
    }
}
