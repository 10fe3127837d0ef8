//! What one sandbox can take.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use hangar_network::DenialReason;

use crate::{border::with_border, world::PUBLIC};

#[test]
fn the_513th_connection_is_refused_and_told_and_places_come_back() {
    with_border(&["example.org"], |mut border| async move {
        border.world.name("example.org", PUBLIC);
        let at = SocketAddr::from((border.look_up("example.org").await, 443));
        let held = border.sandbox.run(move || {
            let held: Vec<TcpStream> = (0..512).map(|_| TcpStream::connect(at).unwrap()).collect();
            let mut more = TcpStream::connect(at).unwrap();
            assert_eq!(more.read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
            held
        });
        let held = held.await;
        assert_eq!(border.connections(), 512);
        assert_eq!(border.denial().await.reason, DenialReason::TooManyConnections);
        drop(held);
        let freed = async {
            while border.connections() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), freed).await.unwrap();
        assert!(border.curl("https://example.org/").await.ends_with("200"));
    });
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    with_border(&["example.org", "api.test"], |border| async move {
        border.world.name("example.org", PUBLIC);
        border.world.name("api.test", PUBLIC);
        border.credential("api.test", "s3cret-token-value");
        let at = SocketAddr::from((border.look_up("example.org").await, 80));
        // The rest of the head may be on its way when the connection ends, and then the answer is lost.
        let refused = |said: &str| assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
        let long = format!("GET / HTTP/1.1\r\nHost: example.org\r\nX: {}\r\n\r\n", "x".repeat(100_000));
        refused(&border.send(at, long.as_bytes()).await);
        let many = format!("GET / HTTP/1.1\r\nHost: example.org\r\n{}\r\n", "X: 1\r\n".repeat(200));
        refused(&border.send(at, many.as_bytes()).await);
        border.shell("printf 'X: %0100000d' 1 > long").await;
        let said = border.curl("--http2 -H @long https://api.test/").await;
        assert!(!said.ends_with("200"), "{said}");
        assert!(border.world.seen.nothing());
    });
}

#[test]
fn a_thousand_attempts_are_few_reports() {
    with_border(&[], |mut border| async move {
        let at = SocketAddr::from((border.look_up("denied.test").await, 22));
        border
            .sandbox
            .run(move || {
                for _ in 0..1_000 {
                    let mut stream = TcpStream::connect(at).unwrap();
                    let _ = stream.write_all(b"x");
                    let _ = stream.read(&mut [0; 1]);
                }
            })
            .await;
        let first = border.denial().await;
        assert_eq!((first.host.as_str(), first.port, first.count), ("denied.test", 22, 1));
        let second = border.denial().await;
        assert_eq!((second.host.as_str(), second.port, second.count), ("denied.test", 22, 999));
        assert!(border.told().is_empty());
    });
}
