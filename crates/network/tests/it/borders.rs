//! Whatever a sandbox sends: nothing breaks, and nothing is read in two ways.

use std::{net::SocketAddr, sync::Arc};

use hangar_network::borders::{Asked, Masker, Masks, Names, Reading, answer, kind_of, read};
use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RecordType},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use rustls::{ClientConfig, ClientConnection, crypto::aws_lc_rs, pki_types::ServerName, server::Acceptor};

use crate::{border::with_border, world::PUBLIC};

/// A real client's first message, in records of this size.
fn hello(name: &str, record: usize) -> Vec<u8> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut whole = Vec::new();
    client.write_tls(&mut whole).unwrap();
    let fragments = whole[5..].chunks(record);
    fragments
        .flat_map(|one| [&[22, 3, 1][..], &u16::try_from(one.len()).unwrap().to_be_bytes(), one].concat())
        .collect()
}

/// What rustls, standing for any server, takes the name to be. `None`: it wants more or refuses.
fn others_reading(bytes: &[u8]) -> Option<Option<String>> {
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut &bytes[..]).ok()?;
    let accepted = acceptor.accept().ok()??;
    Some(accepted.client_hello().server_name().map(str::to_lowercase))
}

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_hello_is_read_however_it_is_cut(name in "[a-z][a-z0-9]{0,20}\\.[a-z]{2,10}", record in 1usize..400, at in 0.0f64..1.0) {
        let whole = hello(&name, record);
        let Reading::Hello(read_as) = read(&whole) else { panic!("not read") };
        prop_assert_eq!(read_as.name.map(|name| name.to_string()), Some(name));
        prop_assert!(!read_as.encrypted);
        prop_assert_eq!(read_as.protocols, vec![b"h2".to_vec(), b"http/1.1".to_vec()]);
        let part = (whole.len() as f64 * at) as usize;
        prop_assert_eq!(read(&whole[..part]), Reading::More);
    }

    #[test]
    fn a_damaged_hello_has_no_second_reading(at in 0.0f64..1.0, to: u8, length in 0usize..3, record in prop_oneof![Just(9999usize), 20usize..200]) {
        let mut bytes = hello("good.example.org", record);
        let from = ((bytes.len() - 1) as f64 * at) as usize;
        let until = (from + length).min(bytes.len());
        bytes.splice(from..until, [to]);
        if let (Reading::Hello(ours), Some(theirs)) = (read(&bytes), others_reading(&bytes)) {
            prop_assert_eq!(ours.name.map(|name| name.to_string()), theirs);
        }
    }

    #[test]
    fn noise_is_no_hello_and_no_question(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(!matches!(read(&bytes), Reading::Hello(_)));
        let _ = answer(&bytes, &mut Names::new());
        let framed = [&[22, 3, 1, 2, 0][..], &bytes].concat();
        let _ = read(&framed);
    }

    #[test]
    fn a_damaged_question_gets_at_most_one_answer_of_ours(name in "[a-z]{1,20}(\\.[a-z]{1,20}){1,4}", at in 0.0f64..1.0, to: u8) {
        let mut question = Message::query();
        question.add_query(Query::query(Name::from_ascii(&name).unwrap(), RecordType::A));
        let mut bytes = question.to_vec().unwrap();
        let from = ((bytes.len() - 1) as f64 * at) as usize;
        bytes[from] = to;
        let mut names = Names::new();
        if let Asked::Answer(reply) = answer(&bytes, &mut names) {
            let reply = Message::from_vec(&reply).unwrap();
            prop_assert!(reply.answers.len() <= 1);
            for record in reply.answers {
                let address = record.data.ip_addr().unwrap();
                // Never an address of the world: only of the sandbox's own networks, or loopback.
                prop_assert!(kind_of(address).is_some(), "{}", address);
            }
        }
    }

    #[test]
    fn masking_does_not_depend_on_the_cuts(
        text in "[abs3cret]{0,60}",
        cuts in proptest::collection::vec(0usize..60, 0..8),
        secrets in proptest::collection::vec("[abs3cret]{1,6}", 1..4),
    ) {
        let masks = Masks::new(secrets.iter().map(|one| (one.clone().into_bytes(), b"#".to_vec())).collect()).unwrap();
        let run = |pieces: &[&[u8]]| {
            let mut held = Vec::new();
            let mut out = Vec::new();
            for piece in pieces {
                out.extend(Masker::new(&masks, &mut held).push(piece));
            }
            out.extend(Masker::new(&masks, &mut held).finish());
            String::from_utf8(out).unwrap()
        };
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
        let out = run(&pieces);
        prop_assert_eq!(&out, &run(&[text.as_bytes()]));
        for secret in &secrets {
            // What is left of a credential could only have been made by leaving out what stood between.
            prop_assert!(!out.contains(secret.as_str()), "{} in {}", secret, out);
        }
    }
}

