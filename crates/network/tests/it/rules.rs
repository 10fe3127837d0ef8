//! What is allowed, and what happens when that changes.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use hangar_network::{DenialReason, HostName, Rule, Target};

use crate::{border::with_border, world::PUBLIC};

#[test]
fn what_no_rule_names_is_refused_with_words_and_nothing_leaves() {
    with_border(&["example.org"], |mut border| async move {
        border.world.name("other.test", PUBLIC);
        for scheme in ["http", "https"] {
            let said = border.curl(&format!("{scheme}://other.test/")).await;
            assert!(said.contains("may not reach it. A person can allow it") && said.ends_with("403"), "{said}");
            let denial = border.denial().await;
            assert_eq!(
                (denial.host.as_str(), denial.reason, denial.count),
                ("other.test", DenialReason::NotAllowed, 1)
            );
        }
        assert!(border.world.seen.nothing());
        assert!(border.world.seen.names().is_empty(), "no name server was asked for a name that is not allowed");
    });
}

#[test]
fn a_sandbox_that_was_not_told_to_trust_hangar_gets_a_plain_refusal() {
    with_border(&[], |mut border| async move {
        border.change(|policy| policy.rules.clear());
        border.world.name("other.test", PUBLIC);
        let said = border.curl("https://other.test/").await;
        assert!(said.contains("alert access denied"), "{said}");
        assert_eq!(border.denial().await.reason, DenialReason::NotAllowed);
        assert!(border.world.seen.names().is_empty());
    });
}

#[test]
fn an_approval_holds_at_once_and_its_end_cuts_what_runs() {
    with_border(&[], |border| async move {
        border.world.name("other.test", PUBLIC);
        assert!(border.curl("http://other.test/").await.ends_with("403"));
        let target = Target::Name(HostName::parse("other.test").unwrap());
        border.change(|policy| {
            policy.rules.push(Rule::approved(&target, 80));
            policy.rules.push(Rule::approved(&target, 5432));
        });
        assert!(border.curl("http://other.test/").await.ends_with("200"));
        let address = SocketAddr::from((border.look_up("other.test").await, 5432));
        let mut raw = border
            .sandbox
            .run(move || {
                let mut raw = TcpStream::connect(address).unwrap();
                raw.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let mut hello = [0; 512];
                let count = raw.read(&mut hello).unwrap();
                assert!(hello[..count].starts_with(b"hello from 93.184.216.34:5432"));
                raw.write_all(b"ping").unwrap();
                assert_eq!(raw.read(&mut hello).unwrap(), 4);
                raw
            })
            .await;
        border.change(|policy| policy.rules.clear());
        let ended = border.sandbox.run(move || raw.read(&mut [0; 16]).map_err(|error| error.kind())).await;
        assert_eq!(ended, Err(std::io::ErrorKind::ConnectionReset));
        assert!(border.curl("http://other.test/").await.ends_with("403"));
    });
}

#[test]
fn when_the_network_closes_every_connection_ends() {
    with_border(&["other.test:5432"], |mut border| async move {
        border.world.name("other.test", PUBLIC);
        let address = SocketAddr::from((border.look_up("other.test").await, 5432));
        let mut raw = border
            .sandbox
            .run(move || {
                let mut raw = TcpStream::connect(address).unwrap();
                raw.read_exact(&mut [0; 5]).unwrap();
                raw
            })
            .await;
        assert_eq!(border.connections(), 1);
        let network = border.network.take().unwrap();
        tokio::time::timeout(Duration::from_secs(10), network.close()).await.expect("everything ends");
        let left = border.sandbox.run(move || {
            let mut rest = Vec::new();
            // Ended or reset: nothing more comes.
            let _ = raw.read_to_end(&mut rest);
            TcpStream::connect(address).map(|_| ()).map_err(|error| error.kind())
        });
        assert_eq!(left.await, Err(std::io::ErrorKind::ConnectionRefused));
    });
}
