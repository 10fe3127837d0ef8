//! Clients that hang up or stall: no process stays behind, and nobody else waits for ever.

use std::path::Path;
use std::time::Duration;

use hangar_forge::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::house::{House, git, path, try_git};

/// Command lines of the processes that work below a directory.
fn processes(below: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let inside = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(below));
        if inside {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
    found
}

/// Waits until the processes below a directory are as wished; fails after ten seconds.
async fn until(below: &Path, wished: impl Fn(&[String]) -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..1000 {
        tick.tick().await;
        if wished(&processes(below)) {
            return;
        }
    }
    panic!("{:?}", processes(below));
}

/// A fetch that has begun its request and does not go on.
async fn stalled(house: &House) -> TcpStream {
    let address = house.base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // alice:tok_alice
    let head = "POST /acme/web.git/git-upload-pack HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWxpY2U6dG9rX2FsaWNl\r\n\
                Content-Type: application/x-git-upload-pack-request\r\nContent-Length: 1000\r\n\r\n0032want ";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_no_process() {
    let house = House::build().await;
    house.web().await;
    let data = house.root.path().join("forge");
    let stream = stalled(&house).await;
    until(&data, |running| running.iter().any(|line| line.contains("http-backend"))).await;
    drop(stream);
    until(&data, <[String]>::is_empty).await;
    // One that goes away in the middle of a large answer.
    let dir = house.clone("alice", "acme/web", "big").await;
    let noise: Vec<u8> =
        (0..2_000_000_u64).flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23).to_le_bytes()).collect();
    std::fs::write(dir.join("noise.bin"), noise).unwrap();
    crate::house::commit(&dir, "alice", "Noise").await;
    git(&dir, &["push", "-q", "origin", "HEAD:main"]).await;
    let tip = house.forge.resolve(&path("acme/web"), "main").await.unwrap();
    let request = format!("0032want {tip}\n00000009done\n");
    let mut answer = reqwest::Client::new()
        .post(format!("{}/acme/web.git/git-upload-pack", house.base))
        .basic_auth("alice", Some("tok_alice"))
        .header("content-type", "application/x-git-upload-pack-request")
        .body(request)
        .send()
        .await
        .unwrap();
    assert!(answer.chunk().await.unwrap().is_some());
    assert!(!processes(&data).is_empty(), "this answer was meant to be longer than all buffers");
    drop(answer);
    until(&data, <[String]>::is_empty).await;
}

#[tokio::test]
async fn a_full_house_says_so_and_recovers() {
    let limits = Limits { transfers_max: 1, queue_wait_max: Duration::from_millis(100), ..Limits::default() };
    let house = House::build_with(limits).await;
    house
        .forge
        .create_repo(hangar_forge::NewRepo { path: path("acme/web"), description: String::new() })
        .await
        .unwrap();
    let data = house.root.path().join("forge");
    let stream = stalled(&house).await;
    until(&data, |running| running.iter().any(|line| line.contains("http-backend"))).await;
    let busy = try_git(house.root.path(), &["ls-remote", &house.url("ron", "acme/web")], &[]).await;
    assert!(!busy.ok && busy.err.contains("remote: The forge is busy. Try again in a moment."), "{}", busy.err);
    drop(stream);
    until(&data, <[String]>::is_empty).await;
    git(house.root.path(), &["ls-remote", &house.url("ron", "acme/web")]).await;
}

#[tokio::test]
async fn a_transfer_that_takes_too_long_is_ended() {
    let house = House::build_with(Limits { transfer_time_max: Duration::from_millis(300), ..Limits::default() }).await;
    house
        .forge
        .create_repo(hangar_forge::NewRepo { path: path("acme/web"), description: String::new() })
        .await
        .unwrap();
    let mut stream = stalled(&house).await;
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await;
    assert!(read.is_ok() && !answer.ends_with("0\r\n\r\n"), "an answer that was cut off must not look whole: {answer}");
    until(&house.root.path().join("forge"), <[String]>::is_empty).await;
}

#[tokio::test]
async fn a_client_that_stalls_is_given_up() {
    let house = House::build_with(Limits { stall_time_max: Duration::from_millis(300), ..Limits::default() }).await;
    house
        .forge
        .create_repo(hangar_forge::NewRepo { path: path("acme/web"), description: String::new() })
        .await
        .unwrap();
    let _stream = stalled(&house).await;
    let data = house.root.path().join("forge");
    until(&data, |running| running.iter().any(|line| line.contains("http-backend"))).await;
    until(&data, <[String]>::is_empty).await;
}
