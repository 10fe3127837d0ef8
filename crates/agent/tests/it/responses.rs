//! OpenAI Responses: what is sent, and a service that leaves out what can be left out.

use hangar_agent::{
    ModelConfig, Secret, TurnEnd,
    models::{Effort, ProviderKind},
};
use hangar_protocol::{Block, EventBody, ModelUsage, StopReason};
use serde_json::{Value, json};

use crate::{recorded::Service, world::World};

fn events(events: &[Value]) -> String {
    events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).collect()
}

fn completed(usage: Value) -> Value {
    json!({"type": "response.completed", "response": {"status": "completed", "output": [], "usage": usage}})
}

async fn world(model: &str, answers: Vec<String>) -> (World, Service) {
    thinking(model, None, answers).await
}

async fn thinking(model: &str, effort: Option<Effort>, answers: Vec<String>) -> (World, Service) {
    let service = Service::start(answers, 5).await;
    let key = Some(Secret::new("sk-local".to_owned()));
    let mut config = ModelConfig::new("local", model, ProviderKind::OpenAiResponses, &service.base_url, key);
    config.effort = effort;
    (World::with_model(config, tokio::spawn(async {}), "Read f."), service)
}

fn replies(world: &World) -> Vec<EventBody> {
    world.log.bodies().into_iter().filter(|body| matches!(body, EventBody::ModelReplied { .. })).collect()
}

#[tokio::test]
async fn thoughts_go_back_as_they_came_and_the_same_after_a_restart() {
    let thought = json!({
        "id": "rs_1", "type": "reasoning", "encrypted_content": "last",
        "summary": [{"type": "summary_text", "text": "See."}, {"type": "summary_text", "text": "Then say."}],
    });
    let kept_there = json!({"id": "rs_2", "type": "reasoning", "summary": [], "encrypted_content": null});
    let led_to_nothing = json!({"id": "rs_3", "type": "reasoning", "summary": [], "encrypted_content": "x"});
    let first = events(&[
        json!({"type": "response.output_item.added", "output_index": 0, "item":
            {"id": "rs_1", "type": "reasoning", "encrypted_content": "first", "summary": []}}),
        json!({"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "See."}),
        json!({"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 1}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 1, "delta": "Then say."}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": thought}),
        json!({"type": "response.web_search_call.searching", "output_index": 1}),
        json!({"type": "response.output_item.added", "output_index": 2, "item": {"type": "message", "content": []}}),
        json!({"type": "response.output_text.delta", "output_index": 2, "delta": "I read."}),
        json!({"type": "response.output_item.added", "output_index": 3, "item":
            {"type": "function_call", "call_id": "call_a", "name": "read", "arguments": ""}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 3, "delta": "{\"path\":"}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 3, "delta": "\"f\"}"}),
        // Without an event of their own before.
        json!({"type": "response.output_item.done", "output_index": 4, "item":
            {"type": "function_call", "call_id": "call_b", "name": "list", "arguments": "{}"}}),
        json!({"type": "response.output_item.done", "output_index": 5, "item": kept_there}),
        json!({"type": "response.output_item.done", "output_index": 6, "item": led_to_nothing}),
        completed(json!({"input_tokens": 50, "input_tokens_details": {"cached_tokens": 30}, "output_tokens": 9})),
    ]);
    // Nothing but the last event.
    let second = events(&[json!({"type": "response.completed", "response": {"status": "completed", "output": [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It says hi."}]},
    ]}})]);
    let (world, service) = world("gpt-5.1", vec![first, second]).await;
    world.put("f", "hi");
    assert_eq!(world.run().await, TurnEnd::Done);
    let replies = replies(&world);
    let [EventBody::ModelReplied { blocks, stop, usage, .. }, EventBody::ModelReplied { stop: last, .. }] =
        replies.as_slice()
    else {
        panic!("{replies:?}");
    };
    assert_eq!((*stop, *last), (StopReason::ToolUse, StopReason::EndTurn));
    assert_eq!(*usage, ModelUsage { input_tokens: 20, output_tokens: 9, cache_read_tokens: 30, cache_write_tokens: 0 });
    assert_eq!(blocks[0], Block::Reasoning { text: "See.\n\nThen say.".into(), provider: thought.clone() });
    assert_eq!(world.log.shown(1), "See.\n\nThen say.I read.");
    assert_eq!(world.log.shown(2), "It says hi.");

    let asked = service.requests();
    assert_eq!(asked[0].authorization, "Bearer sk-local");
    let body = &asked[0].body;
    assert_eq!(
        (&body["model"], &body["stream"], &body["store"], &body["include"], &body["prompt_cache_key"]),
        (&json!("gpt-5.1"), &json!(true), &json!(false), &json!(["reasoning.encrypted_content"]), &json!("s1"))
    );
    assert!(body["instructions"].as_str().unwrap().starts_with("You are hangar"));
    assert_eq!((&body["tools"][0]["type"], &body["tools"][0]["name"]), (&json!("function"), &json!("read")));
    assert_eq!(body.get("max_output_tokens"), None, "a service that is not OpenAI chooses its own limit");
    let input = asked[1].body["input"].as_array().unwrap();
    let call = |id: &str, name: &str, arguments: &str| json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments});
    let gave = |id: &str, output: &str| json!({"type": "function_call_output", "call_id": id, "output": output});
    assert_eq!(
        *input,
        [
            json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Read f."}]}),
            thought,
            json!({"type": "message", "role": "assistant", "content": "I read."}),
            call("call_a", "read", "{\"path\":\"f\"}"),
            call("call_b", "list", "{}"),
            // Thoughts that only the service could know by their name do not go back, nor those that led to nothing.
            gave("call_a", "1\thi\n"),
            gave("call_b", "f  2"),
        ]
    );
}

