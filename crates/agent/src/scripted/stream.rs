//! A line as a stream: the bytes of Anthropic Messages, the pace, and the faults of all wires.

use std::{io, time::Duration};

use futures::{Stream, stream};
use serde_json::{Value, json};

use super::{
    Wire, chat,
    history::History,
    responses,
    transcript::{Chosen, Fault, ScriptedCall},
};

/// Arguments of calls come in larger chunks than words: nobody reads along.
pub(super) const ARGUMENT_CHUNK_FACTOR: usize = 8;

/// What is done next on the wire.
pub(super) enum Act {
    /// Send these bytes.
    Send(String),
    /// Wait, then send these bytes.
    SendLater(Duration, String),
    /// Break the connection.
    Break,
    /// Send nothing more and keep the connection.
    Hang,
}

/// The bytes of a reply, at the transcript's pace, perhaps with a fault.
pub(super) fn play(
    wire: Wire,
    chosen: &Chosen<'_>,
    history: &History,
    fault: Option<Fault>,
) -> impl Stream<Item = io::Result<String>> + Send + 'static {
    let mut acts = match wire {
        Wire::Messages => acts(chosen, history),
        Wire::Chat => chat::acts(chosen, history),
        Wire::Responses => responses::acts(chosen, history),
    };
    if let Some(fault) = fault {
        spoil(wire, &mut acts, fault);
    }
    stream::unfold(acts.into_iter(), |mut acts| async {
        let sent = match acts.next()? {
            Act::Send(bytes) => Ok(bytes),
            Act::SendLater(pause, bytes) => {
                tokio::time::sleep(pause).await;
                Ok(bytes)
            }
            Act::Break => Err(io::Error::other("a fault of the transcript")),
            Act::Hang => std::future::pending().await,
        };
        Some((sent, acts))
    })
}

/// An event that says its type twice, as Anthropic's and OpenAI's do.
pub(super) fn event(value: &Value) -> String {
    format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap_or_default())
}

fn acts(chosen: &Chosen<'_>, history: &History) -> Vec<Act> {
    let Chosen { line, pace, .. } = chosen;
    let usage = line.usage;
    let mut writer = Writer { acts: Vec::new(), pause: Duration::from_millis(pace.pause_ms), block: 0 };
    writer.now(&json!({"type": "message_start", "message": {
        "id": format!("msg_scripted_{}", history.messages), "type": "message", "role": "assistant", "content": [],
        "model": history.model, "stop_reason": null, "stop_sequence": null,
        "usage": {
            "input_tokens": usage.input, "cache_read_input_tokens": usage.cache_read,
            "cache_creation_input_tokens": usage.cache_write, "output_tokens": 0,
        },
    }}));
    if !line.think.is_empty() {
        writer.open(&json!({"type": "thinking", "thinking": "", "signature": ""}));
        writer.say("thinking_delta", "thinking", &line.think, pace.chunk_chars);
        writer.say("signature_delta", "signature", "c2NyaXB0ZWQ=", usize::MAX);
        writer.close();
    }
    if !line.say.is_empty() {
        writer.open(&json!({"type": "text", "text": ""}));
        writer.say("text_delta", "text", &line.say, pace.chunk_chars);
        writer.close();
    }
    for (number, ScriptedCall { tool, input }) in line.calls.iter().enumerate() {
        let id = format!("toolu_scripted_{}_{number}", history.messages);
        let arguments = match input {
            Value::String(text) => text.clone(),
            input => input.to_string(),
        };
        writer.open(&json!({"type": "tool_use", "id": id, "name": tool, "input": {}}));
        writer.say("input_json_delta", "partial_json", &arguments, pace.chunk_chars * ARGUMENT_CHUNK_FACTOR);
        writer.close();
    }
    let stop = line.stop.as_deref().unwrap_or(if line.calls.is_empty() { "end_turn" } else { "tool_use" });
    writer.now(&json!({
        "type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null},
        "usage": {"output_tokens": usage.output},
    }));
    writer.now(&json!({"type": "message_stop"}));
    writer.acts
}

struct Writer {
    acts: Vec<Act>,
    pause: Duration,
    block: u32,
}

impl Writer {
    fn now(&mut self, value: &Value) {
        self.acts.push(Act::Send(event(value)));
    }

    fn open(&mut self, block: &Value) {
        self.now(&json!({"type": "content_block_start", "index": self.block, "content_block": block}));
    }

    fn close(&mut self) {
        self.now(&json!({"type": "content_block_stop", "index": self.block}));
        self.block += 1;
    }

    fn say(&mut self, kind: &str, name: &str, text: &str, chunk_chars: usize) {
        let block = self.block;
        self.acts.extend(said(text, chunk_chars, self.pause, |piece| {
            let mut delta = json!({"type": kind});
            delta[name] = Value::String(piece);
            event(&json!({"type": "content_block_delta", "index": block, "delta": delta}))
        }));
    }
}

/// Text in pieces, each as `bytes_of` has it on the wire, with a pause before each.
pub(super) fn said(text: &str, chunk_chars: usize, pause: Duration, bytes_of: impl Fn(String) -> String) -> Vec<Act> {
    let chars: Vec<char> = text.chars().collect();
    let pieces = chars.chunks(chunk_chars.max(1)).map(|piece| bytes_of(piece.iter().collect()));
    pieces.map(|bytes| if pause.is_zero() { Act::Send(bytes) } else { Act::SendLater(pause, bytes) }).collect()
}

/// Cuts a stream off behind so many characters of its bytes that carry text, and goes wrong there.
fn spoil(wire: Wire, acts: &mut Vec<Act>, fault: Fault) {
    let (after_chars, wrong) = match fault {
        Fault::Drop { after_chars } => (after_chars, vec![Act::Break]),
        Fault::Silence { after_chars } => (after_chars, vec![Act::Hang]),
        Fault::Malformed { after_chars } => {
            let broken = match wire {
                Wire::Messages => {
                    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"del\n\n"
                }
                Wire::Chat => "data: {\"choices\":[{\"index\":0,\"del\n\n",
                Wire::Responses => "event: response.output_text.delta\ndata: {\"type\":\"response.outp\n\n",
            };
            (after_chars, vec![Act::Send(broken.to_owned()), Act::Hang])
        }
        Fault::Overloaded { after_chars } => {
            let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
            let error = match wire {
                Wire::Messages => event(&error),
                Wire::Chat => format!("data: {error}\n\n"),
                Wire::Responses => event(&json!({
                    "type": "response.failed",
                    "response": {"status": "failed", "error": {"code": "server_is_overloaded", "message": "Overloaded"}},
                })),
            };
            (after_chars, vec![Act::Send(error), Act::Hang])
        }
        Fault::Status { .. } | Fault::TooLong {} | Fault::BadImage {} | Fault::NoAnswer {} => return,
    };
    let mut said = 0;
    let text_of = |bytes: &str| {
        let data = bytes.split_once("data: ").map_or("", |(_, data)| data);
        let value: Value = serde_json::from_str(data).unwrap_or_default();
        let words = (value["type"] == "response.output_text.delta").then(|| value["delta"].as_str()).flatten();
        let text = value["delta"]["text"].as_str().or(value["choices"][0]["delta"]["content"].as_str()).or(words);
        text.map_or(0, |text| text.chars().count())
    };
    let end = acts.iter().position(|act| {
        let (Act::Send(bytes) | Act::SendLater(_, bytes)) = act else { return false };
        said += text_of(bytes);
        said > after_chars
    });
    acts.truncate(end.unwrap_or(acts.len().saturating_sub(1)));
    acts.extend(wrong);
}
