//! Group 6: what can be reached without the border. What the border itself lets through is tested where it is.

use std::time::Duration;

use futures::future::BoxFuture;
use libc::{EACCES, EPERM};

use super::{
    arena::{Arena, check, said},
    case::Case,
};

pub(crate) const CASES: &[Case] = &[
    Case::scene("host-loopback", "SSRF to the host", "connect to a server on the host's loopback", host_loopback),
    Case::scene(
        "host-addresses",
        "SSRF to the host",
        "connect to a server on every address of the host",
        host_addresses,
    ),
    Case::scene("host-datagrams", "UDP", "send a datagram to the host", host_datagrams),
    Case::scene("host-abstract", "CVE-2020-15257", "connect to an abstract socket of the host", host_abstract),
    Case::scene("host-path-socket", "docker.sock", "connect to a socket in the host's file system", host_path_socket),
    Case::scene("other-sandbox-tcp", "isolation of sessions", "connect to a server in another sandbox", other_tcp),
    Case::scene(
        "other-sandbox-abstract",
        "isolation of sessions",
        "connect to an abstract socket of another sandbox",
        other_abstract,
    ),
    Case::scene(
        "metadata",
        "cloud metadata (169.254.169.254, fd00:ec2::254)",
        "reach the cloud's metadata service",
        metadata,
    ),
    Case::script(
        "devices",
        "network_namespaces(7)",
        "find a network device beside loopback",
        "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '",
        "lo",
    ),
    Case::script(
        "neighbours",
        "network_namespaces(7)",
        "see connections or addresses of the host",
        "tail -n +2 /proc/net/arp 2>/dev/null | wc -l; tail -n +2 /proc/net/route | wc -l",
        "0\n0",
    ),
    Case::script(
        "add-device",
        "CVE-2022-25636 family",
        "add a network device",
        "ip link add d0 type dummy 2>/dev/null && echo added; ip link add v0 type veth 2>/dev/null && echo added; ip tuntap add t0 mode tun 2>/dev/null && echo added; echo end",
        "end",
    ),
    Case::script(
        "change-address",
        "rtnetlink(7)",
        "change addresses, routes or the loopback device",
        "ip addr add 10.9.9.9/8 dev lo 2>/dev/null && echo added; ip route add default dev lo 2>/dev/null && echo added; ip route flush table local 2>/dev/null && echo flushed; ip link set lo down 2>/dev/null && echo down; echo end",
        "end",
    ),
    Case::call("firewall", "CVE-2021-22555", "replace the firewall's tables", "54 k:2:1:0 0 64 b:96 96", EPERM),
    Case::call("raw-ip", "raw(7)", "send raw packets", "41 2 3 1", EPERM),
    Case::call("raw-ip6", "raw(7)", "send raw IPv6 packets", "41 10 3 58", EPERM),
    Case::call("ping", "icmp(7)", "ping the host or the world", "41 2 2 1", EACCES),
    Case::script(
        "proxy-variables",
        "bypass of proxies",
        "find a proxy to bypass, or one that is set",
        "env | grep -ic proxy",
        "0",
    ),
    Case::script(
        "bind-all",
        "listening",
        "take the port of the border from the host",
        "perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => \"0.0.0.0\", LocalPort => 80) ? \"took\\n\" : \"end\\n\"'",
        "end",
    ),
];

/// `attempt connect` must not get through.
async fn unreachable(arena: &Arena, address: &str, port: u16) -> Result<(), String> {
    let seen = arena.attempt(&format!("connect '{address}' {port}")).await;
    check(seen.starts_with("errno"), || format!("{address} port {port}: {seen}"))
}

fn host_loopback(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        let port = server.local_addr().map_err(|error| error.to_string())?.port();
        for address in ["127.0.0.1", "127.1.2.3", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]"] {
            unreachable(arena, address, port).await?;
        }
        nobody_came(&server).await
    })
}

async fn nobody_came(server: &tokio::net::TcpListener) -> Result<(), String> {
    let came = tokio::time::timeout(Duration::from_millis(20), server.accept()).await;
    check(came.is_err(), || "somebody came to the host's server".into())
}

fn host_addresses(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let server = tokio::net::TcpListener::bind("0.0.0.0:0").await.map_err(|error| error.to_string())?;
        let port = server.local_addr().map_err(|error| error.to_string())?.port();
        let trie = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
        let lines: Vec<&str> = trie.lines().collect();
        let mut own: Vec<&str> = lines
            .windows(2)
            .filter(|pair| pair[1].contains("host LOCAL"))
            .filter_map(|pair| pair[0].split_whitespace().last())
            .collect();
        own.sort_unstable();
        own.dedup();
        for address in own {
            unreachable(arena, address, port).await?;
        }
        nobody_came(&server).await
    })
}

fn host_datagrams(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        let port = server.local_addr().map_err(|error| error.to_string())?.port();
        arena.script(&format!("for i in 1 2 3; do echo x >/dev/udp/127.0.0.1/{port}; done 2>/dev/null")).await;
        let mut bytes = [0; 8];
        let came = tokio::time::timeout(Duration::from_millis(50), server.recv(&mut bytes)).await;
        check(came.is_err(), || "a datagram came to the host".into())
    })
}

fn host_abstract(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move { unreachable(arena, &format!("@{}", arena.canaries.name), 0).await })
}

fn host_path_socket(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let path = arena.canaries.socket();
        let script = format!(
            "perl -e 'use Socket; socket S, PF_UNIX, SOCK_STREAM, 0; print connect(S, sockaddr_un(\"{path}\")) ? \"connected\" : \"no\"'"
        );
        let seen = arena.script(&script).await;
        check(seen == "no", || seen)
    })
}

fn other_tcp(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let other = arena.another("server", |_| {}).await;
        let up = said(&other, "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 1, LocalAddr => \"0.0.0.0\", LocalPort => 8123) or die; print \"up\\n\"; close STDOUT; close STDERR; fork and exit; sleep 100'").await;
        let seen = unreachable(arena, "127.0.0.1", 8123).await;
        let there = said(&other, "/tmp/attempt connect 127.0.0.1 8123").await;
        other.destroy().await;
        check(up == "up" && there == "ok", || format!("the server itself: {up:?} {there:?}"))?;
        seen
    })
}

fn other_abstract(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let other = arena.another("listener", |_| {}).await;
        let up = said(&other, "perl -e 'use Socket; socket S, PF_UNIX, SOCK_STREAM, 0; bind S, pack(\"S a*\", 1, \"\\0nest\") or die; listen S, 5; print \"up\\n\"; close STDOUT; close STDERR; fork and exit; sleep 100'").await;
        let seen = unreachable(arena, "@nest", 0).await;
        let there = said(&other, "/tmp/attempt connect @nest 0").await;
        other.destroy().await;
        check(up == "up" && there == "ok", || format!("the listener itself: {up:?} {there:?}"))?;
        seen
    })
}

fn metadata(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        // A port at which no border listens: nothing leaves, whatever the address.
        for address in [
            "169.254.169.254",
            "[fd00:ec2::254]",
            "10.0.0.1",
            "192.168.0.1",
            "172.16.0.1",
            "100.100.100.200",
            "8.8.8.8",
            "[2001:4860:4860::8888]",
        ] {
            unreachable(arena, address, 8080).await?;
        }
        Ok(())
    })
}
