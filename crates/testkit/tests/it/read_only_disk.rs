//! The system finds its disk at fault and lets it only be read: what cannot be kept is refused, everything can still be looked at, and nothing is lost.

use std::fs;

use hangar_protocol::{RefusalCode, SessionState, event::TurnOutcome};
use hangar_testkit::{Reply, Setting, TestServer, Transcript, Watch, until, within};

/// Makes a disk at the first start, checks it at every other as a machine's start does, and mounts it where nobody else on the machine sees it.
const DISK: &str = r#"
set -e
disk="$HOME/../disk.ext4"; data="$HOME/../data"; mkdir -p "$data"
if [ -e "$disk" ]; then e2fsck -p "$disk" >&2 || [ $? -eq 1 ]; else truncate -s 256M "$disk"; mkfs.ext4 -q "$disk"; fi
mount -o loop,errors=remount-ro "$disk" "$data"
exec "$@"
"#;

/// The name of the disk that the server's data are on.
fn disk_of(server: &TestServer) -> String {
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", server.process())).unwrap();
    let data = server.data().display().to_string();
    let line = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some(&data)).expect("the disk is mounted");
    line.split(' ').next().unwrap().strip_prefix("/dev/").expect("a device").to_owned()
}

/// Waits until the disk of the last start is no longer mounted anywhere: two must not hold it at once.
async fn unmounted(server: &TestServer) {
    until("the end of the disk's mount", async || (!server.traces().has("loop device")).then_some(())).await;
}

#[tokio::test]
async fn a_disk_that_can_only_be_read_refuses_and_loses_nothing() {
    let says = Transcript::new().on("say", [Reply::say("Words.")]);
    let setting = Setting::new(says).wrapped(&["unshare", "--mount", "sh", "-c", DISK, "sh"]);
    let mut server = TestServer::start_with(setting).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let asleep = jane.begin("acme/tiny", "Please say it.").await.id;
    let mut of_asleep = Watch::new(&jane, &asleep);
    assert_eq!(of_asleep.turn_ended(1).await, TurnOutcome::Done);
    // All sleep after a start.
    server.stop().await;
    unmounted(&server).await;
    server.restart().await;
    let jane = server.owner().clone();
    let awake = jane.begin("acme/tiny", "Please say it.").await.id;
    let mut of_awake = Watch::new(&jane, &awake);
    assert_eq!(of_awake.turn_ended(1).await, TurnOutcome::Done);

    // What the kernel does when it reads nonsense from a disk.
    fs::write(format!("/sys/fs/ext4/{}/trigger_fs_error", disk_of(&server)), "a test").unwrap();
    for (session, id) in [(&awake, "awake"), (&asleep, "asleep")] {
        let refusal =
            jane.prompt(session, id, "Please say it again.").await.expect("an answer").expect_err("a refusal");
        assert_eq!(refusal.code, RefusalCode::Unavailable, "{refusal}");
        assert!(refusal.message.contains("disk can only be read"), "{refusal}");
        assert!(refusal.hint.contains("read-only"), "{refusal}");
    }
    let ran = server.run(&["run", "--repo", "acme/tiny", "--detach", "Please say it."]).await;
    assert_eq!(ran.refusal().code, RefusalCode::Unavailable, "{}", ran.refusal());
    assert!(ran.refusal().message.contains("disk can only be read"), "{}", ran.refusal());
    // Everything that there was is shown.
    for (session, watch) in [(&awake, &of_awake), (&asleep, &of_asleep)] {
        let log = jane.log(session).await;
        assert_eq!(watch.events(), &log[..watch.events().len()]);
        let state = within("the state", jane.client().session(session)).await.expect("it is read");
        assert_eq!(state, SessionState::fold(&log).unwrap());
    }
    assert_eq!(jane.client().sessions().await.expect("the list").len(), 2);
    // It is said once, not at every try.
    assert!(server.log().matches("the log cannot be written").count() <= 2, "{}", server.log());

    // The operator ends it, and starts it on a disk that was checked.
    server.kill().await;
    unmounted(&server).await;
    server.restart().await;
    let jane = server.owner().clone();
    for (session, id) in [(&awake, "awake"), (&asleep, "asleep")] {
        let again = until("a prompt on a sound disk", async || {
            jane.prompt(session, id, "Please say it again.").await.ok()?.ok()
        });
        let accepted = again.await;
        assert_eq!(Watch::new(&jane, session).turn_ended(accepted.prompt.0).await, TurnOutcome::Done);
    }
    for (session, watch) in [(&awake, &of_awake), (&asleep, &of_asleep)] {
        let log = jane.log(session).await;
        assert_eq!(watch.events(), &log[..watch.events().len()]);
        SessionState::fold(&log).expect("the log has no gap");
    }
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}
