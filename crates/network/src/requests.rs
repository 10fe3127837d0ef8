//! What may be in the head of a request or an answer, and what is taken out of it. Pure.

use hyper::{
    Method, Uri, Version,
    header::{
        ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, RANGE, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
    http::{
        request::Parts,
        uri::{Authority, PathAndQuery, Scheme},
    },
};

use crate::{
    denials::DenialReason,
    host::{HostName, Target},
};

/// What is about one connection only and is never passed on (RFC 9110 section 7.6.1), and what offers other ways to a server.
const NOT_PASSED_ON: [HeaderName; 7] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
/// An answer's offer of HTTP/3, which is not spoken here.
const ALT_SVC: HeaderName = HeaderName::from_static("alt-svc");
const PROXY_AUTHORIZATION: HeaderName = HeaderName::from_static("proxy-authorization");
const WEBSOCKET_EXTENSIONS: HeaderName = HeaderName::from_static("sec-websocket-extensions");

/// Whether a request may go to `target` at all.
pub(crate) fn vet(head: &Parts, target: &Target, port: u16, default_port: u16) -> Result<(), DenialReason> {
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        return Err(DenialReason::Method);
    }
    let many = |name: HeaderName| head.headers.get_all(name).iter().count() > 1;
    if many(HOST) || many(CONTENT_LENGTH) || many(TRANSFER_ENCODING) {
        return Err(DenialReason::Ambiguous);
    }
    if head.headers.contains_key(CONTENT_LENGTH) && head.headers.contains_key(TRANSFER_ENCODING) {
        return Err(DenialReason::Ambiguous);
    }
    let path = head.uri.path();
    let of_the_server = path == "*" && head.method == Method::OPTIONS;
    if !(path.starts_with('/') || of_the_server) {
        return Err(DenialReason::Ambiguous);
    }
    let said = head.headers.get(HOST).map(|host| host.to_str().unwrap_or_default());
    let named = head.uri.authority().map(Authority::as_str);
    let fits = |text: &str| is_host(text, target, port, default_port);
    let some = said.is_some() || named.is_some();
    if some && said.is_none_or(fits) && named.is_none_or(fits) { Ok(()) } else { Err(DenialReason::OtherHost) }
}

/// Whether a `Host` names the target and the port.
fn is_host(text: &str, target: &Target, port: u16, default_port: u16) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    if text.contains('@') || authority.port_u16().unwrap_or(default_port) != port {
        return false;
    }
    // A colon without a number after it reads as the default port for some and as an error for others.
    if authority.port_u16().is_none() && text.ends_with(':') {
        return false;
    }
    let host = authority.host();
    match target {
        Target::Name(name) => HostName::parse(host).is_ok_and(|said| said == *name),
        Target::Address(address) => {
            host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|said| said.to_canonical() == *address)
        }
    }
}

/// Whether a request wants to become a WebSocket.
pub(crate) fn is_websocket(head: &Parts) -> bool {
    head.method == Method::GET
        && head.version == Version::HTTP_11
        && head.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && tokens(&head.headers).any(|token| token == UPGRADE)
}

