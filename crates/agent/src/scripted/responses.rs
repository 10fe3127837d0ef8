//! The third wire: a request of OpenAI Responses read, and a line as their stream.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    chat::closed,
    history::History,
    stream::{ARGUMENT_CHUNK_FACTOR, Act, event, said},
    transcript::{Chosen, ScriptedCall},
};
use crate::title;

/// Reads a request.
pub(super) fn read(request: &Value) -> Result<History, String> {
    let items = request["input"].as_array().filter(|items| !items.is_empty());
    let items = items.ok_or("input: at least one item is required")?;
    let mut history = History {
        messages: items.len(),
        wants_title: request["instructions"] == title::SYSTEM,
        model: request["model"].as_str().unwrap_or("scripted").to_owned(),
        ..History::default()
    };
    let mut open: Vec<&str> = Vec::new();
    let mut before = Kind::Result;
    for item in items {
        let kind = Kind::of(item)?;
        match kind {
            Kind::Prompt => {
                closed(&open)?;
                let words = words(item);
                // Prompts that follow one another are one wish, as on the other wires.
                history.wish = if before == kind { format!("{}\n{words}", history.wish) } else { words };
                history.results.clear();
            }
            Kind::Reply => {
                // The items of one reply follow one another.
                if before != kind {
                    closed(&open)?;
                    history.results.push(String::new());
                }
                open.extend(item["call_id"].as_str());
            }
            Kind::Result => {
                let id = item["call_id"].as_str().unwrap_or_default();
                let place = open.iter().position(|known| *known == id);
                open.remove(place.ok_or_else(|| format!("No tool call found for function call output {id}."))?);
                let parts = item["output"].as_array().into_iter().flatten();
                let parts: String = parts.filter_map(|part| part["text"].as_str()).collect();
                history.hear(item["output"].as_str().unwrap_or(&parts));
            }
        }
        before = kind;
    }
    closed(&open).map(|()| history)
}

/// What an item is.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Prompt,
    /// A part of a reply.
    Reply,
    Result,
}

impl Kind {
    fn of(item: &Value) -> Result<Self, String> {
        match (item["type"].as_str(), item["role"].as_str()) {
            (Some("message"), Some("user")) => Ok(Self::Prompt),
            (Some("message"), Some("assistant")) | (Some("function_call"), _) => Ok(Self::Reply),
            // As the real service: thoughts that it has not kept must come back encrypted.
            (Some("reasoning"), _) if item["encrypted_content"].is_string() => Ok(Self::Reply),
            (Some("reasoning"), _) => Err(format!(
                "Item with id {} not found. Items are not persisted when `store` is set to false.",
                item["id"]
            )),
            (Some("function_call_output"), _) => Ok(Self::Result),
            (kind, _) => Err(format!("input: an item of type {kind:?} is not known here")),
        }
    }
}

fn words(item: &Value) -> String {
    let parts = item["content"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
}

/// The bytes of a reply, at the transcript's pace.
pub(super) fn acts(chosen: &Chosen<'_>, history: &History) -> Vec<Act> {
    let Chosen { line, pace, .. } = chosen;
    let place = history.messages;
    let mut writer = Writer { acts: Vec::new(), pause: Duration::from_millis(pace.pause_ms), items: 0 };
    let response = |status: &str| {
        json!({
            "id": format!("resp_scripted_{place}"), "object": "response", "status": status, "model": history.model,
            "output": [], "usage": null, "error": null, "incomplete_details": null,
        })
    };
    writer.now(&json!({"type": "response.created", "response": response("in_progress")}));
    if !line.think.is_empty() {
        let mut item = json!({
            "id": format!("rs_scripted_{place}"), "type": "reasoning", "summary": [], "encrypted_content": "YmVnaW5uaW5n",
        });
        writer.open(&item);
        writer.say("response.reasoning_summary_text.delta", &line.think, pace.chunk_chars);
        item["summary"] = json!([{"type": "summary_text", "text": line.think}]);
        item["encrypted_content"] = json!("c2NyaXB0ZWQ=");
        writer.close(&item);
    }
    if !line.say.is_empty() {
        let mut item = json!({
            "id": format!("msg_scripted_{place}"), "type": "message", "role": "assistant", "content": [],
        });
        writer.open(&item);
        writer.say("response.output_text.delta", &line.say, pace.chunk_chars);
        item["content"] = json!([{"type": "output_text", "text": line.say, "annotations": []}]);
        writer.close(&item);
    }
    for (number, ScriptedCall { tool, input }) in line.calls.iter().enumerate() {
        let arguments = match input {
            Value::String(text) => text.clone(),
            input => input.to_string(),
        };
        let mut item = json!({
            "id": format!("fc_scripted_{place}_{number}"), "type": "function_call", "name": tool,
            "call_id": format!("call_scripted_{place}_{number}"), "arguments": "",
        });
        writer.open(&item);
        let chunk = pace.chunk_chars * ARGUMENT_CHUNK_FACTOR;
        writer.say("response.function_call_arguments.delta", &arguments, chunk);
        item["arguments"] = json!(arguments);
        writer.close(&item);
    }
    let reason = match line.stop.as_deref() {
        None | Some("end_turn" | "tool_use") => None,
        Some("max_tokens") => Some("max_output_tokens"),
        Some("refusal") => Some("content_filter"),
        Some(other) => Some(other),
    };
    let mut last = response(if reason.is_some() { "incomplete" } else { "completed" });
    if let Some(reason) = reason {
        last["incomplete_details"] = json!({"reason": reason});
    }
    let usage = line.usage;
    last["usage"] = json!({
        "input_tokens": usage.input + usage.cache_read, "input_tokens_details": {"cached_tokens": usage.cache_read},
        "output_tokens": usage.output, "total_tokens": usage.input + usage.cache_read + usage.output,
    });
    let kind = if reason.is_some() { "response.incomplete" } else { "response.completed" };
    writer.now(&json!({"type": kind, "response": last}));
    writer.acts
}

struct Writer {
    acts: Vec<Act>,
    pause: Duration,
    items: u32,
}

impl Writer {
    fn now(&mut self, value: &Value) {
        self.acts.push(Act::Send(event(value)));
    }

    fn open(&mut self, item: &Value) {
        self.now(&json!({"type": "response.output_item.added", "output_index": self.items, "item": item}));
    }

    fn close(&mut self, item: &Value) {
        self.now(&json!({"type": "response.output_item.done", "output_index": self.items, "item": item}));
        self.items += 1;
    }

    fn say(&mut self, kind: &str, text: &str, chunk_chars: usize) {
        let index = self.items;
        self.acts.extend(said(text, chunk_chars, self.pause, |piece| {
            event(&json!({"type": kind, "output_index": index, "content_index": 0, "delta": piece}))
        }));
    }
}
