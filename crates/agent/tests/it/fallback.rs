//! A model that does not answer, and the one that is there for then.

use std::sync::Arc;

use hangar_agent::{ModelConfig, Models, Secret, TurnEnd, models::ProviderKind};
use hangar_protocol::{EventBody, event::TurnOutcome};
use serde_json::{Value, json};

use crate::{
    log::Log,
    world::{PATIENT, World, calling, play},
};

/// A model whose service always answers with this status, and one that plays `replies` over another wire.
async fn world(status: u16, replies: Value) -> World {
    let faults: Vec<Value> = (0..20).map(|_| json!({"status": {"code": status}})).collect();
    let broken = json!({"name": "t", "scripts": [{"replies": [{"say": "Never.", "faults": faults}]}]});
    let (first, server) = play(&broken).await;
    let (second, _) = play(&json!({"name": "t", "scripts": [{"replies": replies}]})).await;
    let mut main = ModelConfig::scripted("main", &first);
    main.timeouts = PATIENT;
    main.fallback = Some("other/spare".into());
    let spare = ModelConfig::new("other", "spare", ProviderKind::OpenAiResponses, &format!("{second}/v1"), None);
    World::with_models(vec![main, spare], server, "Do it.")
}

fn asked(log: &Log) -> Vec<String> {
    let told = |body| match body {
        EventBody::ModelRequested { step, model, .. } => Some(format!("{step} {model}")),
        EventBody::ModelRetried { attempt, .. } => Some(format!("retried {attempt}")),
        EventBody::ModelFellBack { from, to, .. } => Some(format!("{from} to {to}")),
        EventBody::ModelReplied { step, .. } => Some(format!("replied {step}")),
        _ => None,
    };
    log.bodies().into_iter().filter_map(told).collect()
}

fn task() -> Value {
    json!([calling("list", json!({})), {"say": "Done."}])
}

#[tokio::test]
async fn a_turn_goes_on_with_the_other_model_and_stays_there() {
    let world = world(503, task()).await;
    assert_eq!(world.run().await, TurnEnd::Done);
    let whole = [
        "1 scripted/main",
        "retried 1",
        "retried 2",
        "scripted/main to other/spare",
        "replied 1",
        "2 other/spare",
        "replied 2",
    ];
    assert_eq!(asked(&world.log), whole);
    let reason = world.log.bodies().into_iter().find_map(|body| match body {
        EventBody::ModelFellBack { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(reason.unwrap().contains("did not answer after 3 attempts; the last said: HTTP 503"));
    // The next turn begins with the session's own model.
    world.log.end_turn(TurnOutcome::Done);
    world.prompt(2, "ada", "Again.");
    world.run().await;
    assert_eq!(asked(&world.log)[7..9], ["1 scripted/main", "retried 1"]);
}

#[tokio::test]
async fn a_log_cut_at_any_event_goes_on_with_the_model_that_it_names() {
    let whole = world(503, task()).await;
    whole.run().await;
    let events = whole.log.events();
    for cut in 3..events.len() {
        let world = world(503, task()).await;
        let resumed = Arc::new(Log::of(events[..cut].to_vec(), whole.log.blobs()));
        let fell = asked(&resumed).iter().any(|told| told.contains(" to "));
        assert_eq!(world.run_on(resumed.clone()).await, TurnEnd::Done, "cut at {cut}");
        let falls = asked(&resumed).iter().filter(|told| told.contains(" to ")).count();
        assert_eq!(falls, 1, "cut at {cut}, fell before: {fell}");
        assert!(asked(&resumed).last().unwrap().starts_with("replied"), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_refused_key_is_a_reason_too_and_the_last_model_has_the_last_word() {
    let refused = world(401, json!([{"say": "Hello."}])).await;
    assert_eq!(refused.run().await, TurnEnd::Done);
    assert_eq!(asked(&refused.log), ["1 scripted/main", "scripted/main to other/spare", "replied 1"]);

    let faults = json!([{"status": {"code": 400}}]);
    let both = world(401, json!([{"say": "Hello.", "faults": faults}])).await;
    let TurnEnd::Failed { reason } = both.run().await else { panic!() };
    assert!(reason.contains("The model other/spare cannot be used") && reason.contains("HTTP 400"), "{reason}");
}

#[tokio::test]
async fn a_budget_is_asked_before_a_model_of_another_price() {
    let world = world(401, json!([{"say": "Hello."}])).await;
    world.log.limit_money();
    let TurnEnd::Paused(exhausted) = world.run().await else { panic!() };
    assert_eq!(exhausted.reason, "The price is not known.");
    assert_eq!(asked(&world.log), ["1 scripted/main"]);
}

#[test]
fn a_fallback_that_leads_nowhere_or_back_is_refused() {
    let model = |name: &str, fallback: Option<&str>| {
        let mut config = ModelConfig::openai(name, Secret::new("k".to_owned()));
        config.fallback = fallback.map(str::to_owned);
        config
    };
    let fault = |configs| Models::new(configs).err().unwrap().to_string();
    let lost = fault(vec![model("a", Some("openai/b"))]);
    assert_eq!(lost, "the model openai/a falls back to openai/b, which is not configured: name one that is");
    let circle = fault(vec![model("a", Some("openai/b")), model("b", Some("openai/c")), model("c", Some("openai/b"))]);
    assert!(circle.starts_with("the model openai/b falls back to itself"), "{circle}");
    let chain =
        Models::new(vec![model("a", Some("openai/b")), model("b", Some("openai/c")), model("c", None)]).unwrap();
    let first = chain.find("openai/a").unwrap();
    assert_eq!(first.or_fallback("openai/c").unwrap().id, "openai/c");
    assert!(chain.find("openai/b").unwrap().or_fallback("openai/a").is_none());
}
