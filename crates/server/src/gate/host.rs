//! Only requests for a name the server goes by are answered: a page of another site whose name was pointed at this machine
//! (DNS rebinding) sends its own name in `Host`, and is refused before anything else happens.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use hangar_protocol::RefusalCode;

use crate::{
    answer::Refused,
    app::App,
    config::{HttpConfig, PublicUrl},
};

/// The names this server goes by.
#[derive(Clone, Debug)]
pub(crate) struct KnownHosts {
    listens_on: IpAddr,
    public: Option<PublicUrl>,
}

impl KnownHosts {
    /// Loopback names, the address listened on, and the public address.
    pub(crate) fn new(config: &HttpConfig) -> Self {
        Self { listens_on: config.host, public: config.public_url.clone() }
    }

    /// Whether `authority` (`host` or `host:port`) is one of them. The port is not looked at: a tunnel may change it.
    fn knows(&self, authority: &str) -> bool {
        let host = host_of(authority).to_ascii_lowercase();
        let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let loopback =
            host == "localhost" || host.ends_with(".localhost") || address.is_some_and(|ip| ip.is_loopback());
        let own = address.is_some_and(|ip| ip == self.listens_on && !ip.is_unspecified());
        let public = self.public.as_ref().is_some_and(|url| host_of(url.authority()) == host);
        loopback || own || public
    }

    /// Whether a browser that sends these headers was showing a page of this very server. Requests that say nothing about
    /// their origin do not come from a browser's script.
    pub(crate) fn same_origin(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        if self.public.as_ref().is_some_and(|url| url.to_string() == origin.to_ascii_lowercase()) {
            return true;
        }
        let asked = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let shown = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        match (asked, shown) {
            (Some(asked), Some(shown)) => asked.eq_ignore_ascii_case(shown),
            (None, _) | (_, None) => false,
        }
    }
}

fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

/// Refuses requests for a name that is not ours.
pub(crate) async fn known_host(State(app): State<App>, request: Request, next: Next) -> Response {
    let asked = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if asked.is_some_and(|host| app.known_hosts.knows(host)) {
        return next.run(request).await;
    }
    Refused::new(
        RefusalCode::Forbidden,
        "This server does not go by the name in the request's Host header.",
        "Use its own address, or set http.public_url in hangar.toml to the one people type.",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn hosts(public: Option<&str>) -> KnownHosts {
        let public_url = public.map(|url| url.parse().unwrap());
        KnownHosts::new(&HttpConfig { public_url, ..HttpConfig::default() })
    }

    #[test]
    fn only_own_names_are_known() {
        let known = hosts(Some("https://hangar.example.org"));
        for host in [
            "localhost",
            "localhost:7433",
            "127.0.0.1:1",
            "[::1]:7433",
            "a.localhost",
            "HANGAR.example.org",
            "hangar.example.org:8443",
        ] {
            assert!(known.knows(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7433",
            "localhost.evil.example",
            "192.168.0.7",
            "0.0.0.0:7433",
            "",
            "127.0.0.1.evil.example",
        ] {
            assert!(!known.knows(host), "{host}");
        }
    }

    #[test]
    fn an_origin_must_be_the_page_of_this_server() {
        let check = |public: Option<&str>, host: &str, origin: Option<&str>, same: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
            }
            assert_eq!(hosts(public).same_origin(&headers), same, "{host} {origin:?}");
        };
        check(None, "localhost:7433", None, true);
        check(None, "localhost:7433", Some("http://localhost:7433"), true);
        check(None, "localhost:7433", Some("http://localhost:8000"), false);
        check(None, "localhost:7433", Some("http://evil.example"), false);
        check(None, "localhost:7433", Some("null"), false);
        check(Some("https://hangar.example.org"), "localhost:7433", Some("https://hangar.example.org"), true);
    }
}
