//! Everything that goes wrong on the wire.

use std::time::{Duration, Instant};

use hangar_agent::{Model, ModelConfig, Secret, TurnEnd, models::ProviderKind};
use hangar_protocol::{Block, EventBody, ModelUsage};
use serde_json::{Value, json};

use crate::world::World;

const WIRES: [ProviderKind; 3] = [ProviderKind::Anthropic, ProviderKind::OpenAi, ProviderKind::OpenAiResponses];

async fn meeting(faults: Value) -> World {
    World::of(json!([{"say": "Hello, world.", "faults": faults}])).await
}

fn retries(world: &World) -> Vec<String> {
    let retried = |body| match body {
        EventBody::ModelRetried { reason, .. } => Some(reason),
        _ => None,
    };
    world.log.bodies().into_iter().filter_map(retried).collect()
}

#[tokio::test]
async fn what_passes_is_tried_again_and_said_once() {
    for wire in WIRES {
        said_once_over(wire).await;
    }
}

async fn said_once_over(wire: ProviderKind) {
    let (malformed, overloaded) = match wire {
        ProviderKind::Anthropic => ("no event", "Overloaded (overloaded_error)"),
        ProviderKind::OpenAi => ("no chunk", "broke off: Overloaded"),
        ProviderKind::OpenAiResponses => ("no event", "broke off: Overloaded (server_is_overloaded)"),
    };
    let cases = [
        (json!([{"status": {"code": 429}}]), "HTTP 429: a fault of the transcript", 0),
        (json!([{"status": {"code": 500}}]), "HTTP 500", 0),
        (json!([{"status": {"code": 529}}]), "HTTP 529", 0),
        (json!([{"drop": {"after_chars": 8}}]), "broke off", 1),
        (json!([{"malformed": {"after_chars": 8}}]), malformed, 1),
        (json!([{"silence": {"after_chars": 8}}]), "silent for 1 s", 1),
        (json!([{"overloaded": {"after_chars": 8}}]), overloaded, 1),
        (json!([{"no_answer": {}}]), "no answer within 1 s", 0),
    ];
    for (faults, expect, resets) in cases {
        let usage = json!({"input": 7, "output": 5, "cache_read": 3});
        let transcript = json!({"name": "t", "pace": {"chunk_chars": 4, "pause_ms": 5},
            "scripts": [{"replies": [{"say": "Hello, world.", "usage": usage, "faults": faults}]}]});
        let mut world = World::impatient(&transcript, wire).await;
        world.limits.steps_max = 1;
        assert_eq!(world.run().await, TurnEnd::Done, "{faults}");
        let reasons = retries(&world);
        assert!(reasons.len() == 1 && reasons[0].contains(expect), "{faults}: {reasons:?}");
        assert_eq!(world.log.resets(), resets, "{faults}");
        assert_eq!(world.log.shown(1), "Hello, world.", "{faults}");
        let replies: Vec<EventBody> =
            world.log.bodies().into_iter().filter(|body| matches!(body, EventBody::ModelReplied { .. })).collect();
        let [EventBody::ModelReplied { blocks, usage, .. }] = replies.as_slice() else { panic!("{replies:?}") };
        let counted = ModelUsage { input_tokens: 7, output_tokens: 5, cache_read_tokens: 3, cache_write_tokens: 0 };
        assert_eq!(*usage, counted, "{wire:?} {faults}: counted once");
        assert_eq!(*blocks, [Block::Text { text: "Hello, world.".into() }]);
    }
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let world = meeting(json!([{"status": {"code": 429, "retry_after_s": 1}}])).await;
    let began = Instant::now();
    assert_eq!(world.run().await, TurnEnd::Done);
    assert!(began.elapsed() >= Duration::from_secs(1));
    let waits: Vec<u32> = world
        .log
        .bodies()
        .into_iter()
        .filter_map(|body| if let EventBody::ModelRetried { wait_ms, .. } = body { Some(wait_ms) } else { None })
        .collect();
    assert_eq!(waits, [1000]);
}

#[tokio::test]
async fn what_does_not_pass_ends_the_turn_with_its_reason() {
    let always = json!({"status": {"code": 503}});
    let world = meeting(json!([always, always, always, always])).await;
    let TurnEnd::Failed { reason } = world.run().await else { panic!() };
    assert!(reason.contains("did not answer after 3 attempts") && reason.contains("HTTP 503"), "{reason}");
    assert_eq!(retries(&world).len(), 2);

    let world = meeting(json!([{"status": {"code": 401}}])).await;
    let TurnEnd::Failed { reason } = world.run().await else { panic!() };
    assert!(reason.contains("refused the key") && reason.contains("set ANTHROPIC_API_KEY"), "{reason}");
    assert!(retries(&world).is_empty());

    let world = meeting(json!([{"status": {"code": 429, "retry_after_s": 3600}}])).await;
    let TurnEnd::Failed { reason } = world.run().await else { panic!() };
    assert!(reason.contains("come back in 3600 s"), "{reason}");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_named_and_the_key_is_not() {
    let key = Secret::new("sk-very-secret".to_owned());
    let mut config = ModelConfig::new("local", "m", ProviderKind::OpenAi, "http://127.0.0.1:9", Some(key));
    config.timeouts.attempts_max = 2;
    assert!(!format!("{config:?}").contains("very-secret"));
    assert!(!format!("{:?}", Model::new(config.clone())).contains("very-secret"));
    let world = World::with_model(config, tokio::spawn(async {}), "Do it.");
    let TurnEnd::Failed { reason } = world.run().await else { panic!() };
    assert!(reason.contains("local/m did not answer") && reason.contains("onnection refused"), "{reason}");
    assert!(!format!("{reason}{:?}", world.log.bodies()).contains("very-secret"));
}

#[tokio::test]
async fn a_scripted_model_says_when_it_has_no_line() {
    let world = World::playing(&json!({"name": "t", "scripts": [{"wish": "sing", "replies": []}]}), "Dance.").await;
    assert_eq!(world.run().await, TurnEnd::Done);
    assert!(world.log.shown(1).starts_with("The scripted model has no line for this."));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_the_start() {
    let config = ModelConfig::new("local", "m", ProviderKind::OpenAi, "127.0.0.1 port 80", None);
    let fault = Model::new(config).unwrap_err().to_string();
    assert!(fault.contains("the model local/m cannot be used: its base URL is not one"), "{fault}");
}

#[tokio::test]
async fn a_script_plays_the_same_over_all_wires() {
    for wire in WIRES {
        let replies = json!([
            {"think": "Hm.", "say": "I look.", "calls": [{"tool": "read", "input": {"path": "f"}}, {"tool": "list", "input": {}}]},
            {"after": "hi there", "otherwise": "I saw nothing.", "say": "Seen."},
        ]);
        let world = World::impatient(&json!({"name": "t", "scripts": [{"replies": replies}]}), wire).await;
        world.put("f", "hi there");
        assert_eq!(world.run().await, TurnEnd::Done, "{wire:?}");
        assert_eq!(world.results().len(), 2, "{wire:?}");
        assert_eq!(world.log.shown(2), "Seen.", "{wire:?}");
    }
}
