//! The border is the only way out.

use hangar_sandbox::Sandbox;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::bench::{Bench, output, soon};

/// Opens a connection by bash and says how that went.
fn connect(address: &str, port: u16) -> String {
    format!(
        "(exec 3<>/dev/tcp/{address}/{port}) 2>&1 | grep -oE 'refused|unreachable|resolve|failure|not known|Invalid' | head -1; true"
    )
}

/// Connects from inside, answers at the border, and returns the address that was wanted.
async fn talk(sandbox: &Sandbox, listener: &TcpListener, address: &str, port: u16) -> String {
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 5];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(&request, b"hello");
        stream.write_all(b"world\n").await.unwrap();
        let wanted = stream.local_addr().unwrap();
        assert_eq!(wanted.port(), port);
        wanted.ip().to_canonical().to_string()
    };
    let script = format!("exec 3<>/dev/tcp/{address}/{port}; printf hello >&3; cat <&3");
    let (wanted, answer) = soon("the border's answer", async { tokio::join!(serve, output(sandbox, &script)) }).await;
    assert_eq!(answer, "world\n");
    wanted
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_border_can_be_reached() {
    let bench = Bench::new().await;
    // A server of the host, on the host's loopback.
    let host = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = host.local_addr().unwrap().port();
    let sandbox = bench.sandbox("network").await;
    let started = std::time::Instant::now();
    assert_eq!(output(&sandbox, &connect("127.0.0.1", port)).await, "refused\n");
    for address in ["93.184.216.34", "169.254.169.254", "10.0.0.1", "8.8.8.8", "2001:4860:4860::8888"] {
        assert_eq!(output(&sandbox, &connect(address, 8080)).await, "refused\n", "{address}");
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "a refusal must not be a time-out");
    assert_eq!(output(&sandbox, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '").await, "lo\n");

    let mut border = sandbox.border().unwrap();
    assert!(sandbox.border().is_none());
    let ports: Vec<u16> = border.tcp.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    assert_eq!(ports, [80, 443, 22, 53]);
    let http = border.take(80).unwrap();
    assert_eq!(talk(&sandbox, &http, "hangar.internal", 80).await, "127.0.0.1");
    // Every address is the border's, and the socket tells which one was wanted.
    let tls = border.take(443).unwrap();
    for address in ["93.184.216.34", "169.254.169.254", "2001:4860:4860::8888"] {
        assert_eq!(talk(&sandbox, &tls, address, 443).await, address);
    }
    // Names are asked for at whatever address.
    let mut question = [0; 8];
    let ask = output(&sandbox, "exec 3<>/dev/udp/127.0.0.1/53; printf question >&3; timeout 20 head -c 6 <&3");
    let answer = async {
        let (size, from) = border.dns.recv_from(&mut question).await.unwrap();
        assert_eq!(&question[..size], b"question");
        border.dns.send_to(b"answer", from).await.unwrap();
    };
    assert_eq!(soon("a name", async { tokio::join!(ask, answer) }).await.0, "answer");
    // Ports can be opened later.
    assert_eq!(output(&sandbox, &connect("10.1.2.3", 5432)).await, "refused\n");
    let later = border.listen(5432).await.unwrap();
    assert_eq!(talk(&sandbox, &later, "10.1.2.3", 5432).await, "10.1.2.3");
    let twice = border.listen(5432).await.unwrap_err();
    assert!(twice.to_string().contains("5432"), "{twice}");
    // Once the host stops listening, the way is closed.
    drop((border, http, later));
    assert_eq!(output(&sandbox, &connect("hangar.internal", 80)).await, "refused\n");
    assert_eq!(output(&sandbox, &connect("10.1.2.3", 5432)).await, "refused\n");
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sandboxes_do_not_reach_each_other() {
    let bench = Bench::new().await;
    let (one, two) = (bench.sandbox("left").await, bench.sandbox("right").await);
    let server = "perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(Listen=>1,LocalAddr=>\"0.0.0.0\",LocalPort=>8080) or die; $|=1; print \"up\\n\"; $s->accept'";
    let mut exec = one.exec_stream(&hangar_sandbox::ExecSpec::shell(server)).await.unwrap();
    assert_eq!(&soon("the server", exec.next()).await.unwrap().unwrap().bytes[..], b"up\n");
    assert_eq!(output(&two, &connect("127.0.0.1", 8080)).await, "refused\n");
    // Abstract sockets belong to the network namespace, shared memory to the IPC namespace.
    let ids = |sandbox| output(sandbox, "for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done");
    let (left, right) = (ids(&one).await, ids(&two).await);
    for (left, right) in left.lines().zip(right.lines()) {
        assert_ne!(left, right);
    }
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        let host = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert!(!left.contains(&*host.to_string_lossy()), "{kind}");
    }
    one.destroy().await;
    two.destroy().await;
}
