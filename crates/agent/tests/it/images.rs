//! Images that a model looks at.

use hangar_agent::{Conversation, ModelConfig, TurnEnd, models::ProviderKind};
use hangar_protocol::{
    EventBody,
    event::{ImageKind, ToolStatus},
};
use serde_json::{Value, json};

use crate::{
    recorded::Service,
    world::{World, calling},
};

/// A PNG of one pixel.
pub(crate) const PIXEL: [u8; 67] = [
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 58, 126, 155,
    85, 0, 0, 0, 10, 73, 68, 65, 84, 120, 156, 99, 96, 0, 0, 0, 2, 0, 1, 72, 175, 164, 113, 0, 0, 0, 0, 73, 69, 78, 68,
    174, 66, 96, 130,
];
/// The same as base64.
const PIXEL_BASE64: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";

/// What a service is sent after the model has looked at an image, for the messages of this wire.
async fn sent(wire: ProviderKind, replies: [&str; 2]) -> Value {
    let service = Service::start(replies.map(str::to_owned).to_vec(), 50).await;
    let config = ModelConfig::new("any", "m", wire, &service.base_url, None);
    let world = World::with_model(config, tokio::spawn(async {}), "Look.");
    std::fs::write(world.path("a.png"), PIXEL).unwrap();
    assert_eq!(world.run().await, TurnEnd::Done, "{wire:?}");
    service.requests()[1].body.clone()
}

#[tokio::test]
async fn an_image_goes_out_over_every_wire() {
    let call = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n\
        data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"read\",\"input\":{\"path\":\"a.png\"}}}\n\n\
        data: {\"type\":\"message_stop\"}\n\n";
    let body = sent(ProviderKind::Anthropic, [call, "data: {\"type\":\"message_stop\"}\n\n"]).await;
    let content = &body["messages"][2]["content"][0]["content"];
    assert_eq!(content[0]["text"], "a.png: an image of 1 × 1 pixels (image/png, 67 bytes).");
    let source = json!({"type": "base64", "media_type": "image/png", "data": PIXEL_BASE64});
    assert_eq!(content[1], json!({"type": "image", "source": source}));

    let url = format!("data:image/png;base64,{PIXEL_BASE64}");
    let call = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"read\",\"arguments\":\"{\\\"path\\\":\\\"a.png\\\"}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n";
    let body =
        sent(ProviderKind::OpenAi, [call, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"]).await;
    let messages = body["messages"].as_array().unwrap();
    assert_eq!((&messages[3]["role"], &messages[4]["role"]), (&json!("tool"), &json!("user")));
    assert_eq!(messages[4]["content"][1], json!({"type": "image_url", "image_url": {"url": url}}));

    let call = "data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"read\",\"arguments\":\"{\\\"path\\\":\\\"a.png\\\"}\"}}\n\n\
        data: {\"type\":\"response.completed\",\"response\":{}}\n\n";
    let end = "data: {\"type\":\"response.completed\",\"response\":{}}\n\n";
    let body = sent(ProviderKind::OpenAiResponses, [call, end]).await;
    let output = &body["input"][2]["output"];
    assert_eq!(output[1], json!({"type": "input_image", "image_url": url}));
}

#[tokio::test]
async fn an_image_is_kept_beside_the_log_and_shown_again_after_a_restart() {
    let world = World::of(json!([calling("read", json!({"path": "a.png"})), {"say": "A pixel."}])).await;
    world.put("AGENTS.md", "Use tabs.");
    std::fs::write(world.path("a.png"), PIXEL).unwrap();
    assert_eq!(world.run().await, TurnEnd::Done);
    let finished = world.log.bodies().into_iter().find_map(|body| match body {
        EventBody::ToolFinished { status: ToolStatus::Ok, blob, image, .. } => Some((blob.unwrap(), image)),
        _ => None,
    });
    let (blob, image) = finished.unwrap();
    assert_eq!((image, world.log.blobs()[&blob.sha256].as_ref()), (Some(ImageKind::Png), PIXEL.as_slice()));
    let mut again = Conversation::fold(&world.log.events()[..world.log.events().len() - 1]);
    assert_eq!(again.missing(), std::slice::from_ref(&blob));
    again.supply(&blob, &PIXEL);
    assert!(world.last_request().contains(&format!("{:?}", again.messages())));
    assert!(world.last_request().contains(PIXEL_BASE64));
}

#[tokio::test]
async fn what_services_would_refuse_is_not_shown() {
    let mut wide = PIXEL;
    wide[16..20].copy_from_slice(&9_000_u32.to_be_bytes());
    let mut large = PIXEL.to_vec();
    large.resize(4_000_000, 0);
    let world = World::of(json!([
        {"calls": [
            {"tool": "read", "input": {"path": "wide.png"}},
            {"tool": "read", "input": {"path": "large.png"}},
            {"tool": "read", "input": {"path": "short.png"}},
        ]},
        {"say": "Well."},
    ]))
    .await;
    for (name, bytes) in [("wide.png", wide.as_slice()), ("large.png", &large), ("short.png", &PIXEL[..12])] {
        std::fs::write(world.path(name), bytes).unwrap();
    }
    assert_eq!(world.run().await, TurnEnd::Done);
    let results = world.results();
    let said = |words: &str| assert!(results.iter().any(|(_, output)| output.contains(words)), "{words}: {results:?}");
    said("9000 × 1 pixels, and a side has 1 to 8000");
    said("4000000 bytes, and at most 3750000 are shown");
    said("short.png is a damaged image");
}

#[tokio::test]
async fn an_image_that_the_service_refuses_is_left_out_and_the_turn_goes_on() {
    let refused = json!([{"bad_image": {}}]);
    let world =
        World::of(json!([calling("read", json!({"path": "a.png"})), {"say": "I saw nothing.", "faults": refused}]))
            .await;
    std::fs::write(world.path("a.png"), PIXEL).unwrap();
    assert_eq!(world.run().await, TurnEnd::Done);
    assert!(world.log.bodies().iter().any(|body| matches!(body, EventBody::OutputsLeftOut { replies_kept: 0, .. })));
    assert!(!world.last_request().contains(PIXEL_BASE64) && world.last_request().contains("left out to make room"));
}
