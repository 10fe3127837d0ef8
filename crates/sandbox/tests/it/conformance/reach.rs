//! What can be reached from inside.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::place::Place;
use crate::bench::{output, soon};

/// Opens a connection by bash and says how that went.
fn connect(address: &str, port: u16) -> String {
    format!("(timeout 20 bash -c 'exec 3<>/dev/tcp/{address}/{port}') 2>/dev/null && echo open || echo closed")
}

pub(super) async fn every_address_is_the_borders(place: &Place) {
    let sandbox = place.sandbox("border").await;
    let mut border = sandbox.border().unwrap();
    for (address, port) in [("93.184.216.34", 443), ("169.254.169.254", 80), ("hangar.internal", 80)] {
        let listener = border.tcp.iter().find(|socket| socket.local_addr().unwrap().port() == port).unwrap();
        let answer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let wanted = stream.local_addr().unwrap().ip().to_canonical().to_string();
            let mut request = [0; 5];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(wanted.as_bytes()).await.unwrap();
            wanted
        };
        let script = format!("exec 3<>/dev/tcp/{address}/{port}; printf hello >&3; timeout 20 cat <&3");
        let (wanted, seen) = soon("the border", async { tokio::join!(answer, output(&sandbox, &script)) }).await;
        assert_eq!(wanted, seen);
        if address != "hangar.internal" {
            assert_eq!(seen, address);
        }
    }
    let mut question = [0; 8];
    let ask = "s=$(awk '/nameserver/ {print $2; exit}' /etc/resolv.conf); exec 3<>/dev/udp/$s/53; printf question >&3; timeout 20 head -c 6 <&3 || true";
    let answer = async {
        let (size, from) = border.dns.recv_from(&mut question).await.unwrap();
        assert_eq!(&question[..size], b"question");
        border.dns.send_to(b"answer", from).await.unwrap();
    };
    // An answer that comes from another address than was asked is dropped by some; what matters here is that the question comes.
    soon("a question for a name", async { tokio::join!(output(&sandbox, ask), answer) }).await;
    assert_eq!(output(&sandbox, &connect("93.184.216.34", 8080)).await, "closed\n");
    let later = border.listen(8080).await.unwrap();
    assert_eq!(output(&sandbox, &connect("93.184.216.34", 8080)).await, "open\n");
    drop(later);
    assert!(border.take(443).is_some());
    drop(border);
    sandbox.destroy().await;
}

pub(super) async fn nothing_is_reached_without_a_border(place: &Place) {
    assert!(place.shared.border().is_none());
    for address in ["93.184.216.34", "169.254.169.254", "10.0.0.1"] {
        assert_eq!(output(&place.shared, &connect(address, 80)).await, "closed\n");
    }
}

pub(super) async fn sandboxes_do_not_reach_each_other(place: &Place) {
    // A server of the host, on the host's loopback.
    let host = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = host.local_addr().unwrap().port();
    assert_eq!(output(&place.shared, &connect("127.0.0.1", port)).await, "closed\n");
    let two = place.sandbox("other").await;
    let server = "perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(Listen=>1,LocalAddr=>\"0.0.0.0\",LocalPort=>8081) or die; $|=1; print \"up\\n\"; $s->accept'";
    let mut exec = two.exec_stream(&hangar_sandbox::ExecSpec::shell(server)).await.unwrap();
    assert_eq!(&soon("the server", exec.next()).await.unwrap().unwrap().bytes[..], b"up\n");
    assert_eq!(output(&place.shared, &connect("127.0.0.1", 8081)).await, "closed\n");
    // Inside it is there.
    assert_eq!(output(&two, &connect("127.0.0.1", 8081)).await, "open\n");
    drop(exec);
    two.destroy().await;
}