#[tokio::test]
async fn a_model_that_does_not_think_is_not_asked_for_its_thoughts() {
    let (world, service) = world("gpt-4.1", vec![events(&[completed(Value::Null)])]).await;
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(service.requests()[0].body.get("include"), None);
}

#[tokio::test]
async fn a_refusal_a_filter_and_a_failure_are_told_apart() {
    let refusal = events(&[
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}}),
        json!({"type": "response.refusal.delta", "output_index": 0, "delta": "No."}),
        completed(Value::Null),
    ]);
    let filter = events(&[json!({"type": "response.incomplete", "response":
        {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}})]);
    for answer in [refusal, filter] {
        let (world, _service) = world("gpt-5.1", vec![answer]).await;
        let TurnEnd::Failed { reason } = world.run().await else { panic!() };
        assert!(reason.contains("refused to go on"), "{reason}");
    }

    let failed = |code: &str, message: &str| {
        events(&[json!({"type": "response.failed", "response":
            {"status": "failed", "error": {"code": code, "message": message}}})])
    };
    let whole = events(&[
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": "Hello."}),
        completed(Value::Null),
    ]);
    let limit = failed("rate_limit_exceeded", "Rate limit reached. Please try again in 28ms.");
    let (waiting, _service) = world("gpt-5.1", vec![limit, whole]).await;
    assert_eq!(waiting.run().await, TurnEnd::Done);
    let waits: Vec<u32> = waiting
        .log
        .bodies()
        .into_iter()
        .filter_map(|body| if let EventBody::ModelRetried { wait_ms, .. } = body { Some(wait_ms) } else { None })
        .collect();
    assert_eq!((waits, waiting.log.shown(1).as_str()), (vec![28], "Hello."));

    let (lasting, _service) = world("gpt-5.1", vec![failed("insufficient_quota", "You have no credit.")]).await;
    let TurnEnd::Failed { reason } = lasting.run().await else { panic!() };
    assert!(
        reason.contains("cannot be used") && reason.contains("You have no credit. (insufficient_quota)"),
        "{reason}"
    );
}

#[tokio::test]
async fn what_a_service_refuses_to_do_with_thoughts_is_done_without_and_not_asked_for_again() {
    let refusal = |words: &str| json!({"error": {"message": words, "type": "invalid_request_error"}}).to_string();
    let call = events(&[
        json!({"type": "response.output_item.done", "output_index": 0, "item":
            {"type": "function_call", "call_id": "call_a", "name": "list", "arguments": "{}"}}),
        completed(Value::Null),
    ]);
    let answers = vec![
        refusal("Your organization must be verified to generate reasoning summaries."),
        refusal("Encrypted content is not supported with this model."),
        call,
        events(&[completed(Value::Null)]),
    ];
    let (world, service) = thinking("gpt-5.1", Some(Effort::High), answers).await;
    assert_eq!(world.run().await, TurnEnd::Done);
    let asked: Vec<(Value, bool)> = service
        .requests()
        .iter()
        .map(|asked| (asked.body["reasoning"].clone(), asked.body.get("include").is_some()))
        .collect();
    let plain = json!({"effort": "high"});
    let summed = json!({"effort": "high", "summary": "auto"});
    assert_eq!(asked, [(summed, true), (plain.clone(), true), (plain.clone(), false), (plain, false)]);
    assert!(!world.log.bodies().iter().any(|body| matches!(body, EventBody::ModelRetried { .. })));
}