/// Heads put together from what has confused servers.
fn heads() -> impl Strategy<Value = String> {
    let method = prop::sample::select(vec!["GET", "GET", "POST", "POST", "POST", "HEAD", "CONNECT", "GE T"]);
    let uri = prop::sample::select(vec![
        "/",
        "/",
        "/",
        "/",
        "/",
        "/",
        "*",
        "http://example.org/",
        "http://other.test/",
        "//other.test/",
        "/\tx",
        "http://example.org@other.test/",
        "example.org:80",
        "/x y",
        "",
    ]);
    let end = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n"]);
    let line = prop::sample::select(vec![
        "X: 1",
        "Accept: */*",
        "Content-Length: 3",
        "Transfer-Encoding: chunked",
        "Host: example.org",
        "Host: other.test",
        "Host:example.org",
        "Host : other.test",
        " Host: other.test",
        "Host: example.org\u{b}",
        "Content-Length: 0",
        "Content-Length: 3",
        "Content-Length: 03",
        "Content-Length: -1",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding\u{0}: chunked",
        "Connection: keep-alive, Host",
        "Connection: Content-Length",
        "Expect: 100-continue",
        "X: \u{7f}",
        "X",
        ":",
    ]);
    let lines = proptest::collection::vec((line, end.clone()), 0..3);
    let body = prop::sample::select(vec![
        "",
        "abc",
        "0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        "3;x\r\nabc\r\n0\r\nHost: other.test\r\n\r\n",
    ]);
    (method, uri, lines, end, body, prop::bool::weighted(0.9)).prop_map(|(method, uri, lines, end, body, good)| {
        let lines: String = lines.into_iter().map(|(line, end)| format!("{line}{end}")).collect();
        let host = if good { "Host: example.org\r\n" } else { "" };
        format!("{method} {uri} HTTP/1.1\r\n{host}{lines}{end}{body}")
    })
}

#[test]
fn whatever_head_is_sent_a_server_sees_a_plain_one() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", PUBLIC);
        let at = SocketAddr::from((border.look_up("example.org").await, 80));
        let mut runner = TestRunner::deterministic();
        let strategy = heads();
        let all: Vec<String> = (0..600).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
        let sent = border.sandbox.run(move || {
            use std::io::{Read, Write};
            for head in &all {
                let mut stream = std::net::TcpStream::connect(at).unwrap();
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.shutdown(std::net::Shutdown::Write);
                stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            }
            all.len()
        });
        let sent = sent.await;
        let seen = border.world.seen.requests();
        assert!(seen.len() > 20, "{} of {sent} arrived", seen.len());
        for request in &seen {
            let count = |begin: &str| request.lines().filter(|line| line.starts_with(begin)).count();
            assert!(
                request.starts_with("GET /") || request.starts_with("POST /") || request.starts_with("HEAD /"),
                "{request:?}"
            );
            assert_eq!(request.lines().filter(|line| *line == "host: example.org").count(), 1, "{request:?}");
            assert_eq!(count("host:"), 1, "{request:?}");
            assert!(count("content-length:") + count("transfer-encoding:") <= 1, "{request:?}");
            assert!(!request.contains("other.test") || request.contains("//other.test/"), "{request:?}");
        }
    });
}