/// Takes out what is about the client's connection, and puts in what is about ours.
pub(crate) fn prepare(
    head: &mut Parts,
    target: &Target,
    port: u16,
    scheme: &Scheme,
    default_port: u16,
    websocket: bool,
) {
    let gives_trailers = head.headers.get(TE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    strip(&mut head.headers);
    head.headers.remove(EXPECT);
    head.headers.remove(PROXY_AUTHORIZATION);
    let host = match (target, port == default_port) {
        (Target::Address(std::net::IpAddr::V6(address)), true) => format!("[{address}]"),
        (Target::Address(std::net::IpAddr::V6(address)), false) => format!("[{address}]:{port}"),
        (target, true) => target.to_string(),
        (target, false) => format!("{target}:{port}"),
    };
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    if head.version == Version::HTTP_2 {
        head.headers.remove(HOST);
        if gives_trailers {
            head.headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        let whole = Uri::builder().scheme(scheme.clone()).authority(host).path_and_query(path);
        if let Ok(uri) = whole.build() {
            head.uri = uri;
        }
    } else {
        head.version = Version::HTTP_11;
        head.uri = Uri::from(path);
        if let Ok(host) = HeaderValue::from_str(&host) {
            head.headers.insert(HOST, host);
        }
        if websocket {
            head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
    }
}

/// Asks for an answer in which a credential can be found: not compressed, and in one piece where one was added.
pub(crate) fn ask_for_plain_answer(headers: &mut HeaderMap, injected: bool) {
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.remove(WEBSOCKET_EXTENSIONS);
    if injected {
        headers.remove(RANGE);
    }
}

/// Takes out of an answer what is about the server's connection.
pub(crate) fn strip_answer(headers: &mut HeaderMap) {
    strip(headers);
    headers.remove(ALT_SVC);
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers).collect();
    for name in named.iter().chain(&NOT_PASSED_ON) {
        headers.remove(name);
    }
}

/// The headers that `Connection` names.
fn tokens(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|token| token.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn target(text: &str) -> Target {
        match text.parse() {
            Ok(address) => Target::Address(address),
            Err(_) => Target::Name(HostName::parse(text).unwrap()),
        }
    }

    #[test]
    fn the_host_must_be_the_one_that_was_looked_up() {
        use DenialReason::{Ambiguous, Method, OtherHost};
        let check = |method: &str, uri: &str, headers: &[(&str, &str)]| {
            vet(&head(method, uri, headers), &target("example.org"), 443, 443)
        };
        let good = [
            ("/", "example.org"),
            ("/", "EXAMPLE.org"),
            ("/", "example.org:443"),
            ("/", "example.org."),
            ("/", "example.org"),
        ];
        for (uri, host) in good {
            assert_eq!(check("GET", uri, &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(check("GET", "https://example.org/a", &[]), Ok(()));
        assert_eq!(check("GET", "https://example.org/a", &[("host", "example.org")]), Ok(()));
        let bad = [
            "other.org",
            "example.org:80",
            "example.org:",
            "a@example.org",
            "example.org, other.org",
            "",
            "example.org/",
            " ",
        ];
        for host in bad {
            assert_eq!(check("GET", "/", &[("host", host)]), Err(OtherHost), "{host:?}");
        }
        assert_eq!(check("GET", "/", &[]), Err(OtherHost));
        assert_eq!(check("GET", "https://other.org/", &[("host", "example.org")]), Err(OtherHost));
        assert_eq!(check("GET", "https://example.org/", &[("host", "other.org")]), Err(OtherHost));
        assert_eq!(check("GET", "/", &[("host", "example.org"), ("host", "other.org")]), Err(Ambiguous));
        let lengths = [("host", "example.org"), ("content-length", "5"), ("transfer-encoding", "chunked")];
        assert_eq!(check("POST", "/", &lengths), Err(Ambiguous));
        let lengths = [("host", "example.org"), ("content-length", "5"), ("content-length", "5")];
        assert_eq!(check("POST", "/", &lengths), Err(Ambiguous));
        assert_eq!(check("CONNECT", "example.org:443", &[]), Err(Method));
        assert_eq!(check("TRACE", "/", &[("host", "example.org")]), Err(Method));
        assert_eq!(check("OPTIONS", "*", &[("host", "example.org")]), Ok(()));
        assert_eq!(check("GET", "*", &[("host", "example.org")]), Err(Ambiguous));
        assert_eq!(check("GET", "example.org:443", &[("host", "example.org")]), Err(Ambiguous));
        let literal = |host| vet(&head("GET", "/", &[("host", host)]), &target("2606:4700::1"), 80, 80);
        assert_eq!(literal("[2606:4700::1]"), Ok(()));
        assert_eq!(literal("[2606:4700::2]"), Err(OtherHost));
    }

    #[test]
    fn what_is_about_a_connection_stays_there() {
        let sent = [
            ("host", "EXAMPLE.org:80"),
            ("connection", "keep-alive, x-private"),
            ("x-private", "1"),
            ("te", "gzip"),
            ("proxy-authorization", "Basic x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ];
        let mut head = head("GET", "http://example.org/a?b", &sent);
        prepare(&mut head, &target("example.org"), 80, &Scheme::HTTP, 80, false);
        assert_eq!(head.uri, "/a?b");
        let mut left: Vec<(&str, &[u8])> =
            head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        left.sort_unstable();
        assert_eq!(left, [("accept", b"*/*".as_slice()), ("host", b"example.org".as_slice())]);
    }

    #[test]
    fn a_websocket_is_known_by_both_headers() {
        let ask = |headers: &[(&str, &str)]| is_websocket(&head("GET", "/", headers));
        assert!(ask(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]));
        assert!(!ask(&[("connection", "keep-alive"), ("upgrade", "websocket")]));
        assert!(!ask(&[("connection", "upgrade"), ("upgrade", "h2c")]));
    }
}
