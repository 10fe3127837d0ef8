//! A stop ends the turn within a second, wherever it is.

use std::time::{Duration, Instant};

use hangar_agent::{TurnEnd, conversation::UNSTARTED_CALL};
use hangar_protocol::{
    EventBody,
    event::{ToolStatus, TurnOutcome},
};
use serde_json::{Value, json};

use crate::{
    log::Log,
    world::{World, calling},
};

/// Stops the turn when the log is as wanted, and says how long it took to end.
async fn stopping(world: &World, when: impl FnMut(&Log) -> bool) -> Duration {
    let stop = async {
        world.log.until(when).await;
        let began = Instant::now();
        world.stop.cancel();
        began
    };
    let (end, began) = tokio::join!(world.run(), stop);
    assert_eq!(end, TurnEnd::Stopped);
    began.elapsed()
}

fn has(log: &Log, wanted: impl Fn(&EventBody) -> bool) -> bool {
    log.bodies().iter().any(wanted)
}

const SOON: Duration = Duration::from_secs(1);

#[tokio::test]
async fn inside_a_running_command_the_whole_process_tree_is_ended() {
    let command = "sleep 1000 & echo $! > child; (sleep 1000 & echo $! > grandchild; wait) & echo $$ > own; sync; echo ready; wait";
    let world = World::of(json!([
        {"calls": [{"tool": "bash", "input": {"command": command}}, {"tool": "bash", "input": {"command": "touch after"}}]},
        {"say": "Never said."},
    ]))
    .await;
    assert!(
        stopping(&world, |log| log.live_output().contains("ready") && world.path("grandchild").exists()).await < SOON
    );
    for name in ["own", "child", "grandchild"] {
        let pid = world.text(name).trim().to_owned();
        let gone = || match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        let began = Instant::now();
        while !gone() {
            assert!(began.elapsed() < SOON, "{name} still runs");
            tokio::task::yield_now().await;
        }
    }
    let results = world.results();
    assert_eq!(results.len(), 2);
    assert!(results.iter().all(|(status, _)| *status == ToolStatus::Interrupted), "{results:?}");
    assert_eq!(results[1].1, UNSTARTED_CALL);
    assert!(!world.path("after").exists());
}

#[tokio::test]
async fn inside_a_stream_a_silence_a_pause_and_before_anything() {
    let slow = |faults: Value| {
        json!({"name": "t", "pace": {"chunk_chars": 1, "pause_ms": 30},
               "scripts": [{"replies": [{"say": "A long and slow reply that takes its time.", "faults": faults}]}]})
    };
    let in_stream = World::playing(&slow(json!([])), "Do it.").await;
    assert!(stopping(&in_stream, |log| log.shown(1).len() > 3).await < SOON);
    assert!(!has(&in_stream.log, |body| matches!(body, EventBody::ModelReplied { .. })));

    let unanswered = World::playing(&slow(json!([{"no_answer": {}}])), "Do it.").await;
    assert!(
        stopping(&unanswered, |log| has(log, |body| matches!(body, EventBody::ModelRequested { .. }))).await < SOON
    );

    let pausing = World::playing(&slow(json!([{"status": {"code": 429, "retry_after_s": 60}}])), "Do it.").await;
    assert!(stopping(&pausing, |log| has(log, |body| matches!(body, EventBody::ModelRetried { .. }))).await < SOON);

    let at_once = World::playing(&slow(json!([])), "Do it.").await;
    at_once.stop.cancel();
    assert_eq!(at_once.run().await, TurnEnd::Stopped);
}

#[tokio::test]
async fn after_every_event_and_the_next_turn_goes_on() {
    let replies = json!([
        {"say": "Look.", "calls": [{"tool": "list", "input": {}}, {"tool": "bash", "input": {"command": "echo hi"}}]},
        calling("write", json!({"path": "f", "content": "x"})),
        {"say": "Done."},
    ]);
    let whole = World::of(replies.clone()).await;
    whole.run().await;
    for place in 3..whole.log.events().len() - 1 {
        let world = World::of(replies.clone()).await;
        let stop = async {
            world.log.until(|log| log.events().len() > place).await;
            world.stop.cancel();
        };
        let (end, ()) = tokio::join!(world.run(), stop);
        assert_eq!(end, TurnEnd::Stopped, "stop after event {place}");
        assert_eq!(world.log.conversation().open_calls().count(), 0, "stop after event {place}");
        world.log.end_turn(TurnOutcome::Stopped { by: "ada".parse().unwrap() });
        // The scripted model is as strict about calls without results as a real service.
        let mut world = world;
        world.stop = tokio_util::sync::CancellationToken::new();
        world.prompt(2, "ada", "Go on.");
        assert_eq!(world.run().await, TurnEnd::Done, "stop after event {place}");
        assert!(world.last_request().contains("ada stopped the turn before this message."));
    }
}
