//! Ways around: other protocols, other ports, programs that know nothing of proxies.

use std::net::{SocketAddr, UdpSocket};

use hangar_network::DenialReason;

use crate::{border::with_border, world::PUBLIC};

#[test]
fn datagrams_get_nowhere() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", PUBLIC);
        let address = border.look_up("example.org").await;
        for port in [443u16, 80, 123, 5353, 51820] {
            let refused = border.sandbox.run(move || {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.connect(SocketAddr::from((address, port))).unwrap();
                socket.send(b"hello").unwrap();
                socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
                socket.recv(&mut [0; 16]).unwrap_err().kind()
            });
            assert_eq!(refused.await, std::io::ErrorKind::ConnectionRefused, "{port}");
        }
        assert!(border.world.seen.nothing());
    });
}

#[test]
fn a_raw_packet_does_not_leave() {
    with_border(&["example.org"], |border| async move {
        // As root inside, which a sandbox's programs are not: even so there is no way out of the namespace.
        let script = "import socket\n\
             s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\n\
             s.settimeout(2)\n\
             s.sendto(bytes([8,0,0xf7,0xfd,0,1,0,1]), ('93.184.216.34', 0))\n\
             print('from', s.recvfrom(100)[1][0])\n\
             print(open('/proc/net/route').read().count('\\n'))\n";
        std::fs::write(border.folder.path().join("raw.py"), script).unwrap();
        let said = border.shell("python3 raw.py; ls /sys/class/net >/dev/null; ip -o link | wc -l").await;
        // It came back from the sandbox's own loopback; there are no routes but the header, and one interface.
        assert_eq!(said, "from 93.184.216.34\n1\n1\n");
        assert!(border.world.seen.nothing());
    });
}

#[test]
fn ports_without_a_rule_are_closed() {
    with_border(&["example.org", "other.test:22"], |mut border| async move {
        border.world.name("example.org", PUBLIC);
        let said = border
            .shell("for p in 21 25 853 3128 8080; do (: </dev/tcp/example.org/$p) 2>&1 | grep -m1 -o refused$ | head -1; done")
            .await;
        assert_eq!(said, "refused\n".repeat(5));
        // A port that is listened at for another host.
        let said = border.shell("exec 3<>/dev/tcp/example.org/22; timeout 5 cat <&3").await;
        assert!(said.contains("reset by peer"), "{said}");
        let denial = border.denial().await;
        assert_eq!((denial.host.as_str(), denial.port, denial.reason), ("example.org", 22, DenialReason::NotAllowed));
        assert!(border.world.seen.names().is_empty());
    });
}

#[test]
fn a_port_that_is_allowed_is_passed_through_by_name() {
    with_border(&["example.org:22"], |border| async move {
        border.world.name("example.org", PUBLIC);
        let said = border.shell("exec 3<>/dev/tcp/example.org/22; echo ping >&3; head -2 <&3").await;
        assert_eq!(said, "hello from 93.184.216.34:22\nping\n");
    });
}

#[test]
fn programs_that_ignore_proxies_are_held_and_served_alike() {
    with_border(&["example.org"], |border| async move {
        border.world.name("example.org", PUBLIC);
        border.world.name("denied.test", PUBLIC);
        let java = r#"
import java.net.*; import java.net.http.*;
class Ask { public static void main(String[] a) throws Exception {
  for (String url : a) {
    var r = HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofString());
    System.out.println(r.statusCode());
  } } }"#;
        let node = "for (const u of process.argv.slice(2)) fetch(u).then(r => console.log(r.status), e => console.log(e.cause ?? e))";
        let python = "import sys, urllib.request, urllib.error\n\
             for url in sys.argv[1:]:\n    try: print(urllib.request.urlopen(url).status)\n    except urllib.error.HTTPError as e: print(e.code)\n";
        for (file, text) in [("Ask.java", java), ("ask.mjs", node), ("ask.py", python)] {
            std::fs::write(border.folder.path().join(file), text).unwrap();
        }
        let mut programs = vec![
            ("python3 ask.py", "https://example.org/ https://denied.test/"),
            ("node ask.mjs", "https://example.org/"),
        ];
        if border.try_shell("javac --version").await.status.success() {
            programs.push(("java Ask.java", "http://example.org/ http://denied.test/"));
        } else {
            eprintln!("no Java here: the case of the JVM was not tried");
        }
        for (program, urls) in programs {
            let said = border.shell(&format!("{program} {urls}")).await;
            let wanted = if urls.contains("denied") { "200\n403\n" } else { "200\n" };
            assert_eq!(said, wanted, "{program}");
        }
        let said = border.shell("node ask.mjs https://denied.test/").await;
        assert_eq!(said, "403\n");
        assert!(border.world.seen.requests().iter().all(|request| !request.contains("denied")));
    });
}
