//! The border is the only way out.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bench::{Bench, output, soon};

/// Opens a connection by bash and says how that went.
fn connect(address: &str, port: u16) -> String {
    format!(
        "(exec 3<>/dev/tcp/{address}/{port}) 2>&1 | grep -oE 'refused|unreachable|resolve|failure|not known|Invalid' | head -1; true"
    )
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
    for address in ["93.184.216.34", "169.254.169.254", "10.0.0.1", "8.8.8.8"] {
        assert_eq!(output(&sandbox, &connect(address, 443)).await, "unreachable\n", "{address}");
    }
    assert_ne!(output(&sandbox, &connect("example.org", 443)).await, "");
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "a refusal must not be a time-out");
    assert_eq!(output(&sandbox, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '").await, "lo\n");

    let border = sandbox.border().unwrap();
    assert!(sandbox.border().is_none());
    let serve = async {
        let (mut stream, _) = border.accept().await.unwrap();
        let mut request = [0; 5];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(&request, b"hello");
        stream.write_all(b"world\n").await.unwrap();
    };
    let ask = output(&sandbox, "exec 3<>/dev/tcp/hangar.internal/80; printf hello >&3; cat <&3");
    let ((), answer) = soon("the border's answer", async { tokio::join!(serve, ask) }).await;
    assert_eq!(answer, "world\n");
    // Once the host stops listening, the way is closed.
    drop(border);
    assert_eq!(output(&sandbox, &connect("hangar.internal", 80)).await, "refused\n");
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
