//! Chat completions as OpenAI defined them (<https://platform.openai.com/docs/api-reference/chat>) and as Ollama, llama.cpp, vLLM
//! and many gateways speak them, streamed.
//!
//! Services differ: ids of calls may be missing or doubled, usage may not come, arguments may come at once or in pieces, thoughts
//! under one of two names or not at all. Whatever is missing is done without.

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
    conversation::{Message, Part},
    limits,
    models::{ModelConfig, OPENAI_BASE_URL},
};

/// Marks hangar's own form of thoughts that came over this wire, which has no block for them.
const REASONING: &str = "chat_reasoning";

/// A service that speaks chat completions.
pub struct OpenAi {
    client: Client,
    config: ModelConfig,
    credential: Credential,
}

impl OpenAi {
    pub(crate) fn new(config: ModelConfig, client: Client) -> Self {
        let credential = Credential::openai(&config);
        Self { client, config, credential }
    }

    fn body(&self, request: &ModelRequest<'_>) -> Value {
        let mut body = json!({
            "model": self.config.model,
            "stream": true,
            "stream_options": {"include_usage": true},
            "messages": messages(request),
        });
        if !request.tools.is_empty() {
            let tool = |tool: &crate::tools::ToolSpec| {
                json!({"type": "function", "function": {
                    "name": tool.name, "description": tool.description, "parameters": tool.schema,
                }})
            };
            body["tools"] = request.tools.iter().map(tool).collect();
        }
        // OpenAI itself refuses the old name for its newer models; the others know only the old one. Local services choose
        // the limit that their model was loaded with unless the configuration says otherwise.
        let (tokens_max, chosen) = match request.length {
            ReplyLength::Whole => {
                (self.config.output_tokens_max, self.config.output_tokens_max != limits::OUTPUT_TOKENS_MAX)
            }
            ReplyLength::Short(tokens) => (tokens, true),
        };
        if self.config.base_url == OPENAI_BASE_URL {
            body["max_completion_tokens"] = json!(tokens_max);
        } else if chosen {
            body["max_tokens"] = json!(tokens_max);
        }
        if let Some(effort) = self.config.effort {
            body["reasoning_effort"] = json!(effort.word());
        }
        body
    }
}

impl Provider for OpenAi {
    fn reply(&self, request: &ModelRequest<'_>) -> BoxStream<'static, Result<Piece, Fault>> {
        let mut post = self
            .client
            .post(format!("{}/chat/completions", self.config.base_url))
            .header(header::ACCEPT, "text/event-stream")
            .json(&self.body(request));
        if let Some(key) = &self.config.key {
            post = post.bearer_auth(key.reveal());
        }
        let (timeouts, credential) = (self.config.timeouts, self.credential.clone());
        wire::pieces(move |pieces| async move {
            let mut events = wire::open(post, timeouts, &credential).await?;
            let mut reading = Reading::default();
            while let Some(data) = events.next().await? {
                if data.trim() == "[DONE]" {
                    break;
                }
                for piece in reading.take(&data)? {
                    pieces.send(piece).await;
                }
            }
            pieces.send(Piece::Done(reading.finish()?)).await;
            Ok(())
        })
    }
}

fn messages(request: &ModelRequest<'_>) -> Vec<Value> {
    let mut sent = vec![json!({"role": "system", "content": request.system})];
    for message in request.messages {
        match message {
            Message::User(parts) => {
                let (results, words): (Vec<&Part<'_>>, Vec<&Part<'_>>) =
                    parts.iter().partition(|part| matches!(part, Part::Result { .. }));
                sent.extend(results.iter().map(|part| said(part)));
                sent.extend(pictures(&results));
                sent.extend(words.into_iter().map(said));
            }
            Message::Assistant(blocks) => sent.extend(replied(blocks)),
        }
    }
    sent
}

fn said(part: &Part<'_>) -> Value {
    match part {
        Part::Text(text) => json!({"role": "user", "content": text}),
        Part::Result { call, output, .. } => json!({"role": "tool", "tool_call_id": call, "content": output}),
    }
}

/// Images that calls gave. A message with a result holds words only, so that they follow as the user's own, behind all results.
fn pictures(results: &[&Part<'_>]) -> Option<Value> {
    let mut content = Vec::new();
    for part in results {
        if let Part::Result { call, image: Some(image), .. } = part {
            content.push(json!({"type": "text", "text": format!("[The image that the call {call} gave:]")}));
            content.push(json!({"type": "image_url", "image_url": {"url": image.data_url()}}));
        }
    }
    (!content.is_empty()).then(|| json!({"role": "user", "content": content}))
}

fn replied(blocks: &[Block]) -> Option<Value> {
    let mut text = String::new();
    let mut calls = Vec::new();
    for block in blocks {
        match block {
            Block::Text { text: words } => text.push_str(words),
            // Chat completions take no thoughts back.
            Block::Reasoning { .. } => {}
            Block::ToolCall { call, name, input } => calls.push(json!({
                "id": call, "type": "function",
                "function": {"name": name, "arguments": input.to_string()},
            })),
        }
    }
    if text.is_empty() && calls.is_empty() {
        return None;
    }
    let mut message = json!({"role": "assistant", "content": text});
    if !calls.is_empty() {
        message["tool_calls"] = Value::Array(calls);
    }
    Some(message)
}

/// A reply that is being read.
#[derive(Default)]
struct Reading {
    blocks: Vec<ReplyBlock>,
    /// Which block each of the service's call numbers is.
    calls: Vec<(u64, usize)>,
    usage: ModelUsage,
    stop: Option<StopReason>,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: FunctionDelta,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

impl Reading {
    fn take(&mut self, data: &str) -> Result<Vec<Piece>, Fault> {
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|error| Fault::passing(format!("the stream holds something that is no chunk: {error}")))?;
        if let Some(error) = chunk.error {
            let words = error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned);
            let words = hangar_protocol::limits::clip(&words, wire::ERROR_CHARS_MAX);
            if wire::is_too_long(&words) {
                return Err(Fault::too_long(format!("the model service broke off: {words}")));
            }
            return Err(Fault::passing(format!("the model service broke off: {words}")));
        }
        if let Some(usage) = chunk.usage {
            let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
            self.usage = ModelUsage {
                input_tokens: usage.prompt_tokens.saturating_sub(cached),
                output_tokens: usage.completion_tokens,
                cache_read_tokens: cached,
                cache_write_tokens: 0,
            };
        }
        let mut pieces = Vec::new();
        for choice in chunk.choices.into_iter().take(1) {
            let delta = choice.delta;
            let thought = delta.reasoning_content.or(delta.reasoning);
            pieces.extend(thought.and_then(|text| self.add(TextChannel::Reasoning, text)));
            pieces.extend(delta.content.and_then(|text| self.add(TextChannel::Text, text)));
            if let Some(text) = delta.refusal {
                self.stop = Some(StopReason::Refusal);
                pieces.extend(self.add(TextChannel::Text, text));
            }
            for call in delta.tool_calls.into_iter().flatten() {
                self.add_call(call);
            }
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
                self.stop.get_or_insert(stop_reason(&reason));
            }
        }
        Ok(pieces)
    }

