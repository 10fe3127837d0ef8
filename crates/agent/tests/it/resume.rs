//! A log that is cut at any event goes on to the same end.

use std::sync::Arc;

use hangar_agent::TurnEnd;
use hangar_protocol::{Block, EventBody};
use serde_json::{Value, json};

use crate::{log::Log, world::World};

fn task() -> Value {
    json!([
        {"say": "Look.", "calls": [
            {"tool": "read", "input": {"path": "f"}}, {"tool": "list", "input": {}}, {"tool": "grep", "input": {"pattern": "one"}},
        ]},
        {"calls": [
            {"tool": "todo", "input": {"items": [{"text": "edit", "status": "done"}]}},
            {"tool": "edit", "input": {"path": "f", "old_string": "one", "new_string": "two"}},
            {"tool": "bash", "input": {"command": "seq 1 3000"}},
        ]},
        {"say": "Done."},
    ])
}

fn words(log: &Log) -> Vec<String> {
    let mut words = Vec::new();
    for body in log.bodies() {
        if let EventBody::ModelReplied { blocks, .. } = body {
            words.extend(blocks.into_iter().filter_map(|block| match block {
                Block::Text { text } => Some(text),
                Block::Reasoning { .. } | Block::ToolCall { .. } => None,
            }));
        }
    }
    words
}

#[tokio::test]
async fn a_log_cut_at_any_event_goes_on_to_the_same_end() {
    let whole = World::of(task()).await;
    whole.put("f", "one");
    whole.put("AGENTS.md", "Be brief.");
    assert_eq!(whole.run().await, TurnEnd::Done);
    let (events, requests) = (whole.log.events(), whole.requests.lock().unwrap().clone());
    assert_eq!(requests.len(), 3);
    // The first three events are there before the turn begins.
    for cut in 3..events.len() {
        let world = World::of(task()).await;
        world.put("f", "one");
        world.put("AGENTS.md", "Be brief.");
        world.log.cut_after(cut);
        assert_eq!(world.run().await, TurnEnd::Over, "cut at {cut}");
        assert_eq!(world.log.events().len(), cut);
        let asked = world.requests.lock().unwrap().len();

        let resumed = Arc::new(Log::of(world.log.events(), world.log.blobs()));
        assert_eq!(world.run_on(resumed.clone()).await, TurnEnd::Done, "cut at {cut}");
        assert_eq!(words(&resumed), ["Look.", "Done."], "cut at {cut}");
        let open = resumed.conversation();
        assert_eq!(open.open_calls().count(), 0, "cut at {cut}");
        // Every call has exactly one result, and none that began ran twice.
        let count = |wanted: fn(&EventBody) -> bool| resumed.bodies().iter().filter(|body| wanted(body)).count();
        assert_eq!(count(|body| matches!(body, EventBody::ToolFinished { .. })), 6, "cut at {cut}");
        assert_eq!(count(|body| matches!(body, EventBody::ToolStarted { .. })), 6, "cut at {cut}");
        // Where nothing was under way, the next request is the one that would have been sent.
        let under_way = resumed.bodies().iter().any(|body| match body {
            EventBody::ToolFinished { output, .. } => output.starts_with("This call was interrupted"),
            _ => false,
        });
        let sent = world.requests.lock().unwrap().clone();
        // A call that had begun may or may not have had its effect; all others have.
        assert!(under_way || world.text("f") == "two", "cut at {cut}");
        if !under_way && asked < sent.len() {
            assert!(requests.contains(&sent[asked]), "cut at {cut}: {}", sent[asked]);
        }
    }
}

#[tokio::test]
async fn a_longer_log_only_appends_to_what_the_model_saw() {
    let world = World::of(task()).await;
    world.put("f", "one");
    world.run().await;
    let requests = world.requests.lock().unwrap().clone();
    let body = |request: &str| request.trim_end_matches(")").trim_end_matches("]").to_owned();
    for pair in requests.windows(2) {
        assert!(pair[1].starts_with(&body(&pair[0])), "{}\n{}", pair[0], pair[1]);
    }
}

#[tokio::test]
async fn a_turn_whose_budget_is_used_up_waits_and_goes_on_to_the_same_end() {
    for calls in 0..6 {
        let world = World::of(task()).await;
        world.put("f", "one");
        world.log.leave_calls(Some(calls));
        match world.run().await {
            TurnEnd::Paused(exhausted) => assert_eq!(exhausted.reason, "The calls are used up."),
            other => panic!("{calls} calls: {other:?}"),
        }
        let begun =
            |log: &Log| log.bodies().iter().filter(|body| matches!(body, EventBody::ToolStarted { .. })).count();
        let finished =
            |log: &Log| log.bodies().iter().filter(|body| matches!(body, EventBody::ToolFinished { .. })).count();
        assert_eq!((begun(&world.log), finished(&world.log)), (calls as usize, calls as usize), "{calls} calls");

        world.log.leave_calls(None);
        assert_eq!(world.run().await, TurnEnd::Done, "{calls} calls");
        assert_eq!(words(&world.log), ["Look.", "Done."], "{calls} calls");
        assert_eq!((begun(&world.log), finished(&world.log)), (6, 6), "{calls} calls: every call ran once");
        assert_eq!(world.text("f"), "two", "{calls} calls");
    }
}

#[tokio::test]
async fn a_call_that_is_refused_costs_nothing() {
    let world = World::of(json!([{"calls": [{"tool": "no_such", "input": {}}]}, {"say": "Done."}])).await;
    world.log.leave_calls(Some(0));
    assert_eq!(world.run().await, TurnEnd::Done);
    assert!(world.results()[0].1.contains("no_such"), "{:?}", world.results());
}
