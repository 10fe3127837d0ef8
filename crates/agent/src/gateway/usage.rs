//! What a reply used up, read from it while it passes.

use hangar_protocol::ModelUsage;
use serde_json::Value;

use super::wire::Wire;

/// A reply that is being read.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    wire: Wire,
    usage: ModelUsage,
    whole: bool,
    error: Option<String>,
}

impl Reading {
    pub(super) fn new(wire: Wire) -> Self {
        Self { wire, usage: ModelUsage::default(), whole: false, error: None }
    }

    /// What the service said so far.
    pub(super) fn usage(&self) -> ModelUsage {
        self.usage
    }

    /// Whether the reply has come to its end: nothing more is counted after it.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// What the service said went wrong within the stream; it began it as one that goes well.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Takes in the data of a stream's next event.
    pub(super) fn event(&mut self, data: &str) {
        // Most events are pieces of words, and are not looked into. Quotes inside words are escaped, so that none of them is taken for these.
        const TELLING: [&str; 6] = [
            "\"usage\"",
            "\"message_stop\"",
            "\"error\"",
            "\"response.completed\"",
            "\"response.incomplete\"",
            "\"response.failed\"",
        ];
        if data.trim() == "[DONE]" {
            self.whole = true;
        }
        if !TELLING.iter().any(|word| data.contains(word)) {
            return;
        }
        let Ok(event) = serde_json::from_str::<Value>(data) else { return };
        self.count(&event["message"]["usage"]);
        self.count(&event["response"]["usage"]);
        self.count(&event["usage"]);
        let ends = ["message_stop", "error", "response.completed", "response.incomplete", "response.failed"];
        self.whole |= event["type"].as_str().is_some_and(|kind| ends.contains(&kind));
        let error = [&event["error"], &event["response"]["error"]].into_iter().find(|error| error.is_object());
        if let Some(error) = error.or_else(|| (event["type"] == "error").then_some(&event)) {
            self.error = Some(error["message"].as_str().unwrap_or("the service gave no words").to_owned());
        }
    }

    /// Takes in a reply that was not streamed.
    pub(super) fn reply(&mut self, reply: &Value) {
        self.count(&reply["usage"]);
        self.whole = true;
    }

    /// Counts are totals so far, not additions; what one leaves out stays.
    fn count(&mut self, told: &Value) {
        if !told.is_object() {
            return;
        }
        let keep = |known: &mut u64, told: &Value| *known = told.as_u64().unwrap_or(*known);
        let usage = &mut self.usage;
        match self.wire {
            Wire::Messages => {
                keep(&mut usage.input_tokens, &told["input_tokens"]);
                keep(&mut usage.output_tokens, &told["output_tokens"]);
                keep(&mut usage.cache_read_tokens, &told["cache_read_input_tokens"]);
                keep(&mut usage.cache_write_tokens, &told["cache_creation_input_tokens"]);
            }
            // These count what came from their cache as a part of what was read.
            Wire::Responses => {
                keep(&mut usage.cache_read_tokens, &told["input_tokens_details"]["cached_tokens"]);
                keep(&mut usage.output_tokens, &told["output_tokens"]);
                if let Some(read) = told["input_tokens"].as_u64() {
                    usage.input_tokens = read.saturating_sub(usage.cache_read_tokens);
                }
            }
            Wire::Chat => {
                keep(&mut usage.cache_read_tokens, &told["prompt_tokens_details"]["cached_tokens"]);
                keep(&mut usage.output_tokens, &told["completion_tokens"]);
                if let Some(read) = told["prompt_tokens"].as_u64() {
                    usage.input_tokens = read.saturating_sub(usage.cache_read_tokens);
                }
            }
        }
    }
}

/// Takes a stream of bytes apart into events, each as it came with the empty line behind it.
#[derive(Debug, Default)]
pub(super) struct Events {
    held: Vec<u8>,
    /// Up to here no end of an event was found.
    looked: usize,
}

/// The end of an event: an empty line, in the two ways in which services end lines.
const ENDS: [&[u8]; 2] = [b"\n\n", b"\r\n\r\n"];

impl Events {
    /// Takes in the next bytes: the events that they complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.held.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.end() {
            let rest = self.held.split_off(end);
            events.push(std::mem::replace(&mut self.held, rest));
            self.looked = 0;
        }
        // An end may have come in part.
        self.looked = self.held.len().saturating_sub(3);
        events
    }

    /// How many bytes wait for their event's end.
    pub(super) fn waiting(&self) -> usize {
        self.held.len()
    }

    /// What is left when the stream has ended.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        self.looked = 0;
        std::mem::take(&mut self.held)
    }

    fn end(&self) -> Option<usize> {
        let begin = self.looked;
        let find = |end: &&[u8]| {
            let place = self.held[begin..].windows(end.len()).position(|window| window == *end)?;
            Some(begin + place + end.len())
        };
        ENDS.iter().filter_map(find).min()
    }
}

