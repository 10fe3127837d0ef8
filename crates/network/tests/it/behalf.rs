//! What hangar asks on a sandbox's behalf is held to the sandbox's rules, and has its credentials.

use std::time::Duration;

use hangar_network::{DenialReason, How, Origin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::{
    border::{Border, with_border},
    world::PUBLIC,
};

/// What is answered to a request, until the connection ends.
async fn ask(border: &Border, url: &str, head: &str) -> String {
    let (mut ours, theirs) = duplex(1024);
    let (behalf, origin) = (border.network.as_ref().unwrap().behalf(), Origin::parse(url).unwrap());
    let serving = async move { behalf.serve(theirs, &origin).await };
    let asking = async move {
        let request = format!("GET {url} HTTP/1.1\r\n{head}connection: close\r\n\r\n");
        ours.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        ours.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(serving, asking).1 }).await.unwrap()
}

#[test]
fn the_rules_and_the_credentials_are_those_of_the_sandbox() {
    with_border(&["api.test", "plain.test"], |mut border| async move {
        for name in ["api.test", "plain.test", "other.test"] {
            border.world.name(name, PUBLIC);
        }
        border.inject("api.test", "a-s3cret-value-of-the-api", How::bearer());
        let said = ask(&border, "https://api.test/echo", "host: api.test\r\nauthorization: Bearer mine\r\n").await;
        assert!(said.starts_with("HTTP/1.1 200") && said.contains("[hidden by hangar]"), "{said}");
        let said = ask(&border, "http://plain.test/echo", "host: plain.test\r\n").await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        let seen = border.world.seen.requests();
        assert_eq!(seen.len(), 2);
        assert!(
            seen[0].contains("authorization: Bearer a-s3cret-value-of-the-api") && !seen[0].contains("mine"),
            "{seen:?}"
        );

        let said = ask(&border, "https://other.test/", "host: other.test\r\n").await;
        assert!(said.starts_with("HTTP/1.1 403") && said.contains("A person can allow it"), "{said}");
        assert_eq!(border.denial().await.reason, DenialReason::NotAllowed);
        // A stream leads to its own origin alone.
        let said = ask(&border, "https://api.test/", "host: other.test\r\n").await;
        assert!(said.starts_with("HTTP/1.1 421"), "{said}");
        assert_eq!(border.world.seen.requests().len(), 2);
        assert_eq!(border.connections(), 0);
    });
}

#[test]
fn what_is_inner_is_refused_where_no_operator_trusts_it() {
    with_border(&["inner.test"], |mut border| async move {
        border.world.name("inner.test", std::net::Ipv4Addr::LOCALHOST);
        let said = ask(&border, "http://inner.test/", "host: inner.test\r\n").await;
        assert!(said.contains("the name leads to the machine that hangar runs on"), "{said}");
        assert!(matches!(border.denial().await.reason, DenialReason::Address(_)));
        assert!(!border.home.was_visited());
    });
}
