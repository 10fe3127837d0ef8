//! Anthropic Messages, streamed (<https://docs.anthropic.com/en/api/messages-streaming>, version 2023-06-01).
//!
//! Thinking blocks are kept as they came, signature included, and go back untouched. Three cache points are set: behind
//! the tools, behind the system prompt, and behind the last message.

use std::collections::BTreeMap;

use futures::stream::BoxStream;
use hangar_protocol::{Block, ModelUsage, StopReason, frame::TextChannel};
use reqwest::{Client, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Fault, ModelRequest, Piece, Provider, Reply, ReplyBlock, ReplyLength,
    wire::{self, Credential},
};
use crate::{
    conversation::{Image, Message, Part},
    models::ModelConfig,
};

mod thinking;

const VERSION: &str = "2023-06-01";

/// A service that speaks Anthropic Messages.
pub struct Anthropic {
    client: Client,
    config: ModelConfig,
    credential: Credential,
}

impl Anthropic {
    pub(crate) fn new(config: ModelConfig, client: Client) -> Self {
        let hint = match &config.key {
            Some(_) => format!("Set a valid key for {} (ANTHROPIC_API_KEY, or key in hangar.toml).", config.provider),
            None => "No key is configured: set ANTHROPIC_API_KEY, or key in hangar.toml.".to_owned(),
        };
        let credential = Credential { key: config.key.clone(), hint };
        Self { client, config, credential }
    }

    fn body(&self, request: &ModelRequest<'_>) -> Value {
        let mut body = json!({
            "model": self.config.model,
            "max_tokens": match request.length {
                ReplyLength::Whole => self.config.output_tokens_max,
                ReplyLength::Short(tokens) => tokens,
            },
            "stream": true,
            "system": [{"type": "text", "text": request.system, "cache_control": {"type": "ephemeral"}}],
            "messages": messages(request.messages),
        });
        if !request.tools.is_empty() {
            body["tools"] = Value::Array(tools(request));
        }
        match request.length {
            ReplyLength::Short(_) => {}
            ReplyLength::Whole => thinking::add(&mut body, &self.config),
        }
        body
    }
}

