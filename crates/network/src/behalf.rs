//! Requests that hangar makes itself on a sandbox's behalf: to one host, by the rules of that sandbox, with its credentials, and among its connections.
//!
//! They come without TLS over a stream inside hangar, and leave as a sandbox's own do where hangar ends TLS.

use std::{fmt, net::IpAddr, sync::Arc};

use hyper::Uri;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    denials::DenialReason,
    forward::{Forward, Way},
    host::{HostName, Target},
    policy::{HTTP_PORT, HTTPS_PORT, is_inner},
    serve_http::{Wire, requests},
    traffic::{Crossing, Shared},
};

/// A border, as hangar itself crosses it on the sandbox's behalf. A cheap handle, which does not keep the network open.
#[derive(Clone)]
pub struct Behalf(Arc<Shared>);

/// Where such requests go: a scheme, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    secure: Option<HostName>,
    target: Target,
    port: u16,
}

/// An address that such requests cannot go to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrigin {
    /// It cannot be read.
    #[error("{0:?} is no address of a web server; write it like https://example.org/path")]
    Unreadable(String),
    /// TLS is spoken with names alone.
    #[error("an https address needs the name of a host, not its number")]
    NoName,
    /// It is the sandbox itself, or hangar.
    #[error("{0} is not outside the sandbox; only what is outside is reached by an address")]
    Inside(String),
}

impl Origin {
    /// The origin of an address.
    ///
    /// # Errors
    /// [`BadOrigin`] where there is none, or none outside.
    pub fn parse(url: &str) -> Result<Self, BadOrigin> {
        let unreadable = || BadOrigin::Unreadable(hangar_protocol::limits::clip(url, 200));
        let uri: Uri = url.parse().map_err(|_| unreadable())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(unreadable)?;
        let bare = authority.host().trim_matches(['[', ']']);
        let target = match bare.parse::<IpAddr>() {
            Ok(address) => Target::Address(address.to_canonical()),
            Err(_) => Target::Name(HostName::parse(bare).map_err(|_| unreadable())?),
        };
        let inside = match &target {
            Target::Address(address) => address.is_loopback() || address.is_unspecified(),
            Target::Name(name) => is_inner(&target) || name.as_str() == "localhost",
        };
        if inside {
            return Err(BadOrigin::Inside(bare.to_owned()));
        }
        let (secure, default) = match (uri.scheme_str(), &target) {
            (Some("http"), _) => (None, HTTP_PORT),
            (Some("https"), Target::Name(name)) => (Some(name.clone()), HTTPS_PORT),
            (Some("https"), Target::Address(_)) => return Err(BadOrigin::NoName),
            (Some(_) | None, _) => return Err(unreadable()),
        };
        Ok(Self { secure, target, port: authority.port_u16().unwrap_or(default) })
    }
}

impl Behalf {
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// Answers HTTP/1.1 requests to an origin, until the stream ends, the rules no longer allow it, or the sandbox's network ends. What is refused is answered
    /// with words, and told as every denial.
    pub async fn serve<IO>(&self, stream: IO, origin: &Origin)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Origin { secure, target, port } = origin.clone();
        let Ok(place) = Arc::clone(&self.0.places).try_acquire_owned() else {
            return self.0.denials.count_unnamed(port, DenialReason::TooManyConnections);
        };
        let crossing = Arc::new(Crossing::new(Arc::clone(&self.0), target, port, place));
        let way = secure.map_or(Way::Plain, |name| Way::Tls(name, Wire::One));
        let forward = Arc::new(Forward::new(Arc::clone(&crossing), way));
        let serving = requests(stream, Wire::One, &crossing, move |request| {
            let forward = Arc::clone(&forward);
            async move { forward.answer(request).await }
        });
        tokio::select! {
            () = serving => {}
            () = crossing.allowed_and_revoked() => {}
        }
    }
}

impl fmt::Debug for Behalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Behalf(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_outside_or_nowhere() {
        let good = |url: &str, secure: bool, port: u16| {
            let origin = Origin::parse(url).unwrap();
            assert_eq!((origin.secure.is_some(), origin.port), (secure, port), "{url}");
        };
        good("https://Example.org/mcp?a=b", true, 443);
        good("https://example.org:8443/mcp", true, 8443);
        good("http://example.org", false, 80);
        good("http://93.184.216.34:8080/", false, 8080);
        let bad = |url: &str, words: &str| {
            let fault = Origin::parse(url).unwrap_err().to_string();
            assert!(fault.contains(words), "{url}: {fault}");
        };
        bad("example.org/mcp", "no address of a web server");
        bad("ftp://example.org/", "no address of a web server");
        bad("https://me:secret@example.org/", "no address of a web server");
        bad("https://93.184.216.34/", "needs the name");
        bad("http://localhost:3000/mcp", "not outside the sandbox");
        bad("http://127.0.0.1:3000/mcp", "not outside the sandbox");
        bad("http://[::ffff:127.0.0.1]/mcp", "not outside the sandbox");
        bad("http://hangar.internal/mcp", "not outside the sandbox");
    }
}
