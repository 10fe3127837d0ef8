//! Requests that want to be read in two ways, and those that want something else than a server.

use std::net::SocketAddr;

use hangar_network::DenialReason;

use crate::{
    border::{Border, with_border},
    world::PUBLIC,
};

async fn at(border: &Border, name: &str) -> SocketAddr {
    (border.look_up(name).await, 80).into()
}

/// Sends one request whose answer must begin with this status, and gives what the servers saw.
async fn plain(border: &Border, request: &str, status: &str) -> Vec<String> {
    let said = border.send(at(border, "example.org").await, request.as_bytes()).await;
    assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {said:?}");
    border.world.seen.requests()
}

#[test]
fn the_host_must_be_the_one_that_was_looked_up() {
    with_border(&["example.org", "other.test"], |mut border| async move {
        border.world.name("example.org", PUBLIC);
        for head in [
            "GET / HTTP/1.1\r\nHost: other.test",
            "GET / HTTP/1.1\r\nHost: denied.test",
            "GET http://other.test/ HTTP/1.1\r\nHost: example.org",
            "GET http://example.org/ HTTP/1.1\r\nHost: other.test",
            "GET / HTTP/1.1\r\nHost: example.org:8080",
            "GET / HTTP/1.1\r\nHost: user@example.org",
            "GET / HTTP/1.1\r\nHost:",
            "GET / HTTP/1.1\r\nX: 1",
        ] {
            let seen = plain(&border, &format!("{head}\r\nConnection: close\r\n\r\n"), "421").await;
            assert!(seen.is_empty(), "{head}: {seen:?}");
        }
        assert_eq!(border.denial().await.reason, DenialReason::OtherHost);
        let said = border.curl("-H 'Host: other.test' http://example.org/").await;
        assert!(said.ends_with("421"), "{said}");
    });
}

#[test]
fn the_host_inside_tls_must_be_the_one_that_was_looked_up() {
    with_border(&["inspect example.org", "other.test"], |mut border| async move {
        border.world.name("example.org", PUBLIC);
        for version in ["--http1.1", "--http2"] {
            let said = border.curl(&format!("{version} -H 'Host: other.test' https://example.org/")).await;
            assert!(said.ends_with("421"), "{version}: {said}");
            assert!(border.curl(&format!("{version} https://example.org/")).await.ends_with("200"));
        }
        assert_eq!(border.denial().await.reason, DenialReason::OtherHost);
        assert_eq!(border.world.seen.requests().len(), 2);
    });
}

#[test]
fn no_tunnel_is_opened_and_nothing_is_repeated() {
    with_border(&["example.org", "other.test"], |mut border| async move {
        border.world.name("example.org", PUBLIC);
        border.world.name("other.test", PUBLIC);
        plain(&border, "CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\nConnection: close\r\n\r\n", "405")
            .await;
        plain(&border, "CONNECT example.org:80 HTTP/1.1\r\nHost: example.org:80\r\nConnection: close\r\n\r\n", "405")
            .await;
        plain(&border, "TRACE / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n", "405").await;
        assert_eq!(border.denial().await.reason, DenialReason::Method);
        // A proxy variable changes nothing: there is no proxy here.
        let said = border.shell("https_proxy=http://example.org:80 curl -sS https://other.test/").await;
        assert!(said.contains("405"), "{said}");
        assert!(border.world.seen.nothing());
    });
}

