//! The machine's clock jumps by years, ahead and back, between two lives of the server and while it works: events keep their order, what was
//! promised is kept, and every session is listed once.

use std::{fs, path::Path, time::SystemTime};

use hangar_client::SessionFilter;
use hangar_protocol::{Event, SessionId, api::SessionSummary};
use hangar_testkit::{Ground, Person, Promises, Reply, Setting, TestServer, Transcript, Watch, until};

const DAY_S: i64 = 24 * 3600;
/// Nothing in this test lasts as long.
const NEAR_S: i64 = 3600;

/// When the clock jumps.
#[derive(Clone, Copy, Debug)]
enum When {
    Running,
    Down,
}

/// How far the clock is ahead of the machine's, one after the other.
const JUMPS: [(When, i64); 6] = [
    (When::Down, 400 * DAY_S),
    (When::Running, 0),
    (When::Down, -400 * DAY_S),
    (When::Running, DAY_S),
    (When::Running, -DAY_S),
    (When::Down, 0),
];

#[tokio::test]
async fn whatever_the_clock_says_events_keep_their_order_and_lists_are_whole() {
    let notes = Ground::new();
    let ahead_in = notes.path().join("ahead");
    fs::write(&ahead_in, "0").unwrap();
    let says = Transcript::new().on("work", [Reply::bash("date >> dates.txt; wc -l < dates.txt"), Reply::say("Done.")]);
    let setting = Setting::new(says)
        .program(Path::new(env!("CARGO_BIN_EXE_server-try")))
        .env("HANGAR_CLOCK_AHEAD_IN", ahead_in.to_str().unwrap());
    let mut server = TestServer::start_with(setting).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let mut promises = Promises::default();
    let old = jane.begin("acme/tiny", "Please work.").await.id;
    let mut watch = Watch::new(&jane, &old);
    watch.turn_ended(1).await;
    let mut prompts = 1;
    let mut sessions = vec![old.clone()];
    for (when, ahead_s) in JUMPS {
        match when {
            When::Running => fs::write(&ahead_in, ahead_s.to_string()).unwrap(),
            When::Down => {
                server.kill().await;
                fs::write(&ahead_in, ahead_s.to_string()).unwrap();
                server.restart().await;
            }
        }
        // The old session goes on at the new time.
        loop {
            prompts += 1;
            let id = format!("work-{prompts}");
            let accepted = jane.prompt(&old, &id, "Please work on.").await.unwrap().unwrap();
            promises.acknowledged(&old, &id, "Please work on.", accepted.prompt);
            watch.turn_ended(prompts).await;
            if watch.events().last().is_some_and(|last| is_near(last, ahead_s)) {
                break;
            }
        }
        let new = jane.begin("acme/tiny", "Please work.").await.id;
        let mut of_new = Watch::new(&jane, &new);
        of_new.turn_ended(1).await;
        assert!(of_new.events().iter().all(|event| is_near(event, ahead_s)), "{when:?} {ahead_s}");
        promises.saw(&new, of_new.events());
        sessions.push(new);
    }
    promises.saw(&old, watch.events());
    promises.kept(&jane).await;
    sessions.sort();
    // The list is told a moment later.
    until("the list", async || (listed(&jane).await == sessions).then_some(())).await;
    server.stop().await;
    let data = server.data().display().to_string();
    let compared = server.run(&["rebuild", "--check", "--data", &data]).await;
    assert_eq!(compared.code, Some(0), "{}{}", compared.out, compared.err);
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

fn is_near(event: &Event, ahead_s: i64) -> bool {
    let machine = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let event_s = i64::try_from(event.time_ms / 1_000).unwrap();
    (event_s - i64::try_from(machine).unwrap() - ahead_s).abs() < NEAR_S
}

/// Every session in the list, page by page, each page of one; sorted by id.
async fn listed(jane: &Person) -> Vec<SessionId> {
    let mut all: Vec<SessionSummary> = Vec::new();
    loop {
        let filter = SessionFilter { limit: Some(1), after: all.last().cloned(), ..SessionFilter::default() };
        let page = jane.client().list_sessions(&filter).await.unwrap();
        let Some(next) = page.into_iter().next() else { break };
        assert!(all.last().is_none_or(|last| last.updated_ms >= next.updated_ms), "newest first");
        all.push(next);
    }
    let mut ids: Vec<SessionId> = all.into_iter().map(|session| session.id).collect();
    ids.sort();
    ids
}