    fn add(&mut self, channel: TextChannel, more: String) -> Option<Piece> {
        if more.is_empty() {
            return None;
        }
        match (channel, self.blocks.last_mut()) {
            (TextChannel::Text, Some(ReplyBlock::Text(text))) => text.push_str(&more),
            (TextChannel::Reasoning, Some(ReplyBlock::Reasoning { text, .. })) => text.push_str(&more),
            (TextChannel::Text, _) => self.blocks.push(ReplyBlock::Text(more.clone())),
            (TextChannel::Reasoning, _) => {
                self.blocks.push(ReplyBlock::Reasoning { text: more.clone(), provider: json!({"type": REASONING}) })
            }
        }
        let block = u32::try_from(self.blocks.len() - 1).unwrap_or(u32::MAX);
        Some(Piece::Text { block, channel, text: more })
    }

    fn add_call(&mut self, delta: CallDelta) {
        let id = delta.id.unwrap_or_default();
        let name = delta.function.name.unwrap_or_default();
        let more = match delta.function.arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            // Some services send the arguments as an object instead of its text.
            Some(other) => other.to_string(),
        };
        match self.call_of(delta.index, &id, &name).and_then(|place| self.blocks.get_mut(place)) {
            Some(ReplyBlock::Call { name: known, arguments, .. }) => {
                if known.is_empty() {
                    *known = name;
                }
                arguments.push_str(&more);
            }
            Some(ReplyBlock::Text(_) | ReplyBlock::Reasoning { .. }) | None => {
                let number = delta.index.unwrap_or(self.calls.len() as u64);
                self.calls.push((number, self.blocks.len()));
                self.blocks.push(ReplyBlock::Call { id, name, arguments: more });
            }
        }
    }

    /// The block that a delta goes on with. A delta that brings another id is a new call even where the service gives every
    /// call the same number; without a number it goes on with the last call unless it brings a name.
    fn call_of(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let place = match index {
            Some(number) => self.calls.iter().rev().find(|(known, _)| *known == number)?.1,
            None if name.is_empty() => self.calls.last()?.1,
            None => return None,
        };
        match &self.blocks[place] {
            ReplyBlock::Call { id: known, .. } if id.is_empty() || known.is_empty() || known == id => Some(place),
            ReplyBlock::Call { .. } | ReplyBlock::Text(_) | ReplyBlock::Reasoning { .. } => None,
        }
    }

    /// A stream that ended without a reason to stop was cut off.
    fn finish(self) -> Result<Reply, Fault> {
        let stop = self.stop.ok_or_else(|| Fault::passing("the stream ended before the reply did"))?;
        let has_calls = self.blocks.iter().any(|block| matches!(block, ReplyBlock::Call { .. }));
        // Some services say "stop" although they call tools.
        let stop = if has_calls && stop == StopReason::EndTurn { StopReason::ToolUse } else { stop };
        Ok(Reply { blocks: self.blocks, usage: self.usage, stop: Some(stop) })
    }
}

fn stop_reason(told: &str) -> StopReason {
    match told {
        "tool_calls" | "function_call" => StopReason::ToolUse,
        "length" => StopReason::MaxTokens,
        "content_filter" => StopReason::Refusal,
        _ => StopReason::EndTurn,
    }
}
