//! How hard a model is to think, in the words of each wire.

use futures::StreamExt;
use hangar_agent::{
    Model, ModelConfig,
    conversation::{Message, Part},
    models::{Effort, ProviderKind},
    provider::{ModelRequest, ReplyLength},
};
use serde_json::{Value, json};

use crate::recorded::Service;

/// What is sent to a model that is to think so hard.
async fn sent(wire: ProviderKind, effort: Option<Effort>) -> Value {
    let service = Service::start(vec![String::new()], 5).await;
    let mut config = ModelConfig::new("any", "claude-opus-4-8", wire, &service.base_url, None);
    config.effort = effort;
    let model = Model::new(config).unwrap();
    let messages = [Message::User(vec![Part::Text("Hi.")])];
    let length = ReplyLength::Whole;
    let request = ModelRequest { system: "You are.", tools: &[], messages: &messages, length, cache_key: None };
    let _: Vec<_> = model.provider.reply(&request).collect().await;
    service.requests().remove(0).body
}

#[tokio::test]
async fn effort_goes_out_over_every_wire_and_only_where_it_is_set() {
    let body = sent(ProviderKind::Anthropic, Some(Effort::High)).await;
    assert_eq!((&body["thinking"], &body["output_config"]), (&json!({"type": "adaptive"}), &json!({"effort": "high"})));
    let body = sent(ProviderKind::OpenAi, Some(Effort::Low)).await;
    assert_eq!(body["reasoning_effort"], "low");
    let body = sent(ProviderKind::OpenAiResponses, Some(Effort::XHigh)).await;
    assert_eq!(body["reasoning"], json!({"effort": "xhigh", "summary": "auto"}));
    for wire in [ProviderKind::Anthropic, ProviderKind::OpenAi, ProviderKind::OpenAiResponses] {
        let body = sent(wire, None).await;
        for key in ["thinking", "output_config", "reasoning_effort", "reasoning"] {
            assert_eq!(body.get(key), None, "{wire:?}");
        }
    }
}
