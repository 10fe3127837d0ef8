//! After a server has ended nothing of it is on the machine but its data.

use hangar_protocol::event::TurnOutcome;
use hangar_testkit::{Reply, TestServer, Traces, Transcript, Watch};

fn sessions() -> Transcript {
    Transcript::new()
        .on(
            "all",
            [
                Reply::bash("mkdir -p /tmp/scratch && echo words > /tmp/scratch/file && echo words > new.txt"),
                Reply::bash("git add -A && git commit --quiet --message words && git push --quiet origin HEAD"),
                Reply::say("Done."),
            ],
        )
        .on("background", [Reply::say("I wait.").and_bash("(setsid sleep 600 &); sleep 600"), Reply::say("Done.")])
}

#[tokio::test]
async fn a_server_that_ends_in_order_leaves_only_its_data() {
    let mut server = TestServer::start(sessions()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Do all of it.").await.id;
    assert_eq!(Watch::new(&jane, &session).turn_ended(1).await, TurnOutcome::Done);
    let waiting = jane.begin("acme/tiny", "Work in the background.").await.id;
    Watch::new(&jane, &waiting).tool_started("bash").await;
    must_be_seen(&server.traces());
    server.stop().await;
    must_be_nothing(&server.traces());
}

#[tokio::test]
async fn a_killed_server_leaves_nothing_after_its_next_life() {
    let mut server = TestServer::start(sessions()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Work in the background.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    must_be_seen(&server.traces());
    server.kill().await;
    server.restart().await;
    // The resumed turn is told that its tool was interrupted, and goes on to its end.
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    server.stop().await;
    must_be_nothing(&server.traces());
}

/// A look that finds nothing where there is much would make the other look worthless.
fn must_be_seen(traces: &Traces) {
    for kind in ["process", "cgroup", "network namespace"] {
        assert!(traces.has(kind), "no {kind} in\n{traces}");
    }
}

fn must_be_nothing(traces: &Traces) {
    assert!(traces.is_empty(), "left behind:\n{traces}");
}
