//! Chat completions, with a service that leaves out whatever can be left out.

use hangar_agent::{ModelConfig, Secret, TurnEnd, models::ProviderKind};
use hangar_protocol::{Block, EventBody, ModelUsage, StopReason};
use serde_json::{Value, json};

use crate::{recorded::Service, world::World};

fn chunks(chunks: &[Value]) -> String {
    let lines: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    lines.concat() + "data: [DONE]\n\n"
}

fn delta(delta: Value) -> Value {
    json!({"choices": [{"index": 0, "delta": delta}]})
}

async fn world(answers: Vec<String>) -> (World, Service) {
    let service = Service::start(answers, 5).await;
    let key = Some(Secret::new("sk-local".to_owned()));
    let config = ModelConfig::new("local", "tiny", ProviderKind::OpenAi, &service.base_url, key);
    (World::with_model(config, tokio::spawn(async {}), "Read f."), service)
}

#[tokio::test]
async fn a_turn_over_chat_completions() {
    // Neither ids nor usage, every call under number 0, arguments as an object, "stop" although there are calls.
    let first = chunks(&[
        delta(json!({"role": "assistant", "reasoning_content": "Let me "})),
        delta(json!({"reasoning_content": "see."})),
        delta(json!({"content": "I read."})),
        delta(json!({"tool_calls": [{"function": {"name": "read", "arguments": {"path": "f"}}}]})),
        delta(json!({"tool_calls": [{"function": {"name": "list", "arguments": ""}}]})),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    ]);
    let second = chunks(&[
        delta(json!({"content": "It says hi."})),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 30}}}),
    ]);
    let (world, service) = world(vec![first, second]).await;
    world.put("f", "hi");
    assert_eq!(world.run().await, TurnEnd::Done);
    let replies: Vec<EventBody> =
        world.log.bodies().into_iter().filter(|body| matches!(body, EventBody::ModelReplied { .. })).collect();
    let [EventBody::ModelReplied { blocks, stop, .. }, EventBody::ModelReplied { usage, .. }] = replies.as_slice()
    else {
        panic!("{replies:?}");
    };
    assert_eq!(*stop, StopReason::ToolUse);
    assert_eq!(*usage, ModelUsage { input_tokens: 20, output_tokens: 4, cache_read_tokens: 30, cache_write_tokens: 0 });
    let [
        Block::Reasoning { text, .. },
        Block::Text { text: words },
        Block::ToolCall { call, .. },
        Block::ToolCall { call: other, input, .. },
    ] = blocks.as_slice()
    else {
        panic!("{blocks:?}");
    };
    assert_eq!((text.as_str(), words.as_str()), ("Let me see.", "I read."));
    assert_eq!((call.as_str(), other.as_str(), input), ("call_1_1_1", "call_1_1_2", &json!({})));
    assert_eq!(world.log.shown(1), "Let me see.I read.");

    let asked = service.requests();
    assert_eq!(asked[0].authorization, "Bearer sk-local");
    let body = &asked[0].body;
    assert_eq!(
        (&body["model"], &body["stream"], &body["stream_options"]),
        (&json!("tiny"), &json!(true), &json!({"include_usage": true}))
    );
    assert_eq!(body["messages"][1], json!({"role": "user", "content": "Read f."}));
    assert_eq!(body["tools"][0]["function"]["name"], "read");
    let sent: Vec<Value> = asked[1].body["messages"].as_array().unwrap()[2..].to_vec();
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    assert_eq!(
        sent,
        [
            json!({"role": "assistant", "content": "I read.", "tool_calls": [
                call("call_1_1_1", "read", "{\"path\":\"f\"}"), call("call_1_1_2", "list", "{}"),
            ]}),
            json!({"role": "tool", "tool_call_id": "call_1_1_1", "content": "1\thi\n"}),
            json!({"role": "tool", "tool_call_id": "call_1_1_2", "content": "f  2"}),
        ]
    );
}

#[tokio::test]
async fn a_stream_that_is_cut_off_is_asked_for_again() {
    let whole = chunks(&[
        delta(json!({"content": "Hello."})),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    ]);
    let cut = chunks(&[delta(json!({"content": "Hel"}))]).replace("data: [DONE]\n\n", "");
    let error = "data: {\"error\": {\"message\": \"out of memory\"}}\n\n".to_owned();
    let (world, _service) = world(vec![cut, error, whole]).await;
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!((world.log.shown(1).as_str(), world.log.resets()), ("Hello.", 1));
    let reasons: Vec<String> = world
        .log
        .bodies()
        .into_iter()
        .filter_map(|body| if let EventBody::ModelRetried { reason, .. } = body { Some(reason) } else { None })
        .collect();
    assert_eq!(reasons, ["the stream ended before the reply did", "the model service broke off: out of memory"]);
}
