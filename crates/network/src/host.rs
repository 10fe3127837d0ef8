//! Names of hosts, and patterns of them.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of a host as DNS knows it: lower case, ASCII (names in other scripts in their `xn--` form), no final dot.
///
/// A name whose last label is a number is refused, because some resolvers read it as an address (`127.1`, `0x7f.1`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(Box<str>);

/// A text is not a host's name, or not a pattern of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a host. Write it like example.org, *.example.org, or an address like 2001:db8::1.")]
pub struct BadHost(String);

/// Which hosts a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostPattern {
    /// `example.org`: this name alone.
    Name(HostName),
    /// `*.example.org`: every name below it, at any depth, but not `example.org` itself.
    Below(HostName),
    /// `93.184.216.34`: a connection to this address that was not made by name.
    Address(IpAddr),
}

/// Where a sandbox wants to go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// By a name it asked for.
    Name(HostName),
    /// To an address it did not get from hangar.
    Address(IpAddr),
}

impl BadHost {
    /// The text, cut to what a name can be long.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.chars().take(NAME_BYTES_MAX).collect())
    }
}

const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

impl HostName {
    /// Reads a name. Upper case and one final dot are accepted and taken away.
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        let bare = text.strip_suffix('.').unwrap_or(text);
        let bad = || BadHost::new(text);
        if bare.is_empty() || bare.len() > NAME_BYTES_MAX || !bare.split('.').all(is_label) {
            return Err(bad());
        }
        let last = bare.rsplit('.').next().unwrap_or(bare);
        if last.bytes().all(|byte| byte.is_ascii_digit())
            || last.get(..2).is_some_and(|two| two.eq_ignore_ascii_case("0x"))
        {
            return Err(bad());
        }
        Ok(Self(bare.to_ascii_lowercase().into_boxed_str()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name is below the other: `a.b.org` is below `b.org`, `b.org` is not.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_suffix(&*other.0).is_some_and(|rest| rest.ends_with('.'))
    }
}

fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !label.is_empty() && label.len() <= LABEL_BYTES_MAX && !label.starts_with('-') && label.bytes().all(allowed)
}

impl HostPattern {
    /// Whether a connection to `target` is meant.
    #[must_use]
    pub fn matches(&self, target: &Target) -> bool {
        match (self, target) {
            (Self::Name(own), Target::Name(name)) => own == name,
            (Self::Below(top), Target::Name(name)) => name.is_below(top),
            (Self::Address(own), Target::Address(address)) => own == address,
            (Self::Name(_) | Self::Below(_), Target::Address(_)) | (Self::Address(_), Target::Name(_)) => false,
        }
    }
}

impl FromStr for HostPattern {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        match text.strip_prefix("*.") {
            Some(top) => HostName::parse(top).map(Self::Below),
            None => HostName::parse(text).map(Self::Name),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Below(top) => write!(f, "*.{top}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl TryFrom<String> for HostName {
    type Error = BadHost;

    fn try_from(text: String) -> Result<Self, BadHost> {
        Self::parse(&text)
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0.into()
    }
}

impl TryFrom<String> for HostPattern {
    type Error = BadHost;

    fn try_from(text: String) -> Result<Self, BadHost> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_strictly() {
        for good in ["example.org", "EXAMPLE.org.", "_acme.x-y.example.org", "xn--bcher-kva.example", "db"] {
            assert!(HostName::parse(good).is_ok(), "{good}");
        }
        let long = format!("{}.org", "a".repeat(64));
        for bad in [
            "",
            ".",
            "a..b",
            "-a.org",
            "a b.org",
            "a/b",
            "b\u{fc}cher.org",
            "127.0.0.1",
            "127.1",
            "1",
            "a.0x7f",
            "a.org\0",
            &long,
        ] {
            assert!(HostName::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(HostName::parse("Example.ORG.").unwrap().as_str(), "example.org");
    }

    #[test]
    fn a_pattern_means_what_it_says() {
        let matches = |pattern: &str, name: &str| {
            let pattern: HostPattern = pattern.parse().unwrap();
            pattern.matches(&Target::Name(HostName::parse(name).unwrap()))
        };
        assert!(matches("example.org", "EXAMPLE.org"));
        assert!(!matches("example.org", "a.example.org"));
        assert!(matches("*.example.org", "a.example.org"));
        assert!(matches("*.example.org", "a.b.example.org"));
        assert!(!matches("*.example.org", "example.org"));
        assert!(!matches("*.example.org", "badexample.org"));
        assert!(!matches("example.org", "example.org.evil.test"));
        let literal: HostPattern = "[2606:4700::1]".parse().unwrap();
        assert!(literal.matches(&Target::Address("2606:4700::1".parse().unwrap())));
        assert!("*".parse::<HostPattern>().is_err());
        assert!("*.*.org".parse::<HostPattern>().is_err());
    }
}