/// The data of an event, its lines put together.
pub(super) fn data_of(event: &[u8]) -> String {
    let text = String::from_utf8_lossy(event);
    let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Whether an event of chat completions tells what was used up and nothing else: such a one was asked for here, and is not passed on.
pub(super) fn is_count_alone(data: &str) -> bool {
    if !data.contains("\"usage\"") {
        return false;
    }
    let event: Value = serde_json::from_str(data).unwrap_or_default();
    event["usage"].is_object() && event["choices"].as_array().is_some_and(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, output: u64, read: u64, write: u64) -> ModelUsage {
        ModelUsage { input_tokens: input, output_tokens: output, cache_read_tokens: read, cache_write_tokens: write }
    }

    #[test]
    fn events_are_found_however_the_stream_is_cut() {
        let text = "event: a\ndata: {\"x\":1}\n\n: ping\r\n\r\ndata: one\ndata: two\n\ndata: rest";
        let whole = ["event: a\ndata: {\"x\":1}\n\n", ": ping\r\n\r\n", "data: one\ndata: two\n\n"];
        for size in 1..text.len() {
            let mut events = Events::default();
            let found: Vec<Vec<u8>> = text.as_bytes().chunks(size).flat_map(|chunk| events.take(chunk)).collect();
            assert_eq!(found, whole.map(|event| event.as_bytes().to_vec()), "{size}");
            assert_eq!((events.waiting(), events.rest()), (10, b"data: rest".to_vec()));
        }
        assert_eq!(whole.map(|event| data_of(event.as_bytes())), ["{\"x\":1}", "", "one\ntwo"]);
    }

    #[test]
    fn what_was_used_up_is_read_from_every_wire() {
        let check = |wire: Wire, events: &[&str], expect: ModelUsage| {
            let mut reading = Reading::new(wire);
            let (last, before) = events.split_last().unwrap();
            before.iter().for_each(|data| reading.event(data));
            assert!(!reading.is_whole(), "{wire:?}");
            reading.event(last);
            assert_eq!((reading.usage(), reading.is_whole()), (expect, true), "{wire:?}");
        };
        let messages = [
            r#"{"type":"message_start","message":{"usage":{"input_tokens":10,"cache_read_input_tokens":5,"cache_creation_input_tokens":7,"output_tokens":1}}}"#,
            r#"{"type":"content_block_delta","delta":{"text":"\"usage\": {\"input_tokens\": 99}, \"message_stop\""}}"#,
            r#"{"type":"message_delta","usage":{"output_tokens":20}}"#,
            r#"{"type":"message_stop"}"#,
        ];
        check(Wire::Messages, &messages, usage(10, 20, 5, 7));
        let responses = [
            r#"{"type":"response.created","response":{"usage":null}}"#,
            r#"{"type":"response.completed","response":{"usage":{"input_tokens":15,"input_tokens_details":{"cached_tokens":5},"output_tokens":20}}}"#,
        ];
        check(Wire::Responses, &responses, usage(10, 20, 5, 0));
        let chat = [
            r#"{"choices":[{"delta":{"content":"a"}}],"usage":null}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":15,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":5}}}"#,
            "[DONE]",
        ];
        check(Wire::Chat, &chat, usage(10, 20, 5, 0));
        assert!(is_count_alone(chat[1]) && !is_count_alone(chat[0]) && !is_count_alone("[DONE]"));
        let went_wrong = [
            (Wire::Messages, r#"{"type":"error","error":{"type":"overloaded_error","message":"too many"}}"#),
            (Wire::Responses, r#"{"type":"error","message":"too many"}"#),
            (Wire::Responses, r#"{"type":"response.failed","response":{"error":{"message":"too many"}}}"#),
            (Wire::Chat, r#"{"error":{"message":"too many"}}"#),
        ];
        for (wire, data) in went_wrong {
            let mut reading = Reading::new(wire);
            reading.event(data);
            assert_eq!((reading.error(), reading.is_whole()), (Some("too many"), wire != Wire::Chat), "{wire:?}");
        }
        let mut reading = Reading::new(Wire::Chat);
        reading.reply(&serde_json::json!({"choices": [{}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}));
        assert_eq!((reading.usage(), reading.is_whole()), (usage(3, 4, 0, 0), true));
    }
}