#[test]
fn a_length_that_is_said_twice_is_refused() {
    with_border(&["example.org"], |mut border| async move {
        border.world.name("example.org", PUBLIC);
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: example.org\r\n\r\n";
        for lengths in [
            format!("Content-Length: 0\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len()),
            format!("Content-Length: +5\r\n\r\nhello{smuggled}"),
            format!("Content-Length: 5, 5\r\n\r\nhello{smuggled}"),
            format!("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"),
            format!("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"),
            format!("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{smuggled}"),
            format!("X: 1\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ] {
            let seen = plain(&border, &format!("POST / HTTP/1.1\r\nHost: example.org\r\n{lengths}"), "400").await;
            assert!(!seen.iter().any(|request| request.starts_with("POST")), "{lengths:?}: {seen:?}");
        }
        let seen = plain(&border, "GET / HTTP/1.1\r\nHost: example.org\r\nHost: example.org\r\n\r\n", "400").await;
        assert!(!seen.iter().any(|request| request.starts_with("GET / ")), "{seen:?}");
        assert_eq!(border.denial().await.reason, DenialReason::Ambiguous);
    });
}

#[test]
fn a_length_beside_chunks_is_read_in_one_way_and_not_passed_on() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", PUBLIC);
        // A reader that believes the length would take the second request for the first one's body, and the other way round.
        let second = "GET /second HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n";
        for length in [5, second.len() + 5] {
            let first = format!("POST /echo HTTP/1.1\r\nHost: example.org\r\nContent-Length: {length}\r\n");
            let request = format!("{first}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{second}");
            let said = border.send(at(&border, "example.org").await, request.as_bytes()).await;
            // Nothing after such a request is read.
            assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{said}");
            assert!(said.contains("connection: close"), "{said}");
        }
        let seen = border.world.seen.requests();
        assert_eq!(seen, ["POST /echo HTTP/1.1\nhost: example.org\ntransfer-encoding: chunked"; 2]);
    });
}

#[test]
fn what_arrives_outside_is_written_anew() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", PUBLIC);
        let request = "POST /echo HTTP/1.1\r\nhOsT: EXAMPLE.org:80\r\nConnection: close, X-Private\r\nX-Private: 1\r\n\
                       Transfer-Encoding: chunked\r\nUpgrade: h2c\r\nProxy-Authorization: Basic x\r\nExpect: 100-continue\r\n\r\n\
                       5;extension=1\r\nhello\r\n0\r\nTrailer: 1\r\n\r\n";
        let said = border.send(at(&border, "example.org").await, request.as_bytes()).await;
        assert!(said.contains("200 OK"), "{said}");
        let seen = border.world.seen.requests().join("");
        assert_eq!(seen, "POST /echo HTTP/1.1\nhost: example.org\ntransfer-encoding: chunked");
    });
}

#[test]
fn a_pipelined_request_is_judged_like_any_other() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", PUBLIC);
        let request = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\nGET /second HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n";
        let said = border.send(at(&border, "example.org").await, request.as_bytes()).await;
        assert!(said.contains("200 OK") && said.contains("421"), "{said}");
        assert_eq!(border.world.seen.requests().len(), 1);
    });
}

#[test]
fn other_protocols_at_port_80_get_nowhere() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", PUBLIC);
        let here = at(&border, "example.org").await;
        for bytes in [
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
            b"SSH-2.0-x\r\n\r\n",
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n",
        ] {
            let said = border.send(here, bytes).await;
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
        }
        assert!(border.world.seen.nothing() && border.world.seen.names().is_empty());
    });
}

#[test]
fn hangar_itself_answers_at_its_name() {
    with_border(&[], |border| async move {
        for url in ["http://hangar.internal/x", "https://hangar.internal/x", "http://127.0.0.1/", "http://[::1]/"] {
            assert_eq!(border.curl(url).await, "hangar itself\n\n200", "{url}");
        }
        assert!(border.world.seen.names().is_empty());
        assert!(!border.home.was_visited());
    });
}

#[test]
fn large_bodies_go_through_both_ways() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", PUBLIC);
        border.shell("head -c 1500000 /dev/zero > body").await;
        for injected in [false, true] {
            if injected {
                border.credential("example.org", "s3cret-token-value");
            }
            for url in ["http://example.org", "https://example.org", "--http1.1 https://example.org"] {
                assert_eq!(border.curl(&format!("-T body -X POST {url}/length")).await, "1500000\n200", "{url}");
                let said = border.curl(&format!("-o got {url}/large; echo; wc -c <got")).await;
                assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["200", "20000000"], "{url}");
            }
        }
    });
}
