//! Limits end what exceeds them, only inside, and say so.

use hangar_sandbox::{Disk, Error, ExecSpec, FailureKind, Life, LimitHit};

use crate::bench::{Bench, output, run, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_bomb_dies_alone() {
    let bench = Bench::new().await;
    let sandbox = bench.limited("memory", |limits| limits.memory_bytes = 96 << 20).await;
    let mut bystander = sandbox.exec_stream(&ExecSpec::shell("echo up; read never")).await.unwrap();
    bystander.next().await.unwrap();
    let done = soon("the bomb's end", run(&sandbox, "perl -e '$x = \"x\" x (400<<20); print length $x'")).await;
    assert!(!done.ended.status.success());
    assert_eq!(done.ended.limit, Some(LimitHit::Memory));
    let mut health = sandbox.health();
    let seen = soon("the news", health.wait_for(|health| health.oom_kills > 0)).await.unwrap().clone();
    assert_eq!(seen.life, Life::Running);
    sandbox.ping().await.unwrap();
    assert_eq!(output(&sandbox, "echo fine").await, "fine\n");
    // Files in memory cannot use all of it up, so they leave room to run something.
    let full =
        soon("its end", run(&sandbox, "head -c 400M /dev/zero > /tmp/big; head -c 400M /dev/zero > /dev/shm/big"))
            .await;
    assert_eq!(String::from_utf8_lossy(&full.stderr).matches("No space left").count(), 2);
    assert_eq!(output(&sandbox, "echo fine").await, "fine\n");
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_is_bounded_and_can_be_stopped() {
    let bench = Bench::new().await;
    let sandbox = bench.limited("forks", |limits| limits.processes = 100).await;
    let bomb = sandbox.exec_stream(&ExecSpec::shell("f() { f | f & }; f; sleep 1111")).await.unwrap();
    let mut health = sandbox.health();
    soon("the limit", health.wait_for(|health| health.processes_refused > 0)).await.unwrap();
    let guest = crate::bench::guest("forks").unwrap();
    assert!(crate::bench::tree(guest.pid).len() <= 100);
    drop(bomb);
    soon("room for a command", async {
        while !sandbox.exec(&ExecSpec::argv(["true"])).await.is_ok_and(|done| done.ended.status.success()) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    soon("the bomb's end", async {
        // What waits for the next command stays.
        let of_bomb = |seen: &&crate::bench::Seen| seen.state != 'Z' && seen.name != "hangar-exec";
        while crate::bench::tree(guest.pid).iter().filter(of_bomb).count() > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_growth_until_files_are_deleted() {
    let bench = Bench::new().await;
    let sandbox = bench.limited("disk", |limits| limits.disk_bytes = 30 << 20).await;
    let script = "while head -c 5M /dev/urandom >> big; do :; done";
    let done = soon("the end of growing", run(&sandbox, script)).await;
    assert_eq!(done.ended.limit, Some(LimitHit::Disk));
    let mut health = sandbox.health();
    let seen = soon("the news", health.wait_for(|health| health.disk != Disk::Fine)).await.unwrap().disk;
    assert!(matches!(seen, Disk::Full { bytes, .. } if bytes > 30 << 20), "{seen:?}");
    // Nothing grows now, by a command or by the host, but deleting works.
    assert!(!run(&sandbox, "echo x > new").await.ended.status.success());
    let refused = sandbox.write("other", b"x").await.unwrap_err();
    assert!(matches!(refused, Error::Guest(ref failure) if failure.kind == FailureKind::DiskFull), "{refused}");
    output(&sandbox, "rm big").await;
    soon("room", health.wait_for(|health| health.disk == Disk::Fine)).await.unwrap();
    soon("writing", async {
        while sandbox.write("other", b"x").await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    output(&sandbox, "echo x > new").await;
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_files_count_too() {
    let bench = Bench::new().await;
    let sandbox = bench.limited("inodes", |limits| limits.disk_files = 2000).await;
    let done = soon("the end", run(&sandbox, "mkdir d; for i in $(seq 1 100000); do : > d/$i; done; sleep 1111")).await;
    assert_eq!(done.ended.limit, Some(LimitHit::Disk));
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_and_one_process_are_bounded() {
    let bench = Bench::new().await;
    let sandbox = bench
        .limited("single", |limits| {
            limits.file_bytes = 1 << 20;
            limits.open_files = 64;
            limits.tmp_bytes = 2 << 20;
        })
        .await;
    assert!(!run(&sandbox, "head -c 2M /dev/zero > big").await.ended.status.success());
    assert_eq!(output(&sandbox, "stat -c %s big; ulimit -n; ulimit -c").await, "1048576\n64\n0\n");
    let full = run(&sandbox, "for i in 1 2 3 4; do head -c 1000K /dev/zero > /tmp/$i || exit 1; done").await;
    assert!(String::from_utf8_lossy(&full.stderr).contains("No space left"));
    // The limit cannot be raised again.
    assert!(!run(&sandbox, "ulimit -n 1000").await.ended.status.success());
    sandbox.destroy().await;
}
