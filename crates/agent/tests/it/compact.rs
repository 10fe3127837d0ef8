//! Conversations that grow too long for their model.

use std::sync::Arc;

use hangar_agent::{Conversation, TurnEnd, models::ProviderKind};
use hangar_protocol::{Block, EventBody, TurnId, event::TurnOutcome};
use serde_json::{Value, json};

use crate::{
    log::Log,
    world::{World, calling},
};

const WIRES: [ProviderKind; 3] = [ProviderKind::Anthropic, ProviderKind::OpenAi, ProviderKind::OpenAiResponses];

/// The conversation after these events, as a restarted server shows it.
fn read_back(log: &Log, events: usize) -> Conversation {
    let mut conversation = Conversation::fold(&log.events()[..events]);
    for missing in conversation.missing() {
        conversation.supply(&missing, &log.blobs()[&missing.sha256]);
    }
    conversation
}

/// What the model was shown last is what a restarted server would show it.
fn check_last_request(world: &World) {
    let replied = |body: &EventBody| matches!(body, EventBody::ModelReplied { .. });
    let last = world.log.bodies().iter().rposition(replied).unwrap();
    let shown = format!("{:?}", read_back(&world.log, last).messages());
    assert!(world.last_request().contains(&shown), "{}\n{shown}", world.last_request());
}

fn of_kind(log: &Log, wanted: fn(&EventBody) -> bool) -> Vec<EventBody> {
    log.bodies().into_iter().filter(wanted).collect()
}

#[tokio::test]
async fn outputs_of_old_calls_go_first() {
    let mut replies: Vec<Value> = (1..=9).map(|n| calling("read", json!({"path": format!("{n}.md")}))).collect();
    for reply in &mut replies {
        reply["usage"] = json!({"input": 1_000});
    }
    replies[8]["usage"] = json!({"input": 60_000, "cache_read": 2_000});
    replies.push(json!({"say": "Read."}));
    let world = World::reading(100_000, json!([{"replies": replies}]), ProviderKind::Anthropic).await;
    world.put("AGENTS.md", "Use tabs.");
    for n in 1..=9 {
        world.put(&format!("{n}.md"), &format!("I am {n}. {}\n", "word ".repeat(100)).repeat(58));
    }
    assert_eq!(world.run().await, TurnEnd::Done);
    let events = of_kind(&world.log, |body| matches!(body, EventBody::OutputsLeftOut { .. }));
    let [EventBody::OutputsLeftOut { turn: TurnId(1), step: 10, replies_kept: 4, tokens_before }] = events.as_slice()
    else {
        panic!("{events:?}");
    };
    assert!((71_000..74_000).contains(tokens_before), "62,000 and the last output: {tokens_before}");
    let request = world.last_request();
    let count = |n: u32| request.matches(&format!("I am {n}. word")).count();
    // The first carries the repository's instructions.
    assert_eq!((1..=9).map(count).collect::<Vec<_>>(), [58, 1, 1, 1, 1, 58, 58, 58, 58]);
    assert_eq!(request.matches("was left out to make room").count(), 4);
    assert!(request.contains("Use tabs."));
    check_last_request(&world);
}

/// Two requests, a summary, and two requests more.
fn long_task() -> Value {
    json!([
        {"wish": "Write that summary now", "replies": [
            {"say": "## Task: greet", "usage": {"input": 100, "output": 20, "cache_read": 85_000}},
        ]},
        {"wish": "your own summary", "replies": [
            calling("read", json!({"path": "b.md"})),
            {"say": "Done."},
        ]},
        {"replies": [
            calling("todo", json!({"items": [{"text": "greet", "status": "in_progress"}, {"text": "look", "status": "done"}]})),
            {"calls": [{"tool": "read", "input": {"path": "a.md"}}], "usage": {"input": 85_000}},
        ]},
    ])
}

async fn long_world(wire: ProviderKind) -> World {
    let world = World::reading(100_000, long_task(), wire).await;
    world.put("AGENTS.md", "Use tabs.");
    world.put("a.md", "Alpha");
    world.put("b.md", "Beta");
    world
}

