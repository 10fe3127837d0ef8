//! OpenAI Responses, streamed (<https://platform.openai.com/docs/api-reference/responses-streaming>).
//!
//! Nothing is kept at the service (`store: false`): each request carries the whole conversation. What the model thought comes as
//! encrypted items, which are kept as they came and go back untouched, so that it goes on from its own thoughts between two calls.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::stream::BoxStream;
use hangar_protocol::Block;
use reqwest::{Client, header};
use serde_json::{Value, json};

use self::reading::Reading;
use super::{
    Fault, ModelRequest, Piece, Provider, ReplyLength,
    wire::{self, Credential},
};
use crate::{
    conversation::{Message, Part},
    limits,
    models::{Effort, ModelConfig, OPENAI_BASE_URL},
};

mod reading;

/// Beginnings of the names of OpenAI's models that do not think (28 November 2026). The service refuses a request that wants
/// their encrypted thoughts.
const THOUGHTLESS: [&str; 3] = ["gpt-3", "gpt-4", "chatgpt-"];

/// A service that speaks OpenAI Responses.
pub struct Responses {
    client: Client,
    config: ModelConfig,
    credential: Credential,
    refused: Arc<Refused>,
}

/// What the service has refused to do, and is not asked for again as long as the server runs.
#[derive(Default)]
struct Refused {
    /// To sum up what the model thinks: OpenAI does so for organisations that it has verified, and for models that think.
    summaries: AtomicBool,
    /// To give thoughts encrypted.
    encrypted: AtomicBool,
}

impl Refused {
    /// Takes out of a request what these words refuse, where they refuse something that can be done without.
    fn take_out(&self, body: &mut Value, words: &str) -> bool {
        let told = |parts: [&str; 2]| parts.iter().any(|part| words.contains(part));
        if told(["reasoning.summary", "reasoning summar"]) && body["reasoning"]["summary"].is_string() {
            self.summaries.store(true, Ordering::Relaxed);
            return body["reasoning"].as_object_mut().is_some_and(|reasoning| reasoning.remove("summary").is_some());
        }
        if told(["reasoning.encrypted_content", "ncrypted content"]) && body["include"].is_array() {
            self.encrypted.store(true, Ordering::Relaxed);
            return body.as_object_mut().is_some_and(|body| body.remove("include").is_some());
        }
        false
    }
}

impl Responses {
    pub(crate) fn new(config: ModelConfig, client: Client) -> Self {
        let credential = Credential::openai(&config);
        Self { client, config, credential, refused: Arc::default() }
    }

    /// Whether the model thinks, as far as its name and its configuration say.
    fn thinks(&self) -> bool {
        let named = !THOUGHTLESS.iter().any(|name| self.config.model.starts_with(name));
        named && self.config.effort != Some(Effort::None)
    }

    /// Whether summaries of thoughts are asked for. Services other than OpenAI are asked where somebody says that their model thinks.
    fn wants_summaries(&self) -> bool {
        let known = self.config.base_url == OPENAI_BASE_URL || self.config.effort.is_some();
        known && self.thinks() && !self.refused.summaries.load(Ordering::Relaxed)
    }

    fn body(&self, request: &ModelRequest<'_>) -> Value {
        let mut body = json!({
            "model": self.config.model,
            "stream": true,
            "store": false,
            "instructions": request.system,
            "input": input(request.messages),
        });
        if self.thinks() && !self.refused.encrypted.load(Ordering::Relaxed) {
            body["include"] = json!(["reasoning.encrypted_content"]);
        }
        if !request.tools.is_empty() {
            let tool = |tool: &crate::tools::ToolSpec| {
                json!({
                    "type": "function", "name": tool.name, "description": tool.description, "parameters": tool.schema,
                    // What strict schemas must look like, ours do not: they have arguments that may be left out.
                    "strict": false,
                })
            };
            body["tools"] = request.tools.iter().map(tool).collect();
            body["parallel_tool_calls"] = json!(true);
        }
        if let Some(key) = request.cache_key {
            body["prompt_cache_key"] = json!(key);
        }
        // Services other than OpenAI choose the limit that their model was loaded with unless the configuration says otherwise.
        let chosen =
            self.config.base_url == OPENAI_BASE_URL || self.config.output_tokens_max != limits::OUTPUT_TOKENS_MAX;
        match request.length {
            ReplyLength::Short(tokens) => body["max_output_tokens"] = json!(tokens),
            ReplyLength::Whole if chosen => body["max_output_tokens"] = json!(self.config.output_tokens_max),
            ReplyLength::Whole => {}
        }
        if let Some(effort) = self.config.effort {
            body["reasoning"] = json!({"effort": effort.word()});
        }
        if request.length == ReplyLength::Whole && self.wants_summaries() {
            body["reasoning"]["summary"] = json!("auto");
        }
        body
    }
}

