//! The tools that reach other sessions: what they say, and that each does the same once and twice.

use std::sync::Arc;

use hangar_agent::TurnEnd;
use hangar_protocol::{ChildPhase, EventBody, event::ToolStatus};
use serde_json::{Value, json};

use crate::{log::Log, world::World};

fn task() -> Value {
    json!([
        {"say": "Two at once.", "calls": [
            {"tool": "spawn_session", "input": {"prompt": "Look into web.", "repo": "acme/web", "title": "Web", "budget_percent": 40}},
            {"tool": "spawn_session", "input": {"prompt": "Look into app.", "repo": "acme/app"}},
        ]},
        {"calls": [{"tool": "session_status", "input": {}}]},
        {"calls": [{"tool": "wait_sessions", "input": {}}]},
        {"calls": [
            {"tool": "message_session", "input": {"session": "https://hangar.example/s/child1", "text": "Look again."}},
            {"tool": "session_status", "input": {"session": "child1"}},
            {"tool": "cancel_session", "input": {"session": "child2"}},
        ]},
        {"say": "Both looked."},
    ])
}

fn outputs(log: &Log) -> Vec<(ToolStatus, String)> {
    let output = |body: EventBody| match body {
        EventBody::ToolFinished { status, output, .. } => Some((status, output)),
        _ => None,
    };
    log.bodies().into_iter().filter_map(output).collect()
}

#[tokio::test]
async fn an_agent_begins_others_and_reads_what_came_of_them() {
    let world = World::of(task()).await;
    assert_eq!(world.run().await, TurnEnd::Done);
    let outputs = outputs(&world.log);
    assert!(outputs.iter().all(|(status, _)| *status == ToolStatus::Ok), "{outputs:?}");
    let texts: Vec<&str> = outputs.iter().map(|(_, output)| output.as_str()).collect();
    assert!(texts[0].starts_with("Session child1 works on acme/web: Web\n"), "{}", texts[0]);
    assert!(texts[1].starts_with("Session child2 works on acme/app: Look into app.\n"), "{}", texts[1]);
    assert_eq!(texts[2], "child1 working · acme/web · Web\nchild2 working · acme/app · Look into app.\n");
    assert_eq!(
        texts[3],
        "child1 done · acme/web hangar/child1 · Web\nlast words:\nI did: Web\n\n\
         child2 done · acme/app hangar/child2 · Look into app.\nlast words:\nI did: Look into app.\n"
    );
    assert_eq!(texts[4], "Said to child1.");
    assert!(texts[5].starts_with("child1 working"), "what is asked comes after what is done: {}", texts[5]);
    assert_eq!(texts[6], "child2 is being stopped.");
    world.log.family(|family| {
        assert_eq!(family.wishes.iter().map(|wish| wish.budget_percent).collect::<Vec<_>>(), [40, 25]);
        assert_eq!(family.children[1].phase, ChildPhase::Stopped);
    });
    assert_eq!(world.claims.load(std::sync::atomic::Ordering::SeqCst), 0, "none of them needs a sandbox");
}

#[tokio::test]
async fn what_makes_no_sense_is_told_to_the_model() {
    let call = |tool: &str, input: Value| json!({"tool": tool, "input": input});
    let world = World::of(json!([
        {"calls": [
            call("spawn_session", json!({"prompt": "p", "repo": "nowhere"})),
            call("spawn_session", json!({"prompt": "p", "budget_percent": 0})),
            call("session_status", json!({"session": "no id!"})),
            call("session_status", json!({"session": "stranger"})),
            call("message_session", json!({"session": "stranger", "text": "hello"})),
            call("message_session", json!({"session": "stranger", "text": " "})),
            call("session_status", json!({})),
        ]},
        {"say": "Nothing."},
    ]))
    .await;
    assert_eq!(world.run().await, TurnEnd::Done);
    let outputs = outputs(&world.log);
    let ok: Vec<bool> = outputs.iter().map(|(status, _)| *status == ToolStatus::Ok).collect();
    assert_eq!(ok, [false, false, false, false, false, false, true], "{outputs:?}");
    assert_eq!(outputs[1].1, "budget_percent is 1 to 100.");
    assert_eq!(outputs[2].1, "\"no id!\" is no session id.");
    assert_eq!(
        (outputs[3].1.as_str(), outputs[4].1.as_str()),
        ("There is no session stranger.", "There is no session stranger.")
    );
    assert_eq!((outputs[5].1.as_str(), outputs[6].1.as_str()), ("The text is empty.", "This session has begun none."));
}

#[tokio::test]
async fn cut_off_anywhere_each_call_begins_one_session_and_says_its_words_once() {
    let whole = World::of(task()).await;
    assert_eq!(whole.run().await, TurnEnd::Done);
    for cut in 3..whole.log.events().len() {
        let world = World::of(task()).await;
        world.log.cut_after(cut);
        assert_eq!(world.run().await, TurnEnd::Over, "cut at {cut}");
        let resumed = Arc::new(Log::of(world.log.events(), world.log.blobs()));
        // Other sessions live on.
        let before = world.log.family(|family| family.clone());
        resumed.family(|family| *family = before);
        assert_eq!(world.run_on(resumed.clone()).await, TurnEnd::Done, "cut at {cut}");
        resumed.family(|family| assert_eq!((family.children.len(), family.said.len()), (2, 1), "cut at {cut}"));
        let outputs = outputs(&resumed);
        assert_eq!(outputs.len(), 7, "cut at {cut}");
        assert!(outputs.iter().all(|(status, _)| *status == ToolStatus::Ok), "cut at {cut}: {outputs:?}");
        let started = resumed.bodies().iter().filter(|body| matches!(body, EventBody::ToolStarted { .. })).count();
        assert_eq!(started, 7, "cut at {cut}");
    }
}