fn words(log: &Log) -> String {
    let last = log.bodies().into_iter().rev().find_map(|body| match body {
        EventBody::ModelReplied { blocks, .. } => Some(blocks),
        _ => None,
    });
    match last.unwrap().as_slice() {
        [Block::Text { text }] => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_summary_stands_for_what_was_said_over_every_wire() {
    for wire in WIRES {
        let world = long_world(wire).await;
        assert_eq!(world.run().await, TurnEnd::Done, "{wire:?}");
        let events = of_kind(&world.log, |body| matches!(body, EventBody::ConversationSummarized { .. }));
        let [EventBody::ConversationSummarized { step: 3, summary, usage, cost_micro_usd, tokens_before, .. }] =
            events.as_slice()
        else {
            panic!("{wire:?}: {events:?}");
        };
        assert_eq!(summary, "## Task: greet\n\nThe todo list:\n- greet (in progress)\n- look (done)");
        assert_eq!((usage.input_tokens, usage.output_tokens, *cost_micro_usd), (100, 20, Some(100)), "{wire:?}");
        assert!((85_000..85_100).contains(tokens_before), "{wire:?}: {tokens_before}");
        let requests = world.requests.lock().unwrap().clone();
        assert_eq!(requests.len(), 5, "{wire:?}");
        // It is asked for over the same beginning, which is in the service's cache.
        let asked = requests[1].strip_suffix("])])").unwrap();
        assert!(requests[2].starts_with(asked) && requests[2].contains("Alpha"), "{wire:?}");
        let after = &requests[3];
        assert!(after.contains("## Task: greet") && after.contains(r#"Text("Do it.")"#), "{wire:?}: {after}");
        assert!(!after.contains("Alpha") && !after.contains("Use tabs."), "{wire:?}: {after}");
        assert!(requests[4].contains("Beta") && requests[4].contains("Use tabs."), "{wire:?}: given anew");
        check_last_request(&world);
    }
}

#[tokio::test]
async fn a_log_cut_at_any_event_goes_on_to_the_same_end() {
    let whole = long_world(ProviderKind::Anthropic).await;
    whole.run().await;
    for cut in 3..whole.log.events().len() {
        let world = long_world(ProviderKind::Anthropic).await;
        world.log.cut_after(cut);
        assert_eq!(world.run().await, TurnEnd::Over, "cut at {cut}");
        let resumed = Arc::new(Log::of(world.log.events(), world.log.blobs()));
        assert_eq!(world.run_on(resumed.clone()).await, TurnEnd::Done, "cut at {cut}");
        assert_eq!(words(&resumed), "Done.", "cut at {cut}");
        let summaries = of_kind(&resumed, |body| matches!(body, EventBody::ConversationSummarized { .. }));
        assert_eq!(summaries.len(), 1, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_budget_is_asked_before_a_summary() {
    let world = long_world(ProviderKind::Anthropic).await;
    world.log.leave_requests(Some(2));
    let TurnEnd::Paused(exhausted) = world.run().await else { panic!() };
    assert_eq!(exhausted.reason, "The tokens are used up.");
    assert_eq!(world.requests.lock().unwrap().len(), 2);
    world.log.leave_requests(None);
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(words(&world.log), "Done.");
}

#[tokio::test]
async fn a_request_that_is_refused_as_too_long_is_summed_up_and_goes_on() {
    for wire in WIRES {
        let mut scripts = long_task();
        let too_long = |times| vec![json!({"too_long": {}}); times];
        // The window is not what the service says, and the summary has to be asked for with less.
        scripts[2]["replies"][1]["usage"] = json!({});
        scripts[2]["replies"][1]["faults"] = json!(too_long(1));
        scripts[0]["replies"][0]["faults"] = json!(too_long(1));
        let world = World::reading(100_000, scripts, wire).await;
        for name in ["a.md", "b.md"] {
            world.put(name, &format!("I am {name}. {}\n", "word ".repeat(300)));
        }
        assert_eq!(world.run().await, TurnEnd::Done, "{wire:?}");
        assert_eq!(words(&world.log), "Done.", "{wire:?}");
        check_last_request(&world);
    }
}

#[tokio::test]
async fn what_cannot_be_made_shorter_ends_the_turn_and_says_so() {
    let faults = vec![json!({"too_long": {}}); 20];
    let never = json!([{"replies": [{"say": "Never.", "faults": faults}]}]);
    let world = World::reading(100_000, never, ProviderKind::Anthropic).await;
    let TurnEnd::Failed { reason } = world.run().await else { panic!() };
    assert!(reason.contains("cannot be made shorter") && reason.contains("prompt is too long"), "{reason}");

    let mut scripts = long_task();
    scripts[1]["replies"][0]["faults"] = json!(faults);
    let world = World::reading(100_000, scripts, ProviderKind::Anthropic).await;
    world.put("a.md", "Alpha");
    let TurnEnd::Failed { reason } = world.run().await else { panic!() };
    assert!(reason.contains("too long"), "{reason}");
}

#[tokio::test]
async fn going_back_behind_a_summary_shows_the_model_what_it_was_shown_then() {
    let world = World::reading(
        100_000,
        json!([
            {"wish": "Write that summary now", "replies": [{"say": "## Task: greet"}]},
            {"wish": "your own summary", "replies": [{"say": "Done."}]},
            {"wish": "Go on", "replies": [calling("list", json!({})), {"calls": [{"tool": "list", "input": {}}], "usage": {"input": 90_000}}]},
            {"replies": [calling("read", json!({"path": "a.md"})), {"say": "Read."}]},
        ]),
        ProviderKind::Anthropic,
    )
    .await;
    world.put("a.md", "Alpha");
    assert_eq!(world.run().await, TurnEnd::Done);
    world.log.end_turn(TurnOutcome::Done);
    let first = world.log.events().len();
    world.prompt(2, "ada", "Go on.");
    assert_eq!(world.run().await, TurnEnd::Done);
    let all = world.log.events().len();
    let shown = |events: usize| format!("{:?}", read_back(&world.log, events).messages());
    assert!(shown(all).contains("## Task: greet") && !shown(all).contains("Alpha"));
    world.log.rewind(TurnId(1));
    assert_eq!(shown(all + 1), shown(first));
}
