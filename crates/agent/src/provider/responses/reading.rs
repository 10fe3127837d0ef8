//! The events of a stream, put together to a reply.

use std::collections::BTreeMap;

use hangar_protocol::{ModelUsage, StopReason, frame::TextChannel};
use serde::Deserialize;
use serde_json::Value;

use crate::provider::{Fault, FaultKind, Piece, Reply, ReplyBlock, wire};

/// What stands between two parts of a summary of thoughts.
const PARTS_APART: &str = "\n\n";

/// A reply that is being read.
#[derive(Default)]
pub(super) struct Reading {
    /// By the service's number of the item.
    items: BTreeMap<u32, Open>,
    refused: bool,
}

/// An item that is being read.
enum Open {
    Text(String),
    Call {
        id: String,
        name: String,
        arguments: String,
    },
    /// Thoughts: the text that was shown, and the item as it came.
    Thoughts {
        text: String,
        item: Value,
    },
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Event {
    #[serde(rename = "response.output_item.added")]
    Added { output_index: u32, item: Value },
    #[serde(rename = "response.output_item.done")]
    Whole { output_index: u32, item: Value },
    #[serde(rename = "response.output_text.delta")]
    Words { output_index: u32, delta: String },
    #[serde(rename = "response.refusal.delta")]
    Refusal { output_index: u32, delta: String },
    #[serde(rename = "response.reasoning_summary_part.added")]
    PartOfThoughts { output_index: u32 },
    #[serde(rename = "response.reasoning_summary_text.delta", alias = "response.reasoning_text.delta")]
    Thoughts { output_index: u32, delta: String },
    #[serde(rename = "response.function_call_arguments.delta")]
    Arguments { output_index: u32, delta: String },
    #[serde(rename = "response.completed")]
    Completed { response: Response },
    #[serde(rename = "response.incomplete")]
    Incomplete { response: Response },
    #[serde(rename = "response.failed")]
    Failed { response: Response },
    #[serde(rename = "error")]
    Error {
        #[serde(default)]
        error: Option<ServiceError>,
        #[serde(flatten)]
        plain: ServiceError,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Response {
    output: Option<Vec<Value>>,
    usage: Option<Usage>,
    incomplete_details: Option<Details>,
    error: Option<ServiceError>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Usage {
    input_tokens: u64,
    output_tokens: u64,
    input_tokens_details: Option<InputDetails>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct InputDetails {
    cached_tokens: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    reason: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ServiceError {
    code: Option<Value>,
    message: Option<String>,
}

impl Reading {
    /// Takes in the next event: what is to be shown of it, or the whole reply.
    pub(super) fn take(&mut self, data: &str) -> Result<Vec<Piece>, Fault> {
        let event: Event = serde_json::from_str(data)
            .map_err(|error| Fault::passing(format!("the stream holds something that is no event: {error}")))?;
        let shown = match event {
            Event::Added { output_index, item } => {
                self.open(output_index, item);
                None
            }
            Event::Whole { output_index, item } => self.complete(output_index, item),
            Event::Words { output_index, delta } => self.add_words(output_index, delta),
            Event::Refusal { output_index, delta } => {
                self.refused = true;
                self.add_words(output_index, delta)
            }
            Event::PartOfThoughts { output_index } => self.part_thoughts(output_index),
            Event::Thoughts { output_index, delta } => self.add_thoughts(output_index, delta),
            Event::Arguments { output_index, delta } => {
                if let Some(Open::Call { arguments, .. }) = self.items.get_mut(&output_index) {
                    arguments.push_str(&delta);
                }
                None
            }
            Event::Completed { response } => return Ok(self.finish(response, Ending::Whole)),
            Event::Incomplete { response } => return Ok(self.finish(response, Ending::CutOff)),
            Event::Failed { response } => return Err(stream_error(&response.error.unwrap_or_default())),
            Event::Error { error, plain } => return Err(stream_error(&error.unwrap_or(plain))),
            Event::Unknown => None,
        };
        Ok(shown.into_iter().collect())
    }

    fn open(&mut self, index: u32, item: Value) {
        let text_of = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let open = match item["type"].as_str() {
            Some("message") => Open::Text(String::new()),
            Some("function_call") => {
                Open::Call { id: text_of("call_id"), name: text_of("name"), arguments: text_of("arguments") }
            }
            Some("reasoning") => Open::Thoughts { text: String::new(), item },
            // Tools that the service runs itself are not asked for.
            _ => return,
        };
        self.items.insert(index, open);
    }

    /// Position of an item's block among those that are there.
    fn place(&self, index: u32) -> u32 {
        u32::try_from(self.items.range(..index).count()).unwrap_or(u32::MAX)
    }

    fn add_words(&mut self, index: u32, delta: String) -> Option<Piece> {
        match self.items.entry(index).or_insert_with(|| Open::Text(String::new())) {
            Open::Text(text) => text.push_str(&delta),
            Open::Call { .. } | Open::Thoughts { .. } => return None,
        }
        self.shown(index, TextChannel::Text, delta)
    }

    fn add_thoughts(&mut self, index: u32, delta: String) -> Option<Piece> {
        match self.items.get_mut(&index)? {
            Open::Thoughts { text, .. } => text.push_str(&delta),
            Open::Call { .. } | Open::Text(_) => return None,
        }
        self.shown(index, TextChannel::Reasoning, delta)
    }

    fn part_thoughts(&mut self, index: u32) -> Option<Piece> {
        match self.items.get(&index)? {
            Open::Thoughts { text, .. } if !text.is_empty() => self.add_thoughts(index, PARTS_APART.to_owned()),
            Open::Thoughts { .. } | Open::Call { .. } | Open::Text(_) => None,
        }
    }

    fn shown(&self, index: u32, channel: TextChannel, text: String) -> Option<Piece> {
        (!text.is_empty()).then(|| Piece::Text { block: self.place(index), channel, text })
    }

    /// Takes in an item as it is in the end: the service may have sent its text or arguments in pieces, or only now.
    fn complete(&mut self, index: u32, whole: Value) -> Option<Piece> {
        if !self.items.contains_key(&index) {
            self.open(index, whole.clone());
        }
        match self.items.get_mut(&index)? {
            Open::Text(text) => {
                let rest = rest_of(text, parts(&whole["content"], ""));
                let parts = whole["content"].as_array();
                self.refused |= parts.is_some_and(|parts| parts.iter().any(|part| part["type"] == "refusal"));
                self.add_words(index, rest)
            }
            Open::Call { id, name, arguments } => {
                let keep = |known: &mut String, told: &Value| {
                    if let Some(told) = told.as_str().filter(|told| !told.is_empty()) {
                        told.clone_into(known);
                    }
                };
                keep(id, &whole["call_id"]);
                keep(name, &whole["name"]);
                keep(arguments, &whole["arguments"]);
                None
            }
            Open::Thoughts { text, item } => {
                let summary = parts(&whole["summary"], PARTS_APART);
                let readable = if summary.is_empty() { parts(&whole["content"], PARTS_APART) } else { summary };
                let rest = rest_of(text, readable);
                *item = whole;
                self.add_thoughts(index, rest)
            }
        }
    }

    fn finish(&mut self, response: Response, ending: Ending) -> Vec<Piece> {
        let mut pieces = Vec::new();
        // Some services send no event for an item, and all of them at the end.
        if self.items.is_empty() {
            for (index, item) in (0..).zip(response.output.unwrap_or_default()) {
                pieces.extend(self.complete(index, item));
            }
        }
        let items = std::mem::take(&mut self.items);
        let has_calls = items.values().any(|item| matches!(item, Open::Call { .. }));
        let filtered = response.incomplete_details.is_some_and(|details| details.reason == "content_filter");
        let stop = match ending {
            _ if self.refused || filtered => StopReason::Refusal,
            Ending::CutOff => StopReason::MaxTokens,
            Ending::Whole if has_calls => StopReason::ToolUse,
            Ending::Whole => StopReason::EndTurn,
        };
        let blocks = items.into_values().map(|open| match open {
            Open::Text(text) => ReplyBlock::Text(text),
            Open::Call { id, name, arguments } => ReplyBlock::Call { id, name, arguments },
            Open::Thoughts { text, item } => ReplyBlock::Reasoning { text, provider: item },
        });
        let usage = response.usage.map_or_else(ModelUsage::default, counted);
        pieces.push(Piece::Done(Reply { blocks: blocks.collect(), usage, stop: Some(stop) }));
        pieces
    }
}

/// How a stream says that it is at its end.
enum Ending {
    Whole,
    CutOff,
}

/// What of a whole text was not shown yet. Where the whole does not go on from what was shown, that stays as it is.
fn rest_of(shown: &str, whole: String) -> String {
    whole.strip_prefix(shown).map(str::to_owned).unwrap_or_default()
}

/// The text of an item's parts.
fn parts(parts: &Value, apart: &str) -> String {
    let text = |part: &Value| part["text"].as_str().or(part["refusal"].as_str()).map(str::to_owned);
    let texts: Vec<String> = parts.as_array().into_iter().flatten().filter_map(text).collect();
    texts.join(apart)
}

/// The service counts cached tokens as part of the input; hangar counts them apart.
fn counted(usage: Usage) -> ModelUsage {
    let cached = usage.input_tokens_details.map_or(0, |details| details.cached_tokens);
    ModelUsage {
        input_tokens: usage.input_tokens.saturating_sub(cached),
        output_tokens: usage.output_tokens,
        cache_read_tokens: cached,
        cache_write_tokens: 0,
    }
}

fn stream_error(error: &ServiceError) -> Fault {
    let code = match &error.code {
        Some(Value::String(code)) => code.as_str(),
        Some(_) | None => "",
    };
    let words = error.message.as_deref().filter(|words| !words.is_empty()).unwrap_or("it gives no reason");
    let words = hangar_protocol::limits::clip(words, wire::ERROR_CHARS_MAX);
    let named = if code.is_empty() { String::new() } else { format!(" ({code})") };
    let reason = format!("the model service broke off: {words}{named}");
    if [code, words.as_str()].into_iter().any(wire::is_too_long) {
        return Fault::too_long(reason);
    }
    if wire::is_lasting(code) {
        return Fault::lasting(reason);
    }
    Fault { kind: FaultKind::Passing { retry_after: wire::wait_told_in(&words) }, reason }
}
