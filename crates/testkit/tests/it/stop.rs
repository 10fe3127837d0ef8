//! A stop reaches into a running tool.

use std::time::{Duration, Instant};

use hangar_protocol::{EventBody, RefusalCode, event::TurnOutcome};
use hangar_testkit::{Reply, Story, TestServer, Transcript, Watch, until, within};

/// Promised is one second; the rest is for a busy machine.
const STOP_MS_MAX: u64 = 2_000;

#[tokio::test]
async fn a_turn_ends_at_once_and_its_processes_with_it() {
    // A number no other process sleeps for.
    let nap = format!("600.{}", std::process::id());
    let command = format!("(setsid sleep {nap} &) ; sleep {nap}");
    let mut server =
        TestServer::start(Transcript::new().on("nap", [Reply::say("I nap.").and_bash(&command), Reply::say("Awake.")]))
            .await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Take a nap.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    until("both sleeps", async || (sleepers(&nap).len() == 2).then_some(())).await;
    let stopped = within("the stop", jane.client().stop(&session)).await.expect("a turn runs");
    assert_eq!(stopped.turn.0, 1);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Stopped { by: "jane".parse().unwrap() });
    let time_of = |wanted: fn(&EventBody) -> bool| {
        watch.events().iter().find(|event| wanted(&event.body)).map(|event| event.time_ms).expect("the event is there")
    };
    let asked = time_of(|body| matches!(body, EventBody::StopRequested { .. }));
    let ended = time_of(|body| matches!(body, EventBody::TurnEnded { .. }));
    assert!(ended - asked < STOP_MS_MAX, "it took {} ms:\n{}", ended - asked, Story::of(watch.events()));
    // The turn's end is told while the sandbox is still ending them.
    let told = Instant::now();
    until("the end of the tool's processes", async || sleepers(&nap).is_empty().then_some(())).await;
    assert!(told.elapsed() < Duration::from_millis(STOP_MS_MAX), "they ran on for {:?}", told.elapsed());
    let again = within("a second stop", jane.client().stop(&session)).await;
    match again {
        Err(hangar_client::Error::Refused(refusal)) => assert_eq!(refusal.code, RefusalCode::Conflict),
        other => panic!("{other:?}"),
    }
    // The session goes on.
    jane.prompt(&session, "r2", "anything").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done);
    server.stop().await;
}

fn sleepers(nap: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|number: &u32| is_sleep(*number, nap)).collect()
}

fn is_sleep(process: u32, nap: &str) -> bool {
    let words = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    words == format!("sleep\0{nap}\0").into_bytes()
}
