//! The other wire: a request of chat completions read, and a line as their stream.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    history::History,
    stream::{ARGUMENT_CHUNK_FACTOR, Act, said},
    transcript::{Chosen, ScriptedCall},
};

/// Reads a request.
pub(super) fn read(request: &Value) -> Result<History, String> {
    let messages = request["messages"].as_array().filter(|messages| !messages.is_empty());
    let messages = messages.ok_or("messages: at least one message is required")?;
    let mut history = History {
        messages: messages.len(),
        model: request["model"].as_str().unwrap_or("scripted").to_owned(),
        ..History::default()
    };
    let mut open: Vec<&str> = Vec::new();
    let mut prompted = false;
    for message in messages {
        let words = message["content"].as_str().unwrap_or_default();
        let role = message["role"].as_str();
        match role {
            Some("system") => {}
            Some("assistant") => {
                closed(&open)?;
                let calls = message["tool_calls"].as_array().into_iter().flatten();
                open = calls.filter_map(|call| call["id"].as_str()).collect();
                history.results.push(String::new());
            }
            Some("tool") => {
                let id = message["tool_call_id"].as_str().unwrap_or_default();
                let place = open.iter().position(|known| *known == id);
                open.remove(place.ok_or_else(|| format!("messages: no call has the id {id}"))?);
                history.hear(words);
            }
            // Images of results, which this wire has no other place for.
            Some("user") if message["content"].is_array() => closed(&open)?,
            Some("user") => {
                closed(&open)?;
                // Prompts that follow one another are one wish, as on the other wire.
                history.wish = if prompted { format!("{}\n{words}", history.wish) } else { words.to_owned() };
                history.results.clear();
            }
            _ => return Err("messages: a role is system, user, assistant or tool".to_owned()),
        }
        prompted = role == Some("user");
    }
    closed(&open).map(|()| history)
}

/// Whether every call has its result.
pub(super) fn closed(open: &[&str]) -> Result<(), String> {
    if open.is_empty() { Ok(()) } else { Err(format!("messages: `tool_calls` without an answer: {open:?}")) }
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// The bytes of a reply, at the transcript's pace.
pub(super) fn acts(chosen: &Chosen<'_>, history: &History) -> Vec<Act> {
    let Chosen { line, pace, .. } = chosen;
    let pause = Duration::from_millis(pace.pause_ms);
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        data(&json!({
            "id": format!("chatcmpl-scripted-{}", history.messages), "object": "chat.completion.chunk",
            "model": history.model, "choices": [choice],
        }))
    };
    let delta = |delta: Value| chunk(delta, Value::Null);
    let mut acts = vec![Act::Send(delta(json!({"role": "assistant", "content": ""})))];
    for (name, text) in [("reasoning_content", &line.think), ("content", &line.say)] {
        acts.extend(said(text, pace.chunk_chars, pause, |piece| delta(json!({name: piece}))));
    }
    for (number, ScriptedCall { tool, input }) in line.calls.iter().enumerate() {
        let id = format!("call_scripted_{}_{number}", history.messages);
        let arguments = match input {
            Value::String(text) => text.clone(),
            input => input.to_string(),
        };
        let named = json!({"index": number, "id": id, "type": "function", "function": {"name": tool, "arguments": ""}});
        acts.push(Act::Send(delta(json!({"tool_calls": [named]}))));
        acts.extend(said(&arguments, pace.chunk_chars * ARGUMENT_CHUNK_FACTOR, pause, |piece| {
            delta(json!({"tool_calls": [{"index": number, "function": {"arguments": piece}}]}))
        }));
    }
    acts.push(Act::Send(chunk(json!({}), finish(line.stop.as_deref(), line.calls.is_empty()).into())));
    let usage = line.usage;
    acts.push(Act::Send(data(&json!({"choices": [], "usage": {
        "prompt_tokens": usage.input + usage.cache_read, "completion_tokens": usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
    }}))));
    acts.push(Act::Send("data: [DONE]\n\n".to_owned()));
    acts
}

/// A reason to stop in this wire's words.
fn finish(stop: Option<&str>, says_only: bool) -> &str {
    match stop {
        None if says_only => "stop",
        None | Some("tool_use") => "tool_calls",
        Some("end_turn") => "stop",
        Some("max_tokens") => "length",
        Some(other) => other,
    }
}