impl Provider for Responses {
    fn reply(&self, request: &ModelRequest<'_>) -> BoxStream<'static, Result<Piece, Fault>> {
        let mut post =
            self.client.post(format!("{}/responses", self.config.base_url)).header(header::ACCEPT, "text/event-stream");
        if let Some(key) = &self.config.key {
            post = post.bearer_auth(key.reveal());
        }
        let (mut body, refused) = (self.body(request), Arc::clone(&self.refused));
        let (timeouts, credential) = (self.config.timeouts, self.credential.clone());
        wire::pieces(move |pieces| async move {
            let mut events = loop {
                // Nothing of the request is a stream, so that it can be copied.
                let Some(attempt) = post.try_clone() else { return Err(Fault::lasting("the request cannot be sent")) };
                match wire::open(attempt.json(&body), timeouts, &credential).await {
                    Err(fault) if refused.take_out(&mut body, &fault.reason) => {}
                    opened => break opened?,
                }
            };
            let mut reading = Reading::default();
            while let Some(data) = events.next().await? {
                // Some gateways end this stream as they end that of chat completions.
                if data.trim() == "[DONE]" {
                    break;
                }
                for piece in reading.take(&data)? {
                    let done = matches!(piece, Piece::Done(_));
                    pieces.send(piece).await;
                    if done {
                        return Ok(());
                    }
                }
            }
            Err(Fault::passing("the stream ended before the reply did"))
        })
    }
}

fn input(messages: &[Message<'_>]) -> Vec<Value> {
    let mut sent = Vec::new();
    for message in messages {
        match message {
            Message::User(parts) => sent.extend(parts.iter().map(said)),
            Message::Assistant(blocks) => sent.extend(replied(blocks)),
        }
    }
    sent
}

fn said(part: &Part<'_>) -> Value {
    match part {
        Part::Text(text) => {
            json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
        }
        Part::Result { call, output, image: None, .. } => {
            json!({"type": "function_call_output", "call_id": call, "output": output})
        }
        Part::Result { call, output, image: Some(image), .. } => {
            let image = json!({"type": "input_image", "image_url": image.data_url()});
            let output = json!([{"type": "input_text", "text": output}, image]);
            json!({"type": "function_call_output", "call_id": call, "output": output})
        }
    }
}

fn replied(blocks: &[Block]) -> Vec<Value> {
    let item = |block: &Block| match block {
        Block::Text { text } if text.trim().is_empty() => None,
        Block::Text { text } => Some(json!({"type": "message", "role": "assistant", "content": text})),
        Block::Reasoning { provider, .. } => can_go_back(provider).then(|| provider.clone()),
        Block::ToolCall { call, name, input } => {
            Some(json!({"type": "function_call", "call_id": call, "name": name, "arguments": input.to_string()}))
        }
    };
    let mut items: Vec<Value> = blocks.iter().filter_map(item).collect();
    // The service refuses thoughts without what they led to; a reply that was cut off may end with them.
    while items.pop_if(|item| item["type"] == "reasoning").is_some() {}
    items
}

/// Whether the service knows what it thought from the item alone: it has kept nothing. Thoughts of another service mean nothing to it.
fn can_go_back(item: &Value) -> bool {
    let told = item["encrypted_content"].is_string() || item["content"].as_array().is_some_and(|all| !all.is_empty());
    item["type"] == "reasoning" && told
}