impl Provider for Anthropic {
    fn reply(&self, request: &ModelRequest<'_>) -> BoxStream<'static, Result<Piece, Fault>> {
        let mut post = self
            .client
            .post(format!("{}/v1/messages", self.config.base_url))
            .header("anthropic-version", VERSION)
            .header(header::ACCEPT, "text/event-stream")
            .json(&self.body(request));
        if let Some(key) = &self.config.key {
            post = post.header("x-api-key", key.reveal());
        }
        let (timeouts, credential) = (self.config.timeouts, self.credential.clone());
        wire::pieces(move |pieces| async move {
            let mut events = wire::open(post, timeouts, &credential).await?;
            let mut reading = Reading::default();
            while let Some(data) = events.next().await? {
                if let Some(piece) = reading.take(&data)? {
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

fn tools(request: &ModelRequest<'_>) -> Vec<Value> {
    let mut tools: Vec<Value> = request
        .tools
        .iter()
        .map(|tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.schema}))
        .collect();
    if let Some(last) = tools.last_mut() {
        last["cache_control"] = json!({"type": "ephemeral"});
    }
    tools
}

fn messages(messages: &[Message<'_>]) -> Vec<Value> {
    let mut sent: Vec<Value> = Vec::with_capacity(messages.len());
    for message in messages {
        let (role, content): (&str, Vec<Value>) = match message {
            Message::User(parts) => ("user", parts.iter().map(said).collect()),
            Message::Assistant(blocks) => ("assistant", blocks.iter().filter_map(replied).collect()),
        };
        if !content.is_empty() {
            sent.push(json!({"role": role, "content": content}));
        }
    }
    let last = sent.last_mut().and_then(|message| message["content"].as_array_mut()?.last_mut());
    if let Some(block) = last {
        block["cache_control"] = json!({"type": "ephemeral"});
    }
    sent
}

fn said(part: &Part<'_>) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Result { call, output, image, ok } => {
            // An empty text block is refused by the service.
            let words = if output.is_empty() { "(no output)" } else { output };
            let mut content = vec![json!({"type": "text", "text": words})];
            content.extend(image.map(|Image { kind, base64 }| {
                json!({"type": "image", "source": {"type": "base64", "media_type": kind.media_type(), "data": base64}})
            }));
            let mut result = json!({"type": "tool_result", "tool_use_id": call, "content": content});
            if !ok {
                result["is_error"] = json!(true);
            }
            result
        }
    }
}

fn replied(block: &Block) -> Option<Value> {
    match block {
        Block::Text { text } if text.trim().is_empty() => None,
        Block::Text { text } => Some(json!({"type": "text", "text": text})),
        // Thoughts of another service mean nothing to this one.
        Block::Reasoning { provider, .. } => {
            matches!(provider["type"].as_str(), Some("thinking" | "redacted_thinking")).then(|| provider.clone())
        }
        Block::ToolCall { call, name, input } => {
            Some(json!({"type": "tool_use", "id": call, "name": name, "input": input}))
        }
    }
}

/// A reply that is being read.
#[derive(Default)]
struct Reading {
    blocks: BTreeMap<u32, Open>,
    bytes: usize,
    usage: ModelUsage,
    stop: Option<StopReason>,
}

/// A block that is being read.
enum Open {
    Text(String),
    Call {
        id: String,
        name: String,
        arguments: String,
    },
    /// Thinking, redacted thinking, and whatever the service invents: kept as it came.
    Kept(Value),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        index: u32,
        content_block: Value,
    },
    ContentBlockDelta {
        index: u32,
        delta: Value,
    },
    ContentBlockStop {},
    MessageDelta {
        delta: Ending,
        #[serde(default)]
        usage: Usage,
    },
    MessageStop,
    Ping,
    Error {
        error: ServiceError,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    usage: Usage,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Ending {
    #[serde(default)]
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct ServiceError {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

impl Reading {
    fn take(&mut self, data: &str) -> Result<Option<Piece>, Fault> {
        self.bytes += data.len();
        let event: Event = serde_json::from_str(data)
            .map_err(|error| Fault::passing(format!("the stream holds something that is no event: {error}")))?;
        match event {
            Event::MessageStart { message } => self.count(&message.usage),
            Event::ContentBlockStart { index, content_block } => return Ok(self.open(index, content_block)),
            Event::ContentBlockDelta { index, delta } => return self.add(index, &delta),
            Event::ContentBlockStop {} | Event::Ping | Event::Unknown => {}
            Event::MessageDelta { delta, usage } => {
                self.count(&usage);
                self.stop = delta.stop_reason.as_deref().map(stop_reason);
            }
            Event::MessageStop => return Ok(Some(Piece::Done(self.finish()))),
            Event::Error { error } => return Err(stream_error(&error)),
        }
        Ok(None)
    }

    /// Counts are totals so far, not additions; what an event leaves out stays.
    fn count(&mut self, usage: &Usage) {
        let keep = |known: &mut u64, told: Option<u64>| *known = told.unwrap_or(*known);
        keep(&mut self.usage.input_tokens, usage.input_tokens);
        keep(&mut self.usage.output_tokens, usage.output_tokens);
        keep(&mut self.usage.cache_read_tokens, usage.cache_read_input_tokens);
        keep(&mut self.usage.cache_write_tokens, usage.cache_creation_input_tokens);
    }

    fn open(&mut self, index: u32, block: Value) -> Option<Piece> {
        let text_of = |name: &str| block[name].as_str().unwrap_or_default().to_owned();
        let (open, shown) = match block["type"].as_str() {
            Some("text") => (Open::Text(text_of("text")), Some((TextChannel::Text, text_of("text")))),
            Some("tool_use") => {
                let arguments = match &block["input"] {
                    // Some services send the arguments at once instead of streaming them.
                    Value::Object(input) if !input.is_empty() => block["input"].to_string(),
                    _ => String::new(),
                };
                (Open::Call { id: text_of("id"), name: text_of("name"), arguments }, None)
            }
            _ => {
                let thought = text_of("thinking");
                (Open::Kept(block), Some((TextChannel::Reasoning, thought)))
            }
        };
        self.blocks.insert(index, open);
        let (channel, text) = shown.filter(|(_, text)| !text.is_empty())?;
        Some(Piece::Text { block: self.place(index), channel, text })
    }

    /// Position of a block among those that are there: services may leave numbers out.
    fn place(&self, index: u32) -> u32 {
        u32::try_from(self.blocks.range(..index).count()).unwrap_or(u32::MAX)
    }

    fn add(&mut self, index: u32, delta: &Value) -> Result<Option<Piece>, Fault> {
        let place = self.place(index);
        let block = self
            .blocks
            .get_mut(&index)
            .ok_or_else(|| Fault::passing(format!("the stream goes on with block {index}, which never began")))?;
        let text_of = |name: &str| delta[name].as_str().unwrap_or_default();
        let shown = match (delta["type"].as_str().unwrap_or_default(), block) {
            ("text_delta", Open::Text(text)) => {
                text.push_str(text_of("text"));
                Some((TextChannel::Text, text_of("text")))
            }
            ("input_json_delta", Open::Call { arguments, .. }) => {
                arguments.push_str(text_of("partial_json"));
                None
            }
            ("thinking_delta", Open::Kept(block)) => {
                extend(block, "thinking", text_of("thinking"));
                Some((TextChannel::Reasoning, text_of("thinking")))
            }
            ("signature_delta", Open::Kept(block)) => {
                extend(block, "signature", text_of("signature"));
                None
            }
            _ => None,
        };
        let shown = shown.filter(|(_, text)| !text.is_empty());
        Ok(shown.map(|(channel, text)| Piece::Text { block: place, channel, text: text.to_owned() }))
    }

    fn finish(&mut self) -> Reply {
        let blocks = std::mem::take(&mut self.blocks).into_values().map(|open| match open {
            Open::Text(text) => ReplyBlock::Text(text),
            Open::Call { id, name, arguments } => ReplyBlock::Call { id, name, arguments },
            Open::Kept(block) => ReplyBlock::Reasoning {
                text: block["thinking"].as_str().unwrap_or_default().to_owned(),
                provider: block,
            },
        });
        Reply { blocks: blocks.collect(), usage: self.usage, stop: self.stop }
    }
}

fn extend(block: &mut Value, name: &str, more: &str) {
    match &mut block[name] {
        Value::String(text) => text.push_str(more),
        other => *other = Value::String(more.to_owned()),
    }
}

fn stop_reason(told: &str) -> StopReason {
    match told {
        "tool_use" => StopReason::ToolUse,
        "max_tokens" | "model_context_window_exceeded" => StopReason::MaxTokens,
        "refusal" => StopReason::Refusal,
        _ => StopReason::EndTurn,
    }
}

fn stream_error(error: &ServiceError) -> Fault {
    let reason =
        format!("the model service broke off: {} ({})", hangar_protocol::limits::clip(&error.message, 400), error.kind);
    match error.kind.as_str() {
        "invalid_request_error" | "request_too_large" if wire::is_too_long(&error.message) => Fault::too_long(reason),
        "invalid_request_error"
        | "authentication_error"
        | "permission_error"
        | "not_found_error"
        | "request_too_large"
        | "billing_error" => Fault::lasting(reason),
        _ => Fault::passing(reason),
    }
}
